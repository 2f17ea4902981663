"""A chain of additive couplings on unmixed coordinates, x' = x + tanh(x A + b) C, K times, for many draws; compiled.

Vectors hold one number of several draws. A tile's hidden units stay in the cache, and the way back computes them anew.
Shapes: x (G, N, D); A (G, K, D, H); b (G, R, K, H), where draw n takes row n mod R: R = 1 for all draws, or R data
points in turn; C, transposed, (G, K, D, H). Only the rows of A and of C, transposed, that `reads` and `writes` (G, K,
D) mark are used. Scratch `units (H + 1, TILE)`, flat, has a row for each hidden unit and one to spare, where H is odd.
"""

from typing import Any

import numpy as np

from nfbench.kernels.compiler.decorators import compiled, inlined
from nfbench.kernels.cpu.shares import TILE
from nfbench.kernels.cpu.team import own
from nfbench.kernels.cpu.tiles import add_totals, empty, fill, four, put, room, squares
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
    """Push draws through the chain, a tile at a time.

    Args:
        x: (G, N, D).
        inner: A.
        bias: b.
        outer: C, transposed.
        reads: marked rows of A.
        writes: marked rows of C, transposed.
        out: x_K (G, N, D), written.
        share: which groups and draws.
    """
    _, group, groups, start, stop = share
    draws, dim, depth, hidden = x.shape[1], x.shape[2], inner.shape[1], inner.shape[3]
    tile, units = room(dim * TILE, x), room((hidden + 1) * TILE, x)
    before, after = x.reshape(x.size), out.reshape(out.size)
    ins, outs = np.empty((depth, dim + 1), np.intp), np.empty((depth, dim + 1), np.intp)
    for g in range(group, groups):
        _list_rows(reads[g], ins)
        _list_rows(writes[g], outs)
        for first in range(start, stop, TILE):
            size = min(TILE, stop - first)
            fill(tile, before, (g * draws + first) * dim, size)
            for k in range(depth):
                _biases(units, bias[g], k, first, size)
                _products(tile, inner[g, k], ins[k], units)
                _activate(units, hidden)
                _add_shifts(units, outer[g, k], outs[k], tile, 1)
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
    """Gradients in x, A, b and C, from x_K.

    Going down, a coupling's hidden units are computed from the coordinates that it reads, which it does not move; then
    its shift is subtracted.

    Args:
        x: x_K (G, N, D).
        inner: A.
        bias: b.
        outer: C, transposed.
        reads: marked rows of A.
        writes: marked rows of C, transposed.
        grad: gradient in x_K (G, N, D).
        to_x: gradient in x (G, N, D), written.
        of_inner: gradient in A, (shares or 1, G, K, D, H), memory of `shares.combined`, written.
        of_bias: gradient in b, likewise.
        of_outer: gradient in C, transposed, likewise.
        share: which groups and draws.
    """
    _, group, groups, start, stop = share
    to_inner = own(of_inner, share)
    to_bias = own(of_bias, share)
    to_outer = own(of_outer, share)
    draws, dim, depth, hidden = x.shape[1], x.shape[2], inner.shape[1], inner.shape[3]
    tile, back = room(dim * TILE, x), room(dim * TILE, x)
    units, slopes = room((hidden + 1) * TILE, x), room((hidden + 1) * TILE, x)
    sums = squares(hidden, x)
    after, grads, before = x.reshape(x.size), grad.reshape(grad.size), to_x.reshape(to_x.size)
    ins, outs = np.empty((depth, dim + 1), np.intp), np.empty((depth, dim + 1), np.intp)
    for g in range(group, groups):
        _list_rows(reads[g], ins)
        _list_rows(writes[g], outs)
        to_inner[g], to_bias[g], to_outer[g] = x.dtype.type(0), x.dtype.type(0), x.dtype.type(0)
        for first in range(start, stop, TILE):
            size = min(TILE, stop - first)
            fill(tile, after, (g * draws + first) * dim, size)
            fill(back, grads, (g * draws + first) * dim, size)
            for k in range(depth - 1, -1, -1):
                _biases(units, bias[g], k, first, size)
                _products(tile, inner[g, k], ins[k], units)
                _activate(units, hidden)
                _add_shifts(units, outer[g, k], outs[k], tile, -1)
                slopes[:] = x.dtype.type(0)
                _products(back, outer[g, k], outs[k], slopes)
                _sums(back, units, outs[k], sums, to_outer[g, k])
                _slopes(units, slopes, hidden)
                _sums(tile, slopes, ins[k], sums, to_inner[g, k])
                _bias_sums(slopes, to_bias[g], k, first, size)
                _add_shifts(slopes, inner[g, k], ins[k], back, 1)
            empty(back, before, (g * draws + first) * dim, size)


@inlined
def _list_rows(marked: Any, rows: Any) -> None:
    """Write to each row of `rows (K, D + 1)` how many places of that row of `marked (K, D)` are marked, then which."""
    for k in range(marked.shape[0]):
        count = 0
        for d in range(marked.shape[1]):
            if marked[k, d]:
                count += 1
                rows[k, count] = d
        rows[k, 0] = count


