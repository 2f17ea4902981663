"""The loops of the planar chain, compiled: over the draws of a group, or, where they are few, over dimensions.

Shapes: z (G, N, D), maps (G, K, 2 D + 1) with rows (w, u, b), h (G, K, N). `u` is the raw parameter; u_hat and s are
made here, in the pass that reads w and u.
"""

import math
from typing import Any

import numpy as np

from nfbench.kernels.arithmetic import ROUND, compiled, factor, inlined, logarithm, renormalise, softplus, tanh
from nfbench.kernels.threads import TILE


@inlined
def constrain(row: Any, dim: int, u_hat: Any) -> Any:
    """`row (2 D + 1,) -> u_hat (D,)`, as `planar.constrain`; returns s and the sums w.u and w.w."""
    wu, ww = row[0] * row[dim], row[0] * row[0]
    for d in range(1, dim):
        wu += row[d] * row[dim + d]
        ww += row[d] * row[d]
    s = softplus(wu)
    scale = (s - 1 - wu) / ww
    for d in range(dim):
        u_hat[d] = row[dim + d] + scale * row[d]
    return s, wu, ww


@inlined
def unconstrain(row: Any, dim: int, s: Any, wu: Any, ww: Any, grad_s: Any, grad: Any) -> None:
    """Gradients in w and u_hat, `grad (2 D + 1,)`, become those in w and u, with what comes through s."""
    gw = row[0] * grad[dim]
    for d in range(1, dim):
        gw += row[d] * grad[dim + d]
    slope = -math.expm1(-s)  # of softplus, from its value
    scale = (s - 1 - wu) / ww
    to_wu = grad_s * slope + gw * (slope - 1) / ww
    to_ww = -2 * gw * scale / ww
    for d in range(dim):
        grad[d] += scale * grad[dim + d] + to_wu * row[dim + d] + to_ww * row[d]
        grad[dim + d] += to_wu * row[d]


@inlined
def activate(a: Any, b: Any, s: Any, h: Any, f: Any, e: Any) -> None:
    """One map on a tile of draws: h = tanh(a + b), also into `a`; h^2 + s (1 - h^2), its |det|, into f and e."""
    one = a.dtype.type(1)
    for n in range(h.shape[0]):
        active = tanh(a[n] + b)
        a[n] = active
        h[n] = active
        square = active * active
        part, power = factor(square + s * (one - square))
        f[n] *= part
        e[n] += power


@inlined
def deactivate(h: Any, s: Any, grad_log: Any, a: Any) -> Any:
    """`a`, the gradient in h from later maps, becomes that in w.z + b with the part of ln|det|; sums for s and b."""
    one, zero = h.dtype.type(1), h.dtype.type(0)
    to_s, to_b = zero, zero
    for n in range(h.shape[0]):
        square = h[n] * h[n]
        flat = one - square
        share = grad_log[n] / (square + s * flat)
        to_s += share * flat
        a[n] = (a[n] + (share + share) * h[n] * (one - s)) * flat
        to_b += a[n]
    return to_s, to_b


@compiled
def draws_forward(
    z: Any, maps: Any, out: Any, log_det: Any, h: Any, group: int, groups: int, start: int, stop: int
) -> None:
    """A tile holds TILE draws, dimension by dimension: each loop over a tile is a row of vector instructions."""
    dim, depth, kind = z.shape[2], maps.shape[1], z.dtype.type
    tile, a, f, e = (
        np.empty((dim, TILE), z.dtype),
        np.empty(TILE, z.dtype),
        np.empty(TILE, z.dtype),
        np.empty(TILE, z.dtype),
    )
    u_hat, s = np.empty((depth, dim), z.dtype), np.empty(depth, z.dtype)
    for g in range(group, groups):
        for k in range(depth):
            s[k], _, _ = constrain(maps[g, k], dim, u_hat[k])
        for first in range(start, stop, TILE):
            size = min(TILE, stop - first)
            tile[:, :size] = z[g, first : first + size].T
            f[:], e[:] = kind(1), kind(0)
            for k in range(depth):
                a[:] = kind(0)
                for d in range(dim):
                    for n in range(size):
                        a[n] += maps[g, k, d] * tile[d, n]
                activate(a, maps[g, k, 2 * dim], s[k], h[g, k, first : first + size], f, e)
                for d in range(dim):
                    for n in range(size):
                        tile[d, n] += u_hat[k, d] * a[n]
                if k % ROUND == ROUND - 1:
                    renormalise(f, e)
            out[g, first : first + size] = tile[:, :size].T
            for n in range(size):
                log_det[g, first + n] = logarithm(f[n], e[n])


