"""The radial chain for the many draws of a group, compiled: vectors hold one dimension of several draws.

Shapes: z (G, N, D), maps (G, K, D + 2) with rows (c, raw alpha, raw beta). With alpha and s the softplus of the raw
numbers a map is z + q (z - c), q = (s - alpha) / (alpha + r). What is kept, r (G K N,), lies as the passes meet it:
tile after tile of draws, each map by map.
"""

import math
from typing import Any

from nfbench.kernels.cpu.shares import TILE
from nfbench.kernels.cpu.team import own
from nfbench.kernels.cpu.tiles import add_totals, empty, fill, four, put, room, squares
from nfbench.kernels.radial.cpu_slopes import slopes_with_q
from nfbench.kernels.simd.arithmetic import ROUND, compiled, factor, inlined, logarithm, renormalise, sigmoid, softplus
from nfbench.kernels.simd.prefetch import fetch
from nfbench.kernels.simd.vector import fma, store, wide

width, load, spread, _ = wide

# Where the scalars of a tile lie in one array: as several the compiler would not see them apart.
_R, _Q, _ACROSS, _ACROSS_POWER, _ALONG, _ALONG_POWER, _REACH = (TILE * place for place in range(7))
_SHRINK, _RADIAL, _LOG = (TILE * place for place in range(2, 5))


@compiled
def forward(z: Any, maps: Any, out: Any, log_det: Any, r: Any, share: Any) -> None:
    """Blocks of four vectors of draws go through a map together, and are measured from the next one's centre."""
    _, group, groups, start, stop = share
    draws, dim, depth, kind, vector = z.shape[1], z.shape[2], maps.shape[1], z.dtype.type, width(z)
    tile, by = room(dim * TILE, z), room(7 * TILE, z)
    before, after = z.reshape(z.size), out.reshape(out.size)
    for g in range(group, groups):
        for first in range(start, stop, TILE):
            size = min(TILE, stop - first)
            fill(tile, before, (g * draws + first) * dim, size)
            by[:_ACROSS], by[_ACROSS:] = kind(0), kind(1)
            by[_ACROSS_POWER:_ALONG], by[_ALONG_POWER:_REACH] = kind(0), kind(0)
            for n in range(0, size, 4 * vector):  # with q = 0 nothing moves
                _move(tile, maps[g, 0], maps[g, 0], by, n)
            at = (g * draws + first) * depth
            for k in range(depth):
                _spread(by, softplus(maps[g, k, dim]), softplus(maps[g, k, dim + 1]), size)
                for n in range(0, size, vector):
                    store(r, at + n, min(vector, size - n), load(by, _R + n, vector))
                at += size
                for n in range(0, size, 4 * vector):
                    _move(tile, maps[g, k], maps[g, min(k + 1, depth - 1)], by, n)
                if k % ROUND == ROUND - 1:
                    renormalise(by[_ACROSS:_ACROSS_POWER], by[_ACROSS_POWER:_ALONG])
                    renormalise(by[_ALONG:_ALONG_POWER], by[_ALONG_POWER:_REACH])
            empty(tile, after, (g * draws + first) * dim, size)
            _logarithms(by, kind(dim - 1), log_det[g, first : first + size])


@inlined
def _logarithms(by: Any, times: Any, found: Any) -> None:
    across, across_power, along, along_power = by[_ACROSS:], by[_ACROSS_POWER:], by[_ALONG:], by[_ALONG_POWER:]
    for n in range(found.shape[0]):
        found[n] = times * logarithm(across[n], across_power[n]) + logarithm(along[n], along_power[n])


