"""The loops of the planar chain, compiled: over the draws of a group, or, where they are few, over dimensions.

Shapes as in `planar_cpu`: z (G, N, D), w and u (G, K, D), b and s (G, K), h (G, K, N). `u` is the raw parameter; u_hat
and s are made here, in the pass that reads w and u.
"""

import math
from typing import Any

import numpy as np

from nfbench.kernels.cpu import TILE, compiled, tanh


@compiled
def _constrain(w: Any, u: Any, u_hat: Any, s: Any) -> None:
    """`w, u (K, D) -> u_hat (K, D), s (K,)`, as `planar.constrain`."""
    for k in range(w.shape[0]):
        wu, ww = w[k, 0] * u[k, 0], w[k, 0] * w[k, 0]
        for d in range(1, w.shape[1]):
            wu += w[k, d] * u[k, d]
            ww += w[k, d] * w[k, d]
        s[k] = max(wu, 0.0) + math.log1p(math.exp(-abs(wu)))
        scale = (s[k] - 1 - wu) / ww
        for d in range(w.shape[1]):
            u_hat[k, d] = u[k, d] + scale * w[k, d]


@compiled
def _unconstrain(w: Any, u: Any, s: Any, grad_s: Any, grad_w: Any, grad_u: Any) -> None:
    """Add to gradients in w and u_hat `(K, D)`, and s `(K,)`, what reaches w and u through the constraint."""
    for k in range(w.shape[0]):
        wu, ww, gw = w[k, 0] * u[k, 0], w[k, 0] * w[k, 0], w[k, 0] * grad_u[k, 0]
        for d in range(1, w.shape[1]):
            wu += w[k, d] * u[k, d]
            ww += w[k, d] * w[k, d]
            gw += w[k, d] * grad_u[k, d]
        slope = -math.expm1(-s[k])  # of softplus, from its value
        scale = (s[k] - 1 - wu) / ww
        grad_wu = grad_s[k] * slope + gw * (slope - 1) / ww
        grad_ww = -gw * scale / ww
        for d in range(w.shape[1]):
            grad_w[k, d] += scale * grad_u[k, d] + grad_wu * u[k, d] + 2 * grad_ww * w[k, d]
            grad_u[k, d] += grad_wu * w[k, d]


@compiled
def draws_forward(z: Any, w: Any, u: Any, b: Any, out: Any, h: Any, s: Any) -> None:
    """A tile holds TILE draws, dimension by dimension: each loop over a tile is a row of vector instructions."""
    tile, a, u_hat = np.empty((z.shape[2], TILE), z.dtype), np.empty(TILE, z.dtype), np.empty_like(u[0])
    for g in range(z.shape[0]):
        _constrain(w[g], u[g], u_hat, s[g])
        for first in range(0, z.shape[1], TILE):
            size = min(TILE, z.shape[1] - first)
            tile[:, :size] = z[g, first : first + size].T
            for k in range(w.shape[1]):
                a[:] = b[g, k]
                for d in range(z.shape[2]):
                    for n in range(size):
                        a[n] += w[g, k, d] * tile[d, n]
                for n in range(size):
                    a[n] = tanh(a[n])
                    h[g, k, first + n] = a[n]
                for d in range(z.shape[2]):
                    for n in range(size):
                        tile[d, n] += u_hat[k, d] * a[n]
            out[g, first : first + size] = tile[:, :size].T


@compiled
def _activation(h: Any, s: Any, one: Any, grad_log: Any, a: Any) -> Any:
    """The part of d/dh that comes from ln|det|, into `a`; returns d/ds. For one map and a tile of draws."""
    total = one - one
    for n in range(h.shape[0]):
        square = h[n] * h[n]
        share = grad_log[n] / (square + s * (one - square))
        total += share * (one - square)
        a[n] = (share + share) * h[n] * (one - s)
    return total