@compiled
def draws_backward(
    z: Any,
    h: Any,
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
    """Rebuild z_{k-1} = z_k - u_hat_k h_k going down; sums over a tile are added to the gradients once a map."""
    dim, depth, kind = z.shape[2], maps.shape[1], z.dtype.type
    tile, back, a = np.empty((dim, TILE), z.dtype), np.empty((dim, TILE), z.dtype), np.empty(TILE, z.dtype)
    u_hat, s, to_s = np.empty((depth, dim), z.dtype), np.empty((depth, 3), z.dtype), np.empty(depth, z.dtype)
    for g in range(group, groups):
        for k in range(depth):
            s[k, 0], s[k, 1], s[k, 2] = constrain(maps[g, k], dim, u_hat[k])
        to_maps[g], to_s[:] = kind(0), kind(0)
        for first in range(start, stop, TILE):
            size = min(TILE, stop - first)
            tile[:, :size] = z[g, first : first + size].T
            back[:, :size] = grad[g, first : first + size].T
            for k in range(depth - 1, -1, -1):
                active = h[g, k, first : first + size]
                a[:] = kind(0)
                for d in range(dim):
                    for n in range(size):
                        a[n] += back[d, n] * u_hat[k, d]
                by_s, by_b = deactivate(active, s[k, 0], grad_log[g, first : first + size], a)
                to_s[k] += by_s
                to_maps[g, k, 2 * dim] += by_b
                for d in range(dim):
                    total_u, total_w = kind(0), kind(0)
                    for n in range(size):
                        total_u += back[d, n] * active[n]
                        tile[d, n] -= u_hat[k, d] * active[n]
                        total_w += a[n] * tile[d, n]
                        back[d, n] += maps[g, k, d] * a[n]
                    to_maps[g, k, dim + d] += total_u
                    to_maps[g, k, d] += total_w
            to_z[g, first : first + size] = back[:, :size].T
        for k in range(depth):
            unconstrain(maps[g, k], dim, s[k, 0], s[k, 1], s[k, 2], to_s[k], to_maps[g, k])


@compiled
def dimensions_forward(z: Any, maps: Any, out: Any, log_det: Any, h: Any, group: int, groups: int) -> None:
    """Map by map for the few draws of a group, D numbers side by side: each map's numbers are read once."""
    dim, draws, kind = z.shape[2], z.shape[1], z.dtype.type
    u_hat, f, e = np.empty(dim, z.dtype), np.empty(draws, z.dtype), np.empty(draws, z.dtype)
    for g in range(group, groups):
        out[g] = z[g]
        f[:], e[:] = kind(1), kind(0)
        for k in range(maps.shape[1]):
            row = maps[g, k]
            s, _, _ = constrain(row, dim, u_hat)
            for n in range(draws):
                a = row[2 * dim]
                for d in range(dim):
                    a += row[d] * out[g, n, d]
                active = tanh(a)
                h[g, k, n] = active
                for d in range(dim):
                    out[g, n, d] += u_hat[d] * active
                square = active * active
                part, power = factor(square + s * (kind(1) - square))
                f[n] *= part
                e[n] += power
            if k % ROUND == ROUND - 1:
                renormalise(f, e)
        for n in range(draws):
            log_det[g, n] = logarithm(f[n], e[n])


@compiled
def dimensions_backward(
    z: Any, h: Any, maps: Any, grad: Any, grad_log: Any, to_z: Any, to_maps: Any, group: int, groups: int
) -> None:
    """As `draws_backward`, map by map for the few draws of a group."""
    dim, draws, one = z.shape[2], z.shape[1], z.dtype.type(1)
    u_hat, points = np.empty(dim, z.dtype), np.empty((draws, dim), z.dtype)
    for g in range(group, groups):
        to_z[g], points[:] = grad[g], z[g]
        for k in range(maps.shape[1] - 1, -1, -1):
            row, to_row, to_s = maps[g, k], to_maps[g, k], one - one
            to_row[:] = one - one
            s, wu, ww = constrain(row, dim, u_hat)
            for n in range(draws):
                active, back, point = h[g, k, n], to_z[g, n], points[n]
                flat = one - active * active
                share = grad_log[g, n] / (active * active + s * flat)
                to_s += share * flat
                a = (share + share) * active * (one - s)
                for d in range(dim):
                    a += back[d] * u_hat[d]
                a *= flat
                to_row[2 * dim] += a
                for d in range(dim):
                    to_row[dim + d] += back[d] * active
                    point[d] -= u_hat[d] * active
                    to_row[d] += a * point[d]
                    back[d] += row[d] * a
            unconstrain(row, dim, s, wu, ww, to_s, to_row)
