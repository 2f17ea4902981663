"""A chain of additive couplings for many draws, compiled: x' = x + tanh(x A + b) C, K times, on unmixed coordinates.

Vectors hold one number of several draws; a tile's hidden units stay in the cache, and the way back makes them anew.
Shapes: x (G, N, D), A (G, K, D, H), b (G, R, K, H) with R = 1 or a row for each of R points that the N draws go through
in turn, and C, transposed, (G, K, D, H). Of A and C the rows are used that `reads` and `writes` (G, K, D) mark.
"""

from typing import Any

import numpy as np

from nfbench.kernels.cpu.shares import TILE
from nfbench.kernels.cpu.team import own
from nfbench.kernels.cpu.tiles import add_totals, empty, fill, four, put, room, squares
from nfbench.kernels.simd.arithmetic import compiled, inlined
from nfbench.kernels.simd.tanh import tanh
from nfbench.kernels.simd.vector import fma, store, wide

width, load, spread, _ = wide


@compiled
def forward(
    x: Any,
    inner: Any,
    bias: Any,
    outer: Any,
    reads: Any,
    writes: Any,
    out: Any,
    share: Any,
) -> None:
    """A tile of draws goes through all couplings."""
    _, group, groups, start, stop = share
    draws, dim, depth, hidden = x.shape[1], x.shape[2], inner.shape[1], inner.shape[3]
    tile, units = room(dim * TILE, x), room((hidden + 1) * TILE, x)
    before, after = x.reshape(x.size), out.reshape(out.size)
    ins, outs = np.empty((depth, dim + 1), np.intp), np.empty((depth, dim + 1), np.intp)
    for g in range(group, groups):
        _list(reads[g], ins)
        _list(writes[g], outs)
        for first in range(start, stop, TILE):
            size = min(TILE, stop - first)
            fill(tile, before, (g * draws + first) * dim, size)
            for k in range(depth):
                _biases(units, bias[g], k, first, size)
                _products(tile, inner[g, k], ins[k], units)
                _activate(units, hidden)
                _back(units, outer[g, k], outs[k], tile, 1)
            empty(tile, after, (g * draws + first) * dim, size)


@compiled
def backward(
    x: Any,
    inner: Any,
    bias: Any,
    outer: Any,
    reads: Any,
    writes: Any,
    grad: Any,
    to_x: Any,
    of_inner: Any,
    of_bias: Any,
    of_outer: Any,
    share: Any,
) -> None:
    """From x_K: the units are made from what a coupling leaves alone, then its shift is taken off."""
    _, group, groups, start, stop = share
    to_inner = own(of_inner, share)
    to_bias = own(of_bias, share)
    to_outer = own(of_outer, share)
    draws, dim, depth, hidden = x.shape[1], x.shape[2], inner.shape[1], inner.shape[3]
    tile, back = room(dim * TILE, x), room(dim * TILE, x)
    units, slopes = room((hidden + 1) * TILE, x), room((hidden + 1) * TILE, x)
    sums = squares(hidden, x)
    after, given, found = x.reshape(x.size), grad.reshape(grad.size), to_x.reshape(to_x.size)
    ins, outs = np.empty((depth, dim + 1), np.intp), np.empty((depth, dim + 1), np.intp)
    for g in range(group, groups):
        _list(reads[g], ins)
        _list(writes[g], outs)
        to_inner[g], to_bias[g], to_outer[g] = x.dtype.type(0), x.dtype.type(0), x.dtype.type(0)
        for first in range(start, stop, TILE):
            size = min(TILE, stop - first)
            fill(tile, after, (g * draws + first) * dim, size)
            fill(back, given, (g * draws + first) * dim, size)
            for k in range(depth - 1, -1, -1):
                _biases(units, bias[g], k, first, size)
                _products(tile, inner[g, k], ins[k], units)
                _activate(units, hidden)
                _back(units, outer[g, k], outs[k], tile, -1)
                slopes[:] = x.dtype.type(0)
                _products(back, outer[g, k], outs[k], slopes)
                _sums(back, units, outs[k], sums, to_outer[g, k])
                _slopes(units, slopes, hidden)
                _sums(tile, slopes, ins[k], sums, to_inner[g, k])
                _bias_sums(slopes, to_bias[g], k, first, size)
                _back(slopes, inner[g, k], ins[k], back, 1)
            empty(back, found, (g * draws + first) * dim, size)


@inlined
def _list(marked: Any, rows: Any) -> None:
    """Of each coupling, `rows (K, D + 1)` gets how many rows are marked, and which."""
    for k in range(marked.shape[0]):
        count = 0
        for d in range(marked.shape[1]):
            if marked[k, d]:
                count += 1
                rows[k, count] = d
        rows[k, 0] = count


@inlined
def _biases(units: Any, bias: Any, k: Any, first: Any, size: Any) -> None:
    """Each unit starts from its bias: one for all draws, or that of the point which a draw belongs to."""
    points, hidden = bias.shape[0], bias.shape[2]
    if points == 1:
        for j in range(hidden):
            units[j * TILE : (j + 1) * TILE] = bias[0, k, j]
    else:
        for n in range(size):
            row = (first + n) % points
            for j in range(hidden):
                units[j * TILE + n] = bias[row, k, j]


