"""The loops of the planar chain, compiled: over the draws of a group, or, where they are few, over dimensions.

Shapes: z (G, N, D), maps (G, K, 2 D + 1) with rows (w, u, b), h (G, K, N). `u` is the raw parameter; u_hat and s are
made here, in the pass that reads w and u.
"""

import math
from typing import Any

import numpy as np

from nfbench.kernels.arithmetic import ROUND, compiled, factor, inlined, logarithm, renormalise, softplus, tanh
from nfbench.kernels.threads import TILE
from nfbench.kernels.tiles import empty, fill
from nfbench.kernels.vector import fma, load, spread, store, total, width

# Where a tile's scalars lie in one array, after a: as several arrays the compiler would not see them apart.
_FACTOR, _POWER = TILE, 2 * TILE
_H, _LOG = TILE, 2 * TILE


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


@compiled
def draws_forward(
    z: Any, maps: Any, out: Any, log_det: Any, h: Any, group: int, groups: int, start: int, stop: int
) -> None:
    """A tile holds TILE draws, dimension by dimension; blocks of four vectors of draws go through a map together."""
    dim, depth, kind, vector = z.shape[2], maps.shape[1], z.dtype.type, width(z)
    tile, by = np.zeros(dim * TILE, z.dtype), np.zeros(3 * TILE, z.dtype)
    u_hat, s = np.empty((depth, dim), z.dtype), np.empty(depth, z.dtype)
    for g in range(group, groups):
        for k in range(depth):
            s[k], _, _ = constrain(maps[g, k], dim, u_hat[k])
        for first in range(start, stop, TILE):
            size = min(TILE, stop - first)
            fill(tile, z[g, first : first + size])
            by[_FACTOR:_POWER], by[_POWER:] = kind(1), kind(0)
            for k in range(depth):
                for n in range(0, size, 4 * vector):
                    i, j, m = n + vector, n + 2 * vector, n + 3 * vector
                    a_0, a_1, a_2, a_3 = spread(kind(0)), spread(kind(0)), spread(kind(0)), spread(kind(0))
                    for d in range(dim):
                        at, w = d * TILE, spread(maps[g, k, d])
                        a_0, a_1 = fma(w, load(tile, at + n, vector), a_0), fma(w, load(tile, at + i, vector), a_1)
                        a_2, a_3 = fma(w, load(tile, at + j, vector), a_2), fma(w, load(tile, at + m, vector), a_3)
                    store(by, n, vector, a_0)
                    store(by, i, vector, a_1)
                    store(by, j, vector, a_2)
                    store(by, m, vector, a_3)
                _activate(by, maps[g, k, 2 * dim], s[k], size)
                h[g, k, first : first + size] = by[:size]
                for n in range(0, size, 4 * vector):
                    for d in range(dim):
                        u = spread(u_hat[k, d])
                        for i in range(n, n + 4 * vector, vector):
                            at = d * TILE + i
                            store(tile, at, vector, fma(u, load(by, i, vector), load(tile, at, vector)))
                if k % ROUND == ROUND - 1:
                    renormalise(by[_FACTOR:_POWER], by[_POWER:])
            empty(tile, out[g, first : first + size])
            for n in range(size):
                log_det[g, first + n] = logarithm(by[_FACTOR + n], by[_POWER + n])


@inlined
def _activate(by: Any, b: Any, s: Any, size: Any) -> None:
    """One map on a tile of draws: a becomes h = tanh(a + b); h^2 + s (1 - h^2), its |det|, goes into the factors."""
    one = by.dtype.type(1)
    for n in range(size):
        active = tanh(by[n] + b)
        by[n] = active
        square = active * active
        part, power = factor(square + s * (one - square))
        by[_FACTOR + n] *= part
        by[_POWER + n] += power


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
    dim, depth, kind, vector = z.shape[2], maps.shape[1], z.dtype.type, width(z)
    tile, back, by = np.zeros(dim * TILE, z.dtype), np.zeros(dim * TILE, z.dtype), np.zeros(3 * TILE, z.dtype)
    u_hat, s, to_s = np.empty((depth, dim), z.dtype), np.empty((depth, 3), z.dtype), np.empty(depth, z.dtype)
    nothing = spread(kind(0))
    for g in range(group, groups):
        for k in range(depth):
            s[k, 0], s[k, 1], s[k, 2] = constrain(maps[g, k], dim, u_hat[k])
        to_maps[g], to_s[:] = kind(0), kind(0)
        for first in range(start, stop, TILE):
            size = min(TILE, stop - first)
            fill(tile, z[g, first : first + size])
            fill(back, grad[g, first : first + size])
            by[:] = kind(0)
            by[_LOG : _LOG + size] = grad_log[g, first : first + size]
            for k in range(depth - 1, -1, -1):
                by[_H : _H + size] = h[g, k, first : first + size]
                for n in range(0, size, 4 * vector):
                    i, j, m = n + vector, n + 2 * vector, n + 3 * vector
                    a_0, a_1, a_2, a_3 = nothing, nothing, nothing, nothing
                    for d in range(dim):
                        at, u = d * TILE, spread(u_hat[k, d])
                        a_0, a_1 = fma(u, load(back, at + n, vector), a_0), fma(u, load(back, at + i, vector), a_1)
                        a_2, a_3 = fma(u, load(back, at + j, vector), a_2), fma(u, load(back, at + m, vector), a_3)
                    store(by, n, vector, a_0)
                    store(by, i, vector, a_1)
                    store(by, j, vector, a_2)
                    store(by, m, vector, a_3)
                by_s, by_b = _deactivate(by, s[k, 0], size)
                to_s[k] += by_s
                to_maps[g, k, 2 * dim] += by_b
                for d in range(dim):
                    w, u, to_w, to_u = spread(maps[g, k, d]), spread(-u_hat[k, d]), nothing, nothing
                    for n in range(0, size, 2 * vector):
                        for i in range(n, n + 2 * vector, vector):
                            at, a, active = d * TILE + i, load(by, i, vector), load(by, _H + i, vector)
                            old, before = load(back, at, vector), fma(u, active, load(tile, at, vector))
                            to_u, to_w = fma(old, active, to_u), fma(a, before, to_w)
                            store(tile, at, vector, before)
                            store(back, at, vector, fma(w, a, old))
                    to_maps[g, k, dim + d] += total(to_u)
                    to_maps[g, k, d] += total(to_w)
            empty(back, to_z[g, first : first + size])
        for k in range(depth):
            unconstrain(maps[g, k], dim, s[k, 0], s[k, 1], s[k, 2], to_s[k], to_maps[g, k])


@inlined
def _deactivate(by: Any, s: Any, size: Any) -> Any:
    """The gradient in h from later maps becomes that in w.z + b with the part of ln|det|; sums for s and b."""
    one, zero = by.dtype.type(1), by.dtype.type(0)
    to_s, to_b = zero, zero
    for n in range(size):
        active = by[_H + n]
        square = active * active
        flat = one - square
        share = by[_LOG + n] / (square + s * flat)
        to_s += share * flat
        a = (by[n] + (share + share) * active * (one - s)) * flat
        by[n] = a
        to_b += a
    for n in range(size, TILE):  # no draws
        by[n] = zero
    return to_s, to_b


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