@compiled
def draws_backward(
    z: Any, h: Any, s: Any, w: Any, u: Any, grad: Any, grad_log: Any, to_z: Any, to_w: Any, to_u: Any, to_b: Any
) -> None:
    """Rebuild z_{k-1} = z_k - u_hat_k h_k going down; sums over a tile are added to the gradients once a map."""
    one, zero = z.dtype.type(1), z.dtype.type(0)
    tile, back = np.empty((z.shape[2], TILE), z.dtype), np.empty((z.shape[2], TILE), z.dtype)
    a, u_hat, to_s = np.empty(TILE, z.dtype), np.empty_like(u[0]), np.empty_like(s[0])
    for g in range(z.shape[0]):
        _constrain(w[g], u[g], u_hat, to_s)
        to_s[:] = 0
        for first in range(0, z.shape[1], TILE):
            size = min(TILE, z.shape[1] - first)
            tile[:, :size] = z[g, first : first + size].T
            back[:, :size] = grad[g, first : first + size].T
            for k in range(w.shape[1] - 1, -1, -1):
                active = h[g, k, first : first + size]
                to_s[k] += _activation(active, s[g, k], one, grad_log[g, first : first + size], a)
                for d in range(z.shape[2]):
                    for n in range(size):
                        a[n] += back[d, n] * u_hat[k, d]
                total = zero
                for n in range(size):
                    a[n] *= one - active[n] * active[n]
                    total += a[n]
                to_b[g, k] += total
                for d in range(z.shape[2]):
                    total_u, total_w = zero, zero
                    for n in range(size):
                        total_u += back[d, n] * active[n]
                        tile[d, n] -= u_hat[k, d] * active[n]
                        total_w += a[n] * tile[d, n]
                        back[d, n] += w[g, k, d] * a[n]
                    to_u[g, k, d] += total_u
                    to_w[g, k, d] += total_w
            to_z[g, first : first + size] = back[:, :size].T
        _unconstrain(w[g], u[g], s[g], to_s, to_w[g], to_u[g])


@compiled
def dimensions_forward(z: Any, w: Any, u: Any, b: Any, out: Any, h: Any, s: Any) -> None:
    """One draw at a time, its D numbers side by side: a map's parameters are read where they lie."""
    u_hat = np.empty_like(u[0])
    for g in range(z.shape[0]):
        _constrain(w[g], u[g], u_hat, s[g])
        for n in range(z.shape[1]):
            point = out[g, n]
            point[:] = z[g, n]
            for k in range(w.shape[1]):
                a = b[g, k]
                for d in range(z.shape[2]):
                    a += w[g, k, d] * point[d]
                a = tanh(a)
                h[g, k, n] = a
                for d in range(z.shape[2]):
                    point[d] += u_hat[k, d] * a


@compiled
def dimensions_backward(
    z: Any, h: Any, s: Any, w: Any, u: Any, grad: Any, grad_log: Any, to_z: Any, to_w: Any, to_u: Any, to_b: Any
) -> None:
    """As `draws_backward`, one draw at a time."""
    one = z.dtype.type(1)
    point, u_hat, to_s = np.empty(z.shape[2], z.dtype), np.empty_like(u[0]), np.empty_like(s[0])
    for g in range(z.shape[0]):
        _constrain(w[g], u[g], u_hat, to_s)
        to_s[:] = 0
        for n in range(z.shape[1]):
            back = to_z[g, n]
            back[:] = grad[g, n]
            point[:] = z[g, n]
            for k in range(w.shape[1] - 1, -1, -1):
                active = h[g, k, n]
                flat = one - active * active
                share = grad_log[g, n] / (active * active + s[g, k] * flat)
                to_s[k] += share * flat
                a = (share + share) * active * (one - s[g, k])
                for d in range(z.shape[2]):
                    a += back[d] * u_hat[k, d]
                a *= flat
                to_b[g, k] += a
                for d in range(z.shape[2]):
                    to_u[g, k, d] += back[d] * active
                    point[d] -= u_hat[k, d] * active
                    to_w[g, k, d] += a * point[d]
                    back[d] += w[g, k, d] * a
        _unconstrain(w[g], u[g], s[g], to_s, to_w[g], to_u[g])
