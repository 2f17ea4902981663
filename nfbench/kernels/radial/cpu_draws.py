"""The radial chain for many draws that share their maps' numbers; compiled.

Tiles of draws go through the chain, and vectors hold one dimension of several draws. With alpha and s the softplus of
the raw numbers a map is z + q (z - c), q = (s - alpha) / (alpha + r), r = |z - c|. Shapes: z (G, N, D); maps
(G, K, D + 2) with rows (c, raw alpha, raw beta). The activations r, (G K N,), lie in the order in which they are made
and used: group, tile of draws, map, draw.
"""

import math
from typing import Any

from nfbench.kernels.compiler.decorators import compiled, inlined
from nfbench.kernels.cpu.shares import TILE
from nfbench.kernels.cpu.team import own
from nfbench.kernels.cpu.tiles import add_totals, empty, fill, four, put, room, squares
from nfbench.kernels.radial.cpu_restart import enlarged, path_of_tile, put_back
from nfbench.kernels.radial.cpu_slopes import slopes_with_q
from nfbench.kernels.radial.reference import LIMIT
from nfbench.kernels.simd.arithmetic import ROUND, factor, logarithm, renormalise, sigmoid, softplus
from nfbench.kernels.simd.prefetch import fetch
from nfbench.kernels.simd.vector import fma, store, wide

width, load, spread, _ = wide

# Indices of a tile's scalars in one array (of separate arrays LLVM would have to assume that they overlap). On the way
# up: r, q, the two factors of |det| with their powers of two, and 1 / (alpha + r). On the way down: r; g.(z - c), then
# q; |z - c|^2, then r / |z - c|; the gradient in r over r; that in ln|det|; and how far
# rounding is enlarged after the map and before.
_R, _Q, _ACROSS, _ACROSS_POWER, _ALONG, _ALONG_POWER, _REACH = (TILE * place for place in range(7))
_SHRINK, _RADIAL, _LOG, _GROWN, _BEFORE = (TILE * place for place in range(2, 7))


@compiled
def forward(z: Any, maps: Any, out: Any, log_det: Any, r: Any, share: Any) -> None:
    """Push draws through the chain; one loop moves them by a map and measures them from the next map's centre.

    Args:
        z: (G, N, D).
        maps: (G, K, D + 2).
        out: z_K (G, N, D), written.
        log_det: ln|det| (G, N), written.
        r: activations (G K N,), written.
        share: which groups and draws.
    """
    _, group, groups, start, stop = share
    draws, dim, depth, kind, vector = z.shape[1], z.shape[2], maps.shape[1], z.dtype.type, width(z)
    tile, scalars = room(dim * TILE, z), room(7 * TILE, z)
    before, after = z.reshape(z.size), out.reshape(out.size)
    for g in range(group, groups):
        for first in range(start, stop, TILE):
            size = min(TILE, stop - first)
            fill(tile, before, (g * draws + first) * dim, size)
            scalars[:_ACROSS], scalars[_ACROSS:] = kind(0), kind(1)
            scalars[_ACROSS_POWER:_ALONG], scalars[_ALONG_POWER:_REACH] = kind(0), kind(0)
            for n in range(0, size, 4 * vector):  # with q = 0 zeros moves
                _move(tile, maps[g, 0], maps[g, 0], scalars, n)
            at = (g * draws + first) * depth
            for k in range(depth):
                _activate(scalars, softplus(maps[g, k, dim]), softplus(maps[g, k, dim + 1]), size)
                for n in range(0, size, vector):
                    store(r, at + n, min(vector, size - n), load(scalars, _R + n, vector))
                at += size
                for n in range(0, size, 4 * vector):
                    _move(tile, maps[g, k], maps[g, min(k + 1, depth - 1)], scalars, n)
                if k % ROUND == ROUND - 1:
                    renormalise(scalars[_ACROSS:_ACROSS_POWER], scalars[_ACROSS_POWER:_ALONG])
                    renormalise(scalars[_ALONG:_ALONG_POWER], scalars[_ALONG_POWER:_REACH])
            empty(tile, after, (g * draws + first) * dim, size)
            _logarithms(scalars, kind(dim - 1), log_det[g, first : first + size])


