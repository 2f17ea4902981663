"""The loops of the radial chain, compiled: over the draws of a group, or, where they are few, over dimensions.

Shapes as in `radial_cpu`: z (G, N, D), centre (G, K, D), alpha and s (G, K), r (G, K, N). A map is z + q (z - c) with
q = (s - alpha) / (alpha + r).
"""

import math
from typing import Any

import numpy as np

from nfbench.kernels.cpu import TILE, compiled


@compiled
def _slopes(r: Any, alpha: Any, s: Any, across: Any, grad_log: Any, grad_q: Any) -> tuple[Any, Any, Any]:
    """d/dr, d/d alpha and d/ds of one map, through q and through ln|det|; `across` is D - 1.

    ln|det| = (D - 1) [ln(r + s) - ln(alpha + r)] + ln(r^2 + 2 alpha r + alpha s) - 2 ln(alpha + r).
    """
    reach, spread = alpha + r, r + s
    along = r * (reach + alpha) + alpha * s
    outer = (across + 2) / reach
    to_q = grad_q / (reach * reach)
    to_r = grad_log * (across / spread + 2 * reach / along - outer) - to_q * (s - alpha)
    to_alpha = grad_log * ((r + spread) / along - outer) - to_q * spread
    to_s = grad_log * (across / spread + alpha / along) + to_q * reach
    return to_r, to_alpha, to_s


@compiled
def draws_forward(z: Any, centre: Any, alpha: Any, s: Any, out: Any, r: Any) -> None:
    """A tile holds TILE draws, dimension by dimension: each loop over a tile is a row of vector instructions."""
    zero = z.dtype.type(0)
    tile, q = np.empty((z.shape[2], TILE), z.dtype), np.empty(TILE, z.dtype)
    for g in range(z.shape[0]):
        for first in range(0, z.shape[1], TILE):
            size = min(TILE, z.shape[1] - first)
            tile[:, :size] = z[g, first : first + size].T
            for k in range(centre.shape[1]):
                q[:] = zero
                for d in range(z.shape[2]):
                    for n in range(size):
                        offset = tile[d, n] - centre[g, k, d]
                        q[n] += offset * offset
                for n in range(size):
                    radius = math.sqrt(q[n])
                    r[g, k, first + n] = radius
                    q[n] = (s[g, k] - alpha[g, k]) / (alpha[g, k] + radius)
                for d in range(z.shape[2]):
                    for n in range(size):
                        tile[d, n] += q[n] * (tile[d, n] - centre[g, k, d])
            out[g, first : first + size] = tile[:, :size].T


@compiled
def draws_backward(
    z: Any,
    r: Any,
    centre: Any,
    alpha: Any,
    s: Any,
    grad: Any,
    grad_log: Any,
    to_z: Any,
    to_c: Any,
    to_a: Any,
    to_s: Any,
) -> None:
    """Rebuild z_{k-1} going down; sums over a tile are added to the gradients once a map."""
    zero, across = z.dtype.type(0), z.dtype.type(z.shape[2] - 1)
    tile, back = np.empty((z.shape[2], TILE), z.dtype), np.empty((z.shape[2], TILE), z.dtype)
    q, radial, inner = np.empty(TILE, z.dtype), np.empty(TILE, z.dtype), np.empty(TILE, z.dtype)
    for g in range(z.shape[0]):
        for first in range(0, z.shape[1], TILE):
            size = min(TILE, z.shape[1] - first)
            tile[:, :size] = z[g, first : first + size].T
            back[:, :size] = grad[g, first : first + size].T
            for k in range(centre.shape[1] - 1, -1, -1):
                radius = r[g, k, first : first + size]
                for n in range(size):
                    inner[n] = (alpha[g, k] + radius[n]) / (radius[n] + s[g, k])
                    q[n] = zero
                for d in range(z.shape[2]):
                    for n in range(size):
                        tile[d, n] = (tile[d, n] - centre[g, k, d]) * inner[n]
                        q[n] += back[d, n] * tile[d, n]
                total_a, total_s = zero, zero
                for n in range(size):
                    to_r, by_a, by_s = _slopes(radius[n], alpha[g, k], s[g, k], across, grad_log[g, first + n], q[n])
                    radial[n] = to_r / radius[n] if radius[n] > zero else zero
                    q[n] = (s[g, k] - alpha[g, k]) / (alpha[g, k] + radius[n])
                    total_a += by_a
                    total_s += by_s
                to_a[g, k] += total_a
                to_s[g, k] += total_s
                for d in range(z.shape[2]):
                    total = zero
                    for n in range(size):
                        share = q[n] * back[d, n] + radial[n] * tile[d, n]
                        total -= share
                        back[d, n] += share
                        tile[d, n] += centre[g, k, d]
                    to_c[g, k, d] += total
            to_z[g, first : first + size] = back[:, :size].T


@compiled
def dimensions_forward(z: Any, centre: Any, alpha: Any, s: Any, out: Any, r: Any) -> None:
    """One draw at a time, its D numbers side by side: a map's parameters are read where they lie."""
    for g in range(z.shape[0]):
        for n in range(z.shape[1]):
            point = out[g, n]
            point[:] = z[g, n]
            for k in range(centre.shape[1]):
                square = z.dtype.type(0)
                for d in range(z.shape[2]):
                    offset = point[d] - centre[g, k, d]
                    square += offset * offset
                r[g, k, n] = math.sqrt(square)
                q = (s[g, k] - alpha[g, k]) / (alpha[g, k] + r[g, k, n])
                for d in range(z.shape[2]):
                    point[d] += q * (point[d] - centre[g, k, d])


@compiled
def dimensions_backward(
    z: Any,
    r: Any,
    centre: Any,
    alpha: Any,
    s: Any,
    grad: Any,
    grad_log: Any,
    to_z: Any,
    to_c: Any,
    to_a: Any,
    to_s: Any,
) -> None:
    """As `draws_backward`, one draw at a time."""
    zero, across = z.dtype.type(0), z.dtype.type(z.shape[2] - 1)
    point = np.empty(z.shape[2], z.dtype)
    for g in range(z.shape[0]):
        for n in range(z.shape[1]):
            back = to_z[g, n]
            back[:] = grad[g, n]
            point[:] = z[g, n]
            for k in range(centre.shape[1] - 1, -1, -1):
                radius = r[g, k, n]
                inner = (alpha[g, k] + radius) / (radius + s[g, k])
                along = zero
                for d in range(z.shape[2]):
                    point[d] = (point[d] - centre[g, k, d]) * inner
                    along += back[d] * point[d]
                to_r, by_a, by_s = _slopes(radius, alpha[g, k], s[g, k], across, grad_log[g, n], along)
                to_a[g, k] += by_a
                to_s[g, k] += by_s
                radial = to_r / radius if radius > zero else zero
                q = (s[g, k] - alpha[g, k]) / (alpha[g, k] + radius)
                for d in range(z.shape[2]):
                    share = q * back[d] + radial * point[d]
                    to_c[g, k, d] -= share
                    back[d] += share
                    point[d] += centre[g, k, d]
