"""The loops of the radial chain, compiled: over the draws of a group, or, where they are few, over dimensions.

Shapes: z (G, N, D), maps (G, K, D + 2) with rows (c, raw alpha, raw beta), r (G, K, N). With alpha and s the softplus
of the raw numbers a map is z + q (z - c), q = (s - alpha) / (alpha + r).
"""

import math
from typing import Any

import numpy as np

from nfbench.kernels.arithmetic import ROUND, compiled, factor, inlined, logarithm, renormalise, sigmoid, softplus
from nfbench.kernels.radial_slopes import across, along, slopes
from nfbench.kernels.threads import TILE


@inlined
def _slopes(r: Any, alpha: Any, s: Any, count: Any, grad_log: Any, grad_q: Any) -> Any:
    """d/dr, d/d alpha and d/ds of one map, through ln|det| and through q; `count` is D - 1."""
    to_r, to_alpha, to_s = slopes(r, alpha, s, count, grad_log)
    per_reach = 1 / (alpha + r)
    to_s_by = grad_q * per_reach
    to_q = to_s_by * per_reach
    return to_r - to_q * (s - alpha), to_alpha - to_q * (r + s), to_s + to_s_by


@inlined
def _spread(q: Any, alpha: Any, s: Any, r: Any, f: Any, e: Any) -> None:
    """One map on a tile of draws: `q`, the squared radius, becomes q; the factors of |det| into rows of f and e."""
    for n in range(r.shape[0]):
        radius = math.sqrt(q[n])
        r[n] = radius
        q[n] = (s - alpha) / (alpha + radius)
    for n in range(r.shape[0]):
        part, power = factor(across(r[n], alpha, s))
        f[0, n] *= part
        e[0, n] += power
    for n in range(r.shape[0]):
        part, power = factor(along(r[n], alpha, s))
        f[1, n] *= part
        e[1, n] += power


@compiled
def draws_forward(
    z: Any, maps: Any, out: Any, log_det: Any, r: Any, group: int, groups: int, start: int, stop: int
) -> None:
    """A tile holds TILE draws, dimension by dimension: each loop over a tile is a row of vector instructions."""
    dim, kind = z.shape[2], z.dtype.type
    tile, q = np.empty((dim, TILE), z.dtype), np.empty(TILE, z.dtype)
    f, e = np.empty((2, TILE), z.dtype), np.empty((2, TILE), z.dtype)
    for g in range(group, groups):
        for first in range(start, stop, TILE):
            size = min(TILE, stop - first)
            tile[:, :size] = z[g, first : first + size].T
            f[:], e[:] = kind(1), kind(0)
            for k in range(maps.shape[1]):
                row = maps[g, k]
                alpha, s = softplus(row[dim]), softplus(row[dim + 1])
                q[:] = kind(0)
                for d in range(dim):
                    for n in range(size):
                        offset = tile[d, n] - row[d]
                        q[n] += offset * offset
                _spread(q, alpha, s, r[g, k, first : first + size], f, e)
                for d in range(dim):
                    for n in range(size):
                        tile[d, n] += q[n] * (tile[d, n] - row[d])
                if k % ROUND == ROUND - 1:
                    renormalise(f[0], e[0])
                    renormalise(f[1], e[1])
            out[g, first : first + size] = tile[:, :size].T
            for n in range(size):
                log_det[g, first + n] = kind(dim - 1) * logarithm(f[0, n], e[0, n]) + logarithm(f[1, n], e[1, n])