@inlined
def _logarithms(scalars: Any, times: Any, log_det: Any) -> None:
    """Write ln|det| of a tile's draws, `times` = D - 1 times the ln of one factor and that of the other, to (size,)."""
    across, across_power, along, along_power = (
        scalars[_ACROSS:],
        scalars[_ACROSS_POWER:],
        scalars[_ALONG:],
        scalars[_ALONG_POWER:],
    )
    for n in range(log_det.shape[0]):
        log_det[n] = times * logarithm(across[n], across_power[n]) + logarithm(along[n], along_power[n])


@inlined
def _move(tile: Any, centre: Any, following: Any, scalars: Any, n: Any) -> None:
    """Move four vectors of draws, from draw n of the tile on, by z + q (z - c), and measure them from the next centre.

    Args:
        tile: (D TILE,).
        centre: c of the map, (D, ...).
        following: that of the next map; squared distances from it are written in place of r.
        scalars: of the tile's draws.
        n: first draw.
    """
    zeros, minus = spread(tile.dtype.type(0)), spread(tile.dtype.type(-1))
    q_0, q_1, q_2, q_3 = four(scalars, _Q + n)
    s_0, s_1, s_2, s_3 = zeros, zeros, zeros, zeros
    for d in range(tile.shape[0] // TILE):
        at, c, then = d * TILE + n, spread(centre[d]), spread(following[d])
        z_0, z_1, z_2, z_3 = four(tile, at)
        z_0, z_1 = fma(q_0, fma(minus, c, z_0), z_0), fma(q_1, fma(minus, c, z_1), z_1)
        z_2, z_3 = fma(q_2, fma(minus, c, z_2), z_2), fma(q_3, fma(minus, c, z_3), z_3)
        put(tile, at, z_0, z_1, z_2, z_3)
        x_0, x_1 = fma(minus, then, z_0), fma(minus, then, z_1)
        x_2, x_3 = fma(minus, then, z_2), fma(minus, then, z_3)
        s_0, s_1, s_2, s_3 = fma(x_0, x_0, s_0), fma(x_1, x_1, s_1), fma(x_2, x_2, s_2), fma(x_3, x_3, s_3)
    put(scalars, _R + n, s_0, s_1, s_2, s_3)


@inlined
def _activate(scalars: Any, alpha: Any, s: Any, size: Any) -> None:
    """One map on a tile of draws: r^2 becomes r, q is made of it, and the factors of |det| are multiplied in."""
    one = scalars.dtype.type(1)
    for n in range(size):
        radius = math.sqrt(scalars[_R + n])
        per_reach = one / (alpha + radius)
        scalars[_R + n], scalars[_REACH + n], scalars[_Q + n] = radius, per_reach, (s - alpha) * per_reach
    for n in range(size):  # loops of their own: LLVM does not vectorise all of it in one
        part, power = factor((scalars[_R + n] + s) * scalars[_REACH + n])
        scalars[_ACROSS + n] *= part
        scalars[_ACROSS_POWER + n] += power
    for n in range(size):
        radius, per_reach = scalars[_R + n], scalars[_REACH + n]
        part, power = factor((radius * (radius + alpha + alpha) + alpha * s) * per_reach * per_reach)
        scalars[_ALONG + n] *= part
        scalars[_ALONG_POWER + n] += power


@compiled
def backward(
    z: Any,
    r: Any,
    maps: Any,
    grad: Any,
    grad_log: Any,
    to_z: Any,
    of_maps: Any,
    start: Any,
    share: Any,
) -> None:
    """Gradients in z and maps; z_{k-1} = c + r (z_k - c) / |z_k - c| is rebuilt going down, from the saved r.

    Where a chain contracts, points are computed anew from z_0 (`cpu_restart`). Sums over a tile are added to the
    gradients in the maps once a map.

    Args:
        z: z_K (G, N, D).
        r: activations (G K N,), as `forward` wrote them.
        maps: (G, K, D + 2).
        grad: gradient in z_K (G, N, D).
        grad_log: gradient in ln|det| (G, N).
        to_z: gradient in z (G, N, D), written.
        of_maps: gradient in the maps (R, G, K, D + 2), memory of `shares.combined`, written.
        start: what z_0 is made of, `cpu_restart`.
        share: which groups and draws.
    """
    _, group, groups, begin, stop = share
    to_maps = own(of_maps, share)
    draws, dim, depth, kind, vector = z.shape[1], z.shape[2], maps.shape[1], z.dtype.type, width(z)
    tile, back, scalars = room(dim * TILE, z), room(dim * TILE, z), room(7 * TILE, z)
    after, grads, before = z.reshape(z.size), grad.reshape(grad.size), to_z.reshape(to_z.size)
    sums, rows, row = squares(dim, z), to_maps.reshape(to_maps.size), maps.shape[2]
    side, path = dim * TILE, room(0, z)
    for g in range(group, groups):
        to_maps[g] = kind(0)
        for first in range(begin, stop, TILE):
            size, climbed = min(TILE, stop - first), False
            fill(tile, after, (g * draws + first) * dim, size)
            fill(back, grads, (g * draws + first) * dim, size)
            scalars[_LOG:_GROWN], scalars[_GROWN:] = kind(0), kind(1)
            scalars[_LOG : _LOG + size] = grad_log[g, first : first + size]
            for n in range(0, size, 2 * vector):
                _measure(tile, back, maps[g, depth - 1], scalars, n)
            at = (g * draws + first + size) * depth
            for k in range(depth - 1, -1, -1):
                at -= size
                for n in range(0, size, vector):
                    store(scalars, _R + n, vector, load(r, at + n, min(vector, size - n)))
                    fetch(r, at - size + n)
                alpha, s = softplus(maps[g, k, dim]), softplus(maps[g, k, dim + 1])
                to_alpha, to_s, count = _constants(scalars, alpha, s, kind(dim - 1), size)
                if count:
                    if not climbed:
                        path, climbed = path_of_tile(path, start, maps, r, g, first, size), True
                    put_back(tile, path[k * side : (k + 1) * side], scalars, _GROWN, _BEFORE, size)
                    for n in range(0, size, 2 * vector):
                        _measure(tile, back, maps[g, k], scalars, n)
                    to_alpha, to_s, _ = _constants(scalars, alpha, s, kind(dim - 1), size)
                to_maps[g, k, dim] += to_alpha * sigmoid(maps[g, k, dim])
                to_maps[g, k, dim + 1] += to_s * sigmoid(maps[g, k, dim + 1])
                for n in range(0, size, 2 * vector):
                    _down(tile, back, maps[g, k], maps[g, max(k - 1, 0)], scalars, sums, n)
                add_totals(rows, (g * depth + k) * row, sums, 0, dim)
            empty(back, before, (g * draws + first) * dim, size)


@inlined
def _measure(tile: Any, back: Any, centre: Any, scalars: Any, n: Any) -> None:
    """For two vectors of draws, from draw n on, write |z - c|^2 and g.(z - c); g, `back (D TILE,)`, is the gradient."""
    vector, zeros, minus = width(tile), spread(tile.dtype.type(0)), spread(tile.dtype.type(-1))
    i = n + vector
    s_0, s_1, p_0, p_1 = zeros, zeros, zeros, zeros
    for d in range(tile.shape[0] // TILE):
        at, c = d * TILE, spread(centre[d])
        x_0, x_1 = fma(minus, c, load(tile, at + n, vector)), fma(minus, c, load(tile, at + i, vector))
        s_0, s_1 = fma(x_0, x_0, s_0), fma(x_1, x_1, s_1)
        p_0, p_1 = fma(x_0, load(back, at + n, vector), p_0), fma(x_1, load(back, at + i, vector), p_1)
    store(scalars, _SHRINK + n, vector, s_0)
    store(scalars, _SHRINK + i, vector, s_1)
    store(scalars, _Q + n, vector, p_0)
    store(scalars, _Q + i, vector, p_1)


@inlined
def _down(tile: Any, back: Any, centre: Any, following: Any, scalars: Any, sums: Any, n: Any) -> None:
    """Take two vectors of draws, from draw n on, down one map, and measure them from the centre of the map below.

    Args:
        tile: (D TILE,), z after the map, becomes z before it.
        back: (D TILE,), the gradient, likewise.
        centre: c of the map.
        following: c of the map below.
        scalars: of the tile's draws.
        sums: a vector for each dimension, to which the gradient in c is added; its total is the sum over draws.
        n: first draw.
    """
    vector, zeros = width(tile), spread(tile.dtype.type(0))
    minus, one = spread(tile.dtype.type(-1)), spread(tile.dtype.type(1))
    i = n + vector
    f_0, f_1 = load(scalars, _SHRINK + n, vector), load(scalars, _SHRINK + i, vector)
    q_0, q_1 = load(scalars, _Q + n, vector), load(scalars, _Q + i, vector)
    o_0, o_1 = load(scalars, _RADIAL + n, vector), load(scalars, _RADIAL + i, vector)
    s_0, s_1, p_0, p_1 = zeros, zeros, zeros, zeros
    for d in range(tile.shape[0] // TILE):
        at, to, c, then = d * TILE, d * vector, spread(centre[d]), spread(following[d])
        shares = zeros
        if n:
            shares = load(sums, to, vector)
        x_0 = fma(f_0, fma(minus, c, load(tile, at + n, vector)), zeros)
        x_1 = fma(f_1, fma(minus, c, load(tile, at + i, vector)), zeros)
        b_0, b_1 = load(back, at + n, vector), load(back, at + i, vector)
        to_0, to_1 = fma(q_0, b_0, fma(o_0, x_0, zeros)), fma(q_1, b_1, fma(o_1, x_1, zeros))
        store(sums, to, vector, fma(minus, to_0, fma(minus, to_1, shares)))
        z_0, z_1, b_0, b_1 = fma(one, x_0, c), fma(one, x_1, c), fma(one, to_0, b_0), fma(one, to_1, b_1)
        store(tile, at + n, vector, z_0)
        store(tile, at + i, vector, z_1)
        store(back, at + n, vector, b_0)
        store(back, at + i, vector, b_1)
        y_0, y_1 = fma(minus, then, z_0), fma(minus, then, z_1)
        s_0, s_1, p_0, p_1 = fma(y_0, y_0, s_0), fma(y_1, y_1, s_1), fma(y_0, b_0, p_0), fma(y_1, b_1, p_1)
    store(scalars, _SHRINK + n, vector, s_0)
    store(scalars, _SHRINK + i, vector, s_1)
    store(scalars, _Q + n, vector, p_0)
    store(scalars, _Q + i, vector, p_1)


@inlined
def _constants(scalars: Any, alpha: Any, s: Any, count: Any, size: Any) -> Any:
    """Of a tile's draws, from |z_k - c|^2 and g.(z_k - c): what every dimension needs on the way down a map.

    Returns:
        The gradients in alpha and s, summed over the tile, and how many draws' rounding is enlarged beyond `LIMIT`.
    """
    zero, one, limit = scalars.dtype.type(0), scalars.dtype.type(1), scalars.dtype.type(LIMIT)
    total_alpha, total_s, beyond = zero, zero, zero
    for n in range(size):  # several loops: LLVM does not vectorise all of it in one
        square = scalars[_SHRINK + n]
        shrink = scalars[_R + n] / math.sqrt(square if square > zero else one)
        scalars[_SHRINK + n] = shrink if square > zero else zero
    for n in range(size):
        scalars[_Q + n] *= scalars[_SHRINK + n]
    for n in range(size):
        radius = scalars[_R + n]
        to_r, to_alpha, to_s = slopes_with_q(radius, alpha, s, count, scalars[_LOG + n], scalars[_Q + n])
        scalars[_RADIAL + n] = to_r / (radius if radius > zero else one)
        total_alpha += to_alpha
        total_s += to_s
    for n in range(size):
        radius = scalars[_R + n]
        scalars[_RADIAL + n] = scalars[_RADIAL + n] if radius > zero else zero
        scalars[_Q + n] = (s - alpha) / (alpha + radius)
        before = scalars[_GROWN + n]
        grown = enlarged(before, scalars[_SHRINK + n], radius, one, limit)
        scalars[_GROWN + n], scalars[_BEFORE + n] = grown, before
        beyond += one if grown > limit else zero
    for n in range(size, TILE):  # places without a draw
        scalars[_SHRINK + n], scalars[_Q + n], scalars[_RADIAL + n] = zero, zero, zero
    return total_alpha, total_s, beyond