@inlined
def _products(tile: Any, weights: Any, used: Any, units: Any) -> None:
    """`units (H TILE,) += sum_d weights[d] tile[d]` over the rows that are used; two units share what is loaded."""
    hidden = weights.shape[1]
    for n in range(0, TILE, 4 * width(tile)):
        for j in range(0, hidden, 2):
            last = min(j + 1, hidden - 1)
            a_0, a_1, a_2, a_3 = four(units, j * TILE + n)
            b_0, b_1, b_2, b_3 = four(units, (j + 1) * TILE + n)  # an odd H has a row to spare
            for i in range(1, used[0] + 1):
                d = used[i]
                one, other, (x_0, x_1, x_2, x_3) = (
                    spread(weights[d, j]),
                    spread(weights[d, last]),
                    four(tile, d * TILE + n),
                )
                a_0, a_1, a_2, a_3 = fma(one, x_0, a_0), fma(one, x_1, a_1), fma(one, x_2, a_2), fma(one, x_3, a_3)
                b_0, b_1 = fma(other, x_0, b_0), fma(other, x_1, b_1)
                b_2, b_3 = fma(other, x_2, b_2), fma(other, x_3, b_3)
            put(units, j * TILE + n, a_0, a_1, a_2, a_3)
            put(units, (j + 1) * TILE + n, b_0, b_1, b_2, b_3)


@inlined
def _back(units: Any, weights: Any, used: Any, tile: Any, sign: Any) -> None:
    """`tile[d] += sign weights[d] . units` for the rows that are used; two of them share what is loaded."""
    hidden, factor = weights.shape[1], tile.dtype.type(sign)
    for n in range(0, TILE, 4 * width(tile)):
        for i in range(1, used[0] + 1, 2):
            d, e = used[i], used[min(i + 1, used[0])]
            a_0, a_1, a_2, a_3 = four(tile, d * TILE + n)
            b_0, b_1, b_2, b_3 = four(tile, e * TILE + n)
            for j in range(hidden):
                one, other = spread(factor * weights[d, j]), spread(factor * weights[e, j])
                u_0, u_1, u_2, u_3 = four(units, j * TILE + n)
                a_0, a_1, a_2, a_3 = fma(one, u_0, a_0), fma(one, u_1, a_1), fma(one, u_2, a_2), fma(one, u_3, a_3)
                b_0, b_1 = fma(other, u_0, b_0), fma(other, u_1, b_1)
                b_2, b_3 = fma(other, u_2, b_2), fma(other, u_3, b_3)
            put(tile, d * TILE + n, a_0, a_1, a_2, a_3)
            if e != d:
                put(tile, e * TILE + n, b_0, b_1, b_2, b_3)


@inlined
def _activate(units: Any, hidden: Any) -> None:
    """The hyperbolic tangent of all units."""
    for at in range(0, hidden * TILE, 4 * width(units)):
        h_0, h_1, h_2, h_3 = four(units, at)
        h_0, h_1, h_2, h_3 = tanh(h_0, h_1, h_2, h_3)
        put(units, at, h_0, h_1, h_2, h_3)


@inlined
def _slopes(units: Any, slopes: Any, hidden: Any) -> None:
    """The gradient in the units becomes that before the tangent."""
    one = units.dtype.type(1)
    for n in range(hidden * TILE):
        slopes[n] *= one - units[n] * units[n]


@inlined
def _sums(tile: Any, units: Any, used: Any, sums: Any, found: Any) -> None:
    """`found[d, j] += sum over draws of tile[d] units[j]` for the rows that are used."""
    hidden, vector, flat = found.shape[1], width(tile), found.reshape(found.size)
    nothing = spread(tile.dtype.type(0))
    for i in range(1, used[0] + 1):
        d = used[i]
        for n in range(0, TILE, 4 * vector):
            x_0, x_1, x_2, x_3 = four(tile, d * TILE + n)
            for j in range(hidden):
                total, (u_0, u_1, u_2, u_3) = nothing, four(units, j * TILE + n)
                if n:
                    total = load(sums, j * vector, vector)
                store(sums, j * vector, vector, fma(x_3, u_3, fma(x_2, u_2, fma(x_1, u_1, fma(x_0, u_0, total)))))
        add_totals(flat, d * hidden, sums, 0, hidden)


@inlined
def _bias_sums(slopes: Any, to_bias: Any, k: Any, first: Any, size: Any) -> None:
    """What the biases get: the sum over draws, or each point what its draws say."""
    points, hidden = to_bias.shape[0], to_bias.shape[2]
    if points == 1:
        for j in range(hidden):
            total = slopes.dtype.type(0)
            for n in range(size):
                total += slopes[j * TILE + n]
            to_bias[0, k, j] += total
    else:
        for n in range(size):
            row = (first + n) % points
            for j in range(hidden):
                to_bias[row, k, j] += slopes[j * TILE + n]
