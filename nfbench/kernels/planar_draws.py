"""The planar chain for the many draws of a group, compiled: vectors hold one dimension of several draws.

Shapes: z (G, N, D), maps (G, K, 2 D + 1) with rows (w, u, b). `u` is the raw parameter; u_hat and s are made here. What
is kept, h (G K N,), lies as the passes meet it: tile after tile of draws, each map by map.
"""

from typing import Any

import numpy as np

from nfbench.kernels.arithmetic import ROUND, compiled, factor, inlined, logarithm, renormalise
from nfbench.kernels.planar_dimensions import constrain, unconstrain
from nfbench.kernels.prefetch import fetch
from nfbench.kernels.threads import TILE
from nfbench.kernels.tiles import add_totals, empty, fill, four, put, room
from nfbench.kernels.vector import fma, store, wide
from nfbench.kernels.vector_tanh import tanh

width, load, spread = wide

# Where a tile's scalars lie in one array, after a: as several arrays the compiler would not see them apart.
_FACTOR, _POWER = TILE, 2 * TILE
_H, _LOG = TILE, 2 * TILE


@compiled
def forward(z: Any, maps: Any, out: Any, log_det: Any, h: Any, group: int, groups: int, start: int, stop: int) -> None:
    """Blocks of four vectors of draws go through a map together, and meet the next map's w on the way."""
    draws, dim, depth, kind, vector = z.shape[1], z.shape[2], maps.shape[1], z.dtype.type, width(z)
    tile, by = room(dim * TILE, z), room(3 * TILE, z)
    u_hat, s = np.empty((depth, dim), z.dtype), np.empty(depth, z.dtype)
    before, after = z.reshape(z.size), out.reshape(out.size)
    for g in range(group, groups):
        for k in range(depth):
            s[k], _, _ = constrain(maps[g, k], dim, u_hat[k])
        for first in range(start, stop, TILE):
            size = min(TILE, stop - first)
            fill(tile, before, (g * draws + first) * dim, size)
            by[_FACTOR:_POWER], by[_POWER:] = kind(1), kind(0)
            for n in range(0, size, 4 * vector):
                _along(tile, maps[g, 0], by, n)
            at = (g * draws + first) * depth
            for k in range(depth):
                _activate(by, maps[g, k, 2 * dim], s[k], size)
                for n in range(0, size, vector):
                    store(h, at + n, min(vector, size - n), load(by, n, vector))
                at += size
                for n in range(0, size, 4 * vector):
                    _move(tile, u_hat[k], maps[g, min(k + 1, depth - 1)], by, n)
                if k % ROUND == ROUND - 1:
                    renormalise(by[_FACTOR:_POWER], by[_POWER:])
            empty(tile, after, (g * draws + first) * dim, size)
            for n in range(size):
                log_det[g, first + n] = logarithm(by[_FACTOR + n], by[_POWER + n])