@compiled
def draws_backward(
    z: Any,
    r: Any,
    maps: Any,
    grad: Any,
    grad_log: Any,
    to_z: Any,
    to_maps: Any,
    group: int,
    groups: int,
    start: int,
    stop: int,
) -> None:
    """Rebuild z_{k-1} going down; sums over a tile are added to the gradients once a map.

    z_{k-1} - c has the direction of z_k - c and the length r that was kept: a factor (alpha + r) / (r + s) would also
    enlarge the rounding of z_k where a map contracts.
    """
    dim, kind = z.shape[2], z.dtype.type
    zero, count = kind(0), kind(dim - 1)
    tile, back = np.empty((dim, TILE), z.dtype), np.empty((dim, TILE), z.dtype)
    q, radial, inner = np.empty(TILE, z.dtype), np.empty(TILE, z.dtype), np.empty(TILE, z.dtype)
    for g in range(group, groups):
        to_maps[g] = zero
        for first in range(start, stop, TILE):
            size = min(TILE, stop - first)
            tile[:, :size] = z[g, first : first + size].T
            back[:, :size] = grad[g, first : first + size].T
            for k in range(maps.shape[1] - 1, -1, -1):
                row, radius = maps[g, k], r[g, k, first : first + size]
                alpha, s = softplus(row[dim]), softplus(row[dim + 1])
                inner[:], q[:] = zero, zero
                for d in range(dim):
                    for n in range(size):
                        tile[d, n] -= row[d]
                        inner[n] += tile[d, n] * tile[d, n]
                for n in range(size):
                    inner[n] = radius[n] / math.sqrt(inner[n]) if inner[n] > zero else zero
                for d in range(dim):
                    for n in range(size):
                        tile[d, n] *= inner[n]
                        q[n] += back[d, n] * tile[d, n]
                total_a, total_s = zero, zero
                for n in range(size):
                    to_r, by_a, by_s = _slopes(radius[n], alpha, s, count, grad_log[g, first + n], q[n])
                    radial[n] = to_r / radius[n] if radius[n] > zero else zero
                    q[n] = (s - alpha) / (alpha + radius[n])
                    total_a += by_a
                    total_s += by_s
                to_maps[g, k, dim] += total_a * sigmoid(row[dim])
                to_maps[g, k, dim + 1] += total_s * sigmoid(row[dim + 1])
                for d in range(dim):
                    total = zero
                    for n in range(size):
                        share = q[n] * back[d, n] + radial[n] * tile[d, n]
                        total -= share
                        back[d, n] += share
                        tile[d, n] += row[d]
                    to_maps[g, k, d] += total
            to_z[g, first : first + size] = back[:, :size].T


@compiled
def dimensions_forward(z: Any, maps: Any, out: Any, log_det: Any, r: Any, group: int, groups: int) -> None:
    """Map by map for the few draws of a group, D numbers side by side: each map's numbers are read once."""
    dim, draws, kind = z.shape[2], z.shape[1], z.dtype.type
    f, e = np.empty((2, draws), z.dtype), np.empty((2, draws), z.dtype)
    for g in range(group, groups):
        out[g] = z[g]
        f[:], e[:] = kind(1), kind(0)
        for k in range(maps.shape[1]):
            centre, alpha, s = maps[g, k, :dim], softplus(maps[g, k, dim]), softplus(maps[g, k, dim + 1])
            for n in range(draws):
                point, square = out[g, n], kind(0)
                for d in range(dim):
                    offset = point[d] - centre[d]
                    square += offset * offset
                radius = math.sqrt(square)
                q = (s - alpha) / (alpha + radius)
                for d in range(dim):
                    point[d] += q * (point[d] - centre[d])
                r[g, k, n] = radius
                part, power = factor(across(radius, alpha, s))
                f[0, n] *= part
                e[0, n] += power
                part, power = factor(along(radius, alpha, s))
                f[1, n] *= part
                e[1, n] += power
            if k % ROUND == ROUND - 1:
                renormalise(f[0], e[0])
                renormalise(f[1], e[1])
        for n in range(draws):
            log_det[g, n] = kind(dim - 1) * logarithm(f[0, n], e[0, n]) + logarithm(f[1, n], e[1, n])


@compiled
def dimensions_backward(
    z: Any, r: Any, maps: Any, grad: Any, grad_log: Any, to_z: Any, to_maps: Any, group: int, groups: int
) -> None:
    """As `draws_backward`, map by map for the few draws of a group."""
    dim, draws, kind = z.shape[2], z.shape[1], z.dtype.type
    zero, count = kind(0), kind(dim - 1)
    points = np.empty((draws, dim), z.dtype)
    for g in range(group, groups):
        to_z[g], points[:] = grad[g], z[g]
        for k in range(maps.shape[1] - 1, -1, -1):
            centre, to_centre = maps[g, k, :dim], to_maps[g, k, :dim]
            alpha, s = softplus(maps[g, k, dim]), softplus(maps[g, k, dim + 1])
            to_centre[:], total_a, total_s = zero, zero, zero
            for n in range(draws):
                point, back, radius, inner, square = points[n], to_z[g, n], r[g, k, n], zero, zero
                for d in range(dim):
                    point[d] -= centre[d]
                    square += point[d] * point[d]
                shrink = radius / math.sqrt(square) if square > zero else zero
                for d in range(dim):
                    point[d] *= shrink
                    inner += back[d] * point[d]
                to_r, by_a, by_s = _slopes(radius, alpha, s, count, grad_log[g, n], inner)
                total_a += by_a
                total_s += by_s
                radial = to_r / radius if radius > zero else zero
                q = (s - alpha) / (alpha + radius)
                for d in range(dim):
                    share = q * back[d] + radial * point[d]
                    to_centre[d] -= share
                    back[d] += share
                    point[d] += centre[d]
            to_maps[g, k, dim] = total_a * sigmoid(maps[g, k, dim])
            to_maps[g, k, dim + 1] = total_s * sigmoid(maps[g, k, dim + 1])