@inlined
def _move(tile: Any, centre: Any, following: Any, by: Any, n: Any) -> None:
    """`z + q (z - c)` for a block of draws, and its squared distances from the centre of `following` in place of r."""
    nothing, minus = spread(tile.dtype.type(0)), spread(tile.dtype.type(-1))
    q_0, q_1, q_2, q_3 = four(by, _Q + n)
    s_0, s_1, s_2, s_3 = nothing, nothing, nothing, nothing
    for d in range(tile.shape[0] // TILE):
        at, c, then = d * TILE + n, spread(centre[d]), spread(following[d])
        z_0, z_1, z_2, z_3 = four(tile, at)
        z_0, z_1 = fma(q_0, fma(minus, c, z_0), z_0), fma(q_1, fma(minus, c, z_1), z_1)
        z_2, z_3 = fma(q_2, fma(minus, c, z_2), z_2), fma(q_3, fma(minus, c, z_3), z_3)
        put(tile, at, z_0, z_1, z_2, z_3)
        x_0, x_1 = fma(minus, then, z_0), fma(minus, then, z_1)
        x_2, x_3 = fma(minus, then, z_2), fma(minus, then, z_3)
        s_0, s_1, s_2, s_3 = fma(x_0, x_0, s_0), fma(x_1, x_1, s_1), fma(x_2, x_2, s_2), fma(x_3, x_3, s_3)
    put(by, _R + n, s_0, s_1, s_2, s_3)


@inlined
def _spread(by: Any, alpha: Any, s: Any, size: Any) -> None:
    """One map on a tile of draws: the squared radius becomes the radius, q beside it; factors of |det| go in."""
    one = by.dtype.type(1)
    for n in range(size):
        radius = math.sqrt(by[_R + n])
        per_reach = one / (alpha + radius)
        by[_R + n], by[_REACH + n], by[_Q + n] = radius, per_reach, (s - alpha) * per_reach
    for n in range(size):  # in one loop with the others this would be too much for the compiler to vectorise
        part, power = factor((by[_R + n] + s) * by[_REACH + n])
        by[_ACROSS + n] *= part
        by[_ACROSS_POWER + n] += power
    for n in range(size):
        radius, per_reach = by[_R + n], by[_REACH + n]
        part, power = factor((radius * (radius + alpha + alpha) + alpha * s) * per_reach * per_reach)
        by[_ALONG + n] *= part
        by[_ALONG_POWER + n] += power


@compiled
def backward(
    z: Any,
    r: Any,
    maps: Any,
    grad: Any,
    grad_log: Any,
    to_z: Any,
    of_maps: Any,
    share: Any,
) -> None:
    """Rebuild z_{k-1} going down; sums over a tile are added to the gradients once a map.

    z_{k-1} - c has the direction of z_k - c and the length r that was kept: a factor (alpha + r) / (r + s) would also
    enlarge the rounding of z_k where a map contracts.
    """
    _, group, groups, start, stop = share
    to_maps = own(of_maps, share)
    draws, dim, depth, kind, vector = z.shape[1], z.shape[2], maps.shape[1], z.dtype.type, width(z)
    tile, back, by = room(dim * TILE, z), room(dim * TILE, z), room(5 * TILE, z)
    points, given, found = z.reshape(z.size), grad.reshape(grad.size), to_z.reshape(to_z.size)
    sums, rows, row = squares(dim, z), to_maps.reshape(to_maps.size), maps.shape[2]
    for g in range(group, groups):
        to_maps[g] = kind(0)
        for first in range(start, stop, TILE):
            size = min(TILE, stop - first)
            fill(tile, points, (g * draws + first) * dim, size)
            fill(back, given, (g * draws + first) * dim, size)
            by[_LOG:] = kind(0)
            by[_LOG : _LOG + size] = grad_log[g, first : first + size]
            for n in range(0, size, 2 * vector):
                _meet(tile, back, maps[g, depth - 1], by, n)
            at = (g * draws + first + size) * depth
            for k in range(depth - 1, -1, -1):
                at -= size
                for n in range(0, size, vector):
                    store(by, _R + n, vector, load(r, at + n, min(vector, size - n)))
                    fetch(r, at - size + n)
                alpha, s = softplus(maps[g, k, dim]), softplus(maps[g, k, dim + 1])
                to_alpha, to_s = _scalars(by, alpha, s, kind(dim - 1), size)
                to_maps[g, k, dim] += to_alpha * sigmoid(maps[g, k, dim])
                to_maps[g, k, dim + 1] += to_s * sigmoid(maps[g, k, dim + 1])
                for n in range(0, size, 2 * vector):
                    _down(tile, back, maps[g, k], maps[g, max(k - 1, 0)], by, sums, n)
                add_totals(rows, (g * depth + k) * row, sums, 0, dim)
            empty(back, found, (g * draws + first) * dim, size)


@inlined
def _meet(tile: Any, back: Any, centre: Any, by: Any, n: Any) -> None:
    """For a block of draws |z - c|^2 and the product of z - c with the gradient, in place of their scalars."""
    vector, nothing, minus = width(tile), spread(tile.dtype.type(0)), spread(tile.dtype.type(-1))
    i = n + vector
    s_0, s_1, p_0, p_1 = nothing, nothing, nothing, nothing
    for d in range(tile.shape[0] // TILE):
        at, c = d * TILE, spread(centre[d])
        x_0, x_1 = fma(minus, c, load(tile, at + n, vector)), fma(minus, c, load(tile, at + i, vector))
        s_0, s_1 = fma(x_0, x_0, s_0), fma(x_1, x_1, s_1)
        p_0, p_1 = fma(x_0, load(back, at + n, vector), p_0), fma(x_1, load(back, at + i, vector), p_1)
    store(by, _SHRINK + n, vector, s_0)
    store(by, _SHRINK + i, vector, s_1)
    store(by, _Q + n, vector, p_0)
    store(by, _Q + i, vector, p_1)


@inlined
def _down(tile: Any, back: Any, centre: Any, following: Any, by: Any, sums: Any, n: Any) -> None:
    """A block of draws goes down one map, and meets the next centre; what the centre gets is summed into `sums`."""
    vector, nothing = width(tile), spread(tile.dtype.type(0))
    minus, one = spread(tile.dtype.type(-1)), spread(tile.dtype.type(1))
    i = n + vector
    f_0, f_1 = load(by, _SHRINK + n, vector), load(by, _SHRINK + i, vector)
    q_0, q_1 = load(by, _Q + n, vector), load(by, _Q + i, vector)
    o_0, o_1 = load(by, _RADIAL + n, vector), load(by, _RADIAL + i, vector)
    s_0, s_1, p_0, p_1 = nothing, nothing, nothing, nothing
    for d in range(tile.shape[0] // TILE):
        at, to, c, then = d * TILE, d * vector, spread(centre[d]), spread(following[d])
        shares = nothing
        if n:
            shares = load(sums, to, vector)
        x_0 = fma(f_0, fma(minus, c, load(tile, at + n, vector)), nothing)
        x_1 = fma(f_1, fma(minus, c, load(tile, at + i, vector)), nothing)
        b_0, b_1 = load(back, at + n, vector), load(back, at + i, vector)
        to_0, to_1 = fma(q_0, b_0, fma(o_0, x_0, nothing)), fma(q_1, b_1, fma(o_1, x_1, nothing))
        store(sums, to, vector, fma(minus, to_0, fma(minus, to_1, shares)))
        z_0, z_1, b_0, b_1 = fma(one, x_0, c), fma(one, x_1, c), fma(one, to_0, b_0), fma(one, to_1, b_1)
        store(tile, at + n, vector, z_0)
        store(tile, at + i, vector, z_1)
        store(back, at + n, vector, b_0)
        store(back, at + i, vector, b_1)
        y_0, y_1 = fma(minus, then, z_0), fma(minus, then, z_1)
        s_0, s_1, p_0, p_1 = fma(y_0, y_0, s_0), fma(y_1, y_1, s_1), fma(y_0, b_0, p_0), fma(y_1, b_1, p_1)
    store(by, _SHRINK + n, vector, s_0)
    store(by, _SHRINK + i, vector, s_1)
    store(by, _Q + n, vector, p_0)
    store(by, _Q + i, vector, p_1)


@inlined
def _scalars(by: Any, alpha: Any, s: Any, count: Any, size: Any) -> Any:
    """From |z_k - c|^2 and the gradient times z_k - c: what each draw's gradients need, and sums for alpha, s."""
    zero, one = by.dtype.type(0), by.dtype.type(1)
    total_alpha, total_s = zero, zero
    for n in range(size):  # in one loop this would be too much for the compiler to vectorise
        square = by[_SHRINK + n]
        shrink = by[_R + n] / math.sqrt(square if square > zero else one)
        by[_SHRINK + n] = shrink if square > zero else zero
    for n in range(size):
        by[_Q + n] *= by[_SHRINK + n]
    for n in range(size):
        radius = by[_R + n]
        to_r, to_alpha, to_s = slopes_with_q(radius, alpha, s, count, by[_LOG + n], by[_Q + n])
        by[_RADIAL + n] = to_r / (radius if radius > zero else one)
        total_alpha += to_alpha
        total_s += to_s
    for n in range(size):
        radius = by[_R + n]
        by[_RADIAL + n] = by[_RADIAL + n] if radius > zero else zero
        by[_Q + n] = (s - alpha) / (alpha + radius)
    for n in range(size, TILE):  # no draws
        by[_SHRINK + n], by[_Q + n], by[_RADIAL + n] = zero, zero, zero
    return total_alpha, total_s