@inlined
def _biases(units: Any, bias: Any, k: Any, first: Any, size: Any) -> None:
    """Set hidden units to their biases in coupling k, `bias (R, K, H)`: draw n of all takes row n mod R."""
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
    """Add products to hidden units: units[j] += sum_d weights[d, j] tile[d] over the rows d that are used.

    Two units are done at once: they share the loads of the tile.

    Args:
        tile: (D TILE,).
        weights: (D, H).
        used: number of rows, then which (`_list_rows`).
        units: changed.
    """
    hidden = weights.shape[1]
    for n in range(0, TILE, 4 * width(tile)):
        for j in range(0, hidden, 2):
            last = min(j + 1, hidden - 1)
            a_0, a_1, a_2, a_3 = four(units, j * TILE + n)
            b_0, b_1, b_2, b_3 = four(units, (j + 1) * TILE + n)  # an odd H has a row to spare
            for i in range(1, used[0] + 1):
                d = used[i]
                v, w, (x_0, x_1, x_2, x_3) = spread(weights[d, j]), spread(weights[d, last]), four(tile, d * TILE + n)
                a_0, a_1, a_2, a_3 = fma(v, x_0, a_0), fma(v, x_1, a_1), fma(v, x_2, a_2), fma(v, x_3, a_3)
                b_0, b_1, b_2, b_3 = fma(w, x_0, b_0), fma(w, x_1, b_1), fma(w, x_2, b_2), fma(w, x_3, b_3)
            put(units, j * TILE + n, a_0, a_1, a_2, a_3)
            put(units, (j + 1) * TILE + n, b_0, b_1, b_2, b_3)


@inlined
def _add_shifts(units: Any, weights: Any, used: Any, tile: Any, sign: Any) -> None:
    """Move a tile: tile[d] += sign sum_j weights[d, j] units[j] for the rows d that are used.

    Two rows are done at once: they share the loads of the units.

    Args:
        units: of the tile's draws.
        weights: (D, H).
        used: number of rows, then which (`_list_rows`).
        tile: (D TILE,), changed.
        sign: 1 or -1.
    """
    hidden, factor = weights.shape[1], tile.dtype.type(sign)
    for n in range(0, TILE, 4 * width(tile)):
        for i in range(1, used[0] + 1, 2):
            d, e = used[i], used[min(i + 1, used[0])]
            a_0, a_1, a_2, a_3 = four(tile, d * TILE + n)
            b_0, b_1, b_2, b_3 = four(tile, e * TILE + n)
            for j in range(hidden):
                v, w = spread(factor * weights[d, j]), spread(factor * weights[e, j])
                u_0, u_1, u_2, u_3 = four(units, j * TILE + n)
                a_0, a_1, a_2, a_3 = fma(v, u_0, a_0), fma(v, u_1, a_1), fma(v, u_2, a_2), fma(v, u_3, a_3)
                b_0, b_1, b_2, b_3 = fma(w, u_0, b_0), fma(w, u_1, b_1), fma(w, u_2, b_2), fma(w, u_3, b_3)
            put(tile, d * TILE + n, a_0, a_1, a_2, a_3)
            if e != d:
                put(tile, e * TILE + n, b_0, b_1, b_2, b_3)


@inlined
def _activate(units: Any, hidden: Any) -> None:
    """Replace all hidden units by their tanh."""
    for at in range(0, hidden * TILE, 4 * width(units)):
        h_0, h_1, h_2, h_3 = four(units, at)
        h_0, h_1, h_2, h_3 = tanh(h_0, h_1, h_2, h_3)
        put(units, at, h_0, h_1, h_2, h_3)


@inlined
def _slopes(units: Any, slopes: Any, hidden: Any) -> None:
    """Turn the gradient in the hidden units, `slopes`, into that before their tanh."""
    one = units.dtype.type(1)
    for n in range(hidden * TILE):
        slopes[n] *= one - units[n] * units[n]


@inlined
def _sums(tile: Any, units: Any, used: Any, sums: Any, grads: Any) -> None:
    """Add to a gradient: grads[d, j] += sum over draws of tile[d] units[j] for the rows d that are used.

    Args:
        tile: (D TILE,).
        units: of the tile's draws.
        used: number of rows, then which (`_list_rows`).
        sums: scratch, of `tiles.squares`.
        grads: (D, H), changed.
    """
    hidden, vector, flat = grads.shape[1], width(tile), grads.reshape(grads.size)
    zeros = spread(tile.dtype.type(0))
    for i in range(1, used[0] + 1):
        d = used[i]
        for n in range(0, TILE, 4 * vector):
            x_0, x_1, x_2, x_3 = four(tile, d * TILE + n)
            for j in range(hidden):
                total, (u_0, u_1, u_2, u_3) = zeros, four(units, j * TILE + n)
                if n:
                    total = load(sums, j * vector, vector)
                store(sums, j * vector, vector, fma(x_3, u_3, fma(x_2, u_2, fma(x_1, u_1, fma(x_0, u_0, total)))))
        add_totals(flat, d * hidden, sums, 0, hidden)


@inlined
def _bias_sums(slopes: Any, to_bias: Any, k: Any, first: Any, size: Any) -> None:
    """Add the gradient before the tanh, summed over each row's draws, to that in coupling k's biases, (R, K, H)."""
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