@inlined
def _along(tile: Any, along: Any, by: Any, n: Any) -> None:
    """Products of `along (>= D,)` with a block of draws, into `by`."""
    nothing = spread(tile.dtype.type(0))
    a_0, a_1, a_2, a_3 = nothing, nothing, nothing, nothing
    for d in range(tile.shape[0] // TILE):
        w, (z_0, z_1, z_2, z_3) = spread(along[d]), four(tile, d * TILE + n)
        a_0, a_1, a_2, a_3 = fma(w, z_0, a_0), fma(w, z_1, a_1), fma(w, z_2, a_2), fma(w, z_3, a_3)
    put(by, n, a_0, a_1, a_2, a_3)


@inlined
def _move(tile: Any, u_hat: Any, following: Any, by: Any, n: Any) -> None:
    """`z + u_hat h` for a block of draws, and the products of w, the first of `following`, with it in place of h."""
    nothing = spread(tile.dtype.type(0))
    h_0, h_1, h_2, h_3 = four(by, n)
    a_0, a_1, a_2, a_3 = nothing, nothing, nothing, nothing
    for d in range(tile.shape[0] // TILE):
        at, u, w = d * TILE + n, spread(u_hat[d]), spread(following[d])
        z_0, z_1, z_2, z_3 = four(tile, at)
        z_0, z_1, z_2, z_3 = fma(u, h_0, z_0), fma(u, h_1, z_1), fma(u, h_2, z_2), fma(u, h_3, z_3)
        put(tile, at, z_0, z_1, z_2, z_3)
        a_0, a_1, a_2, a_3 = fma(w, z_0, a_0), fma(w, z_1, a_1), fma(w, z_2, a_2), fma(w, z_3, a_3)
    put(by, n, a_0, a_1, a_2, a_3)


@inlined
def _activate(by: Any, b: Any, s: Any, size: Any) -> None:
    """One map on a tile of draws: a becomes h = tanh(a + b); h^2 + s (1 - h^2), its |det|, goes into the factors."""
    one = by.dtype.type(1)
    same, shift = spread(one), spread(b)
    for n in range(0, size, 4 * width(by)):
        a_0, a_1, a_2, a_3 = four(by, n)
        h_0, h_1, h_2, h_3 = tanh(
            fma(same, a_0, shift), fma(same, a_1, shift), fma(same, a_2, shift), fma(same, a_3, shift)
        )
        put(by, n, h_0, h_1, h_2, h_3)
    for n in range(size):
        square = by[n] * by[n]
        part, power = factor(square + s * (one - square))
        by[_FACTOR + n] *= part
        by[_POWER + n] += power


@compiled
def backward(
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
    draws, dim, depth, kind, vector = z.shape[1], z.shape[2], maps.shape[1], z.dtype.type, width(z)
    tile, back, by = room(dim * TILE, z), room(dim * TILE, z), room(3 * TILE, z)
    u_hat, s, to_s = np.empty((depth, dim), z.dtype), np.empty((depth, 3), z.dtype), np.empty(depth, z.dtype)
    points, given, found = z.reshape(z.size), grad.reshape(grad.size), to_z.reshape(to_z.size)
    sums, rows, row = room(2 * dim * vector, z), to_maps.reshape(to_maps.size), maps.shape[2]
    for g in range(group, groups):
        for k in range(depth):
            s[k, 0], s[k, 1], s[k, 2] = constrain(maps[g, k], dim, u_hat[k])
        to_maps[g], to_s[:] = kind(0), kind(0)
        for first in range(start, stop, TILE):
            size = min(TILE, stop - first)
            fill(tile, points, (g * draws + first) * dim, size)
            fill(back, given, (g * draws + first) * dim, size)
            by[:] = kind(0)
            by[_LOG : _LOG + size] = grad_log[g, first : first + size]
            for n in range(0, size, 4 * vector):
                _along(back, u_hat[depth - 1], by, n)
            at = (g * draws + first + size) * depth
            for k in range(depth - 1, -1, -1):
                at -= size
                for n in range(0, size, vector):
                    store(by, _H + n, vector, load(h, at + n, min(vector, size - n)))
                    fetch(h, at - size + n)
                by_s, by_b = _deactivate(by, s[k, 0], size)
                to_s[k] += by_s
                to_maps[g, k, 2 * dim] += by_b
                for n in range(0, size, 4 * vector):
                    _down(tile, back, maps[g, k], u_hat[k], u_hat[max(k - 1, 0)], by, sums, n)
                add_totals(rows, (g * depth + k) * row, sums, 0, dim)
                add_totals(rows, (g * depth + k) * row + dim, sums, dim * vector, dim)
            empty(back, found, (g * draws + first) * dim, size)
        for k in range(depth):
            unconstrain(maps[g, k], dim, s[k, 0], s[k, 1], s[k, 2], to_s[k], to_maps[g, k])


@inlined
def _down(tile: Any, back: Any, along: Any, u_hat: Any, next_u_hat: Any, by: Any, sums: Any, n: Any) -> None:
    """A block of draws goes down one map: z is rebuilt, the gradient in it moves along w, and meets the next u_hat.

    The products of gradient and h, and of z and the gradient in w.z + b, are summed over blocks into `sums`, dimension
    by dimension a vector: first those for w, then those for u_hat.
    """
    vector, dim, nothing = width(tile), tile.shape[0] // TILE, spread(tile.dtype.type(0))
    a_0, a_1, a_2, a_3 = four(by, n)
    h_0, h_1, h_2, h_3 = four(by, _H + n)
    g_0, g_1, g_2, g_3 = nothing, nothing, nothing, nothing
    for d in range(dim):
        at, to_w, to_u = d * TILE + n, d * vector, (dim + d) * vector
        w, u, then = spread(along[d]), spread(-u_hat[d]), spread(next_u_hat[d])
        by_w, by_u = nothing, nothing
        if n:
            by_w, by_u = load(sums, to_w, vector), load(sums, to_u, vector)
        b_0, b_1, b_2, b_3 = four(back, at)
        store(sums, to_u, vector, fma(b_3, h_3, fma(b_2, h_2, fma(b_1, h_1, fma(b_0, h_0, by_u)))))
        z_0, z_1, z_2, z_3 = four(tile, at)
        z_0, z_1, z_2, z_3 = fma(u, h_0, z_0), fma(u, h_1, z_1), fma(u, h_2, z_2), fma(u, h_3, z_3)
        put(tile, at, z_0, z_1, z_2, z_3)
        store(sums, to_w, vector, fma(z_3, a_3, fma(z_2, a_2, fma(z_1, a_1, fma(z_0, a_0, by_w)))))
        b_0, b_1, b_2, b_3 = fma(w, a_0, b_0), fma(w, a_1, b_1), fma(w, a_2, b_2), fma(w, a_3, b_3)
        put(back, at, b_0, b_1, b_2, b_3)
        g_0, g_1, g_2, g_3 = fma(then, b_0, g_0), fma(then, b_1, g_1), fma(then, b_2, g_2), fma(then, b_3, g_3)
    put(by, n, g_0, g_1, g_2, g_3)


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
