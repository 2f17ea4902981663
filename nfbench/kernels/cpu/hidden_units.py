"""One hidden layer of tanh units for a tile of draws, forward and back; compiled. What kernels of networks share.

Vectors hold one number of several draws (`tiles`). Rows of weights are used or not: `used` has their number, then
which. Hidden units have a row of a tile each, and one to spare where H is odd.
"""

from typing import Any

import numpy as np

from nfbench.kernels.compiler.decorators import inlined
from nfbench.kernels.cpu.shares import TILE
from nfbench.kernels.cpu.tiles import add_totals, empty, fill, four, put
from nfbench.kernels.simd.tanh import tanh
from nfbench.kernels.simd.vector import fma, store, wide

width, load, spread, _ = wide


@inlined
def biases(units: Any, bias: Any, first: Any, size: Any) -> None:
    """Set units to their biases: draw n of all takes row n mod R.

    Args:
        units: (H TILE,) at least, written.
        bias: (R, H).
        first: number of the tile's first draw among all draws.
        size: draws of the tile.
    """
    points, hidden = bias.shape
    if points == 1:
        for j in range(hidden):
            units[j * TILE : (j + 1) * TILE] = bias[0, j]
    else:
        for n in range(size):
            row = (first + n) % points
            for j in range(hidden):
                units[j * TILE + n] = bias[row, j]


@inlined
def rows_of_biases(units: Any, bias: Any, first: Any, size: Any) -> None:
    """Do what `biases` does, for contiguous biases: rows that follow each other are turned as a whole.

    Args:
        units: (H TILE,), written.
        bias: (R, H), contiguous.
        first: number of the tile's first draw among all draws.
        size: draws of the tile.
    """
    points, hidden = bias.shape
    row = first % points
    if points > 1 and row + size <= points:
        fill(units, bias, row * hidden, size)
    else:
        biases(units, bias, first, size)


@inlined
def products(tile: Any, weights: Any, used: Any, units: Any) -> None:
    """Add products to hidden units: units[j] += sum_d weights[d, j] tile[d] over the rows d that are used.

    Two units are done at once: they share the loads of the tile.

    Args:
        tile: (D TILE,).
        weights: (D, H).
        used: number of rows, then which.
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
def add_shifts(units: Any, weights: Any, used: Any, tile: Any, sign: Any) -> None:
    """Move a tile: tile[d] += sign sum_j weights[d, j] units[j] for the rows d that are used.

    Two rows are done at once: they share the loads of the units.

    Args:
        units: of the tile's draws.
        weights: (D, H).
        used: number of rows, then which.
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
def activate(units: Any, hidden: Any) -> None:
    """Replace hidden units by their tanh.

    Args:
        units: (H TILE,) at least, changed.
        hidden: H.
    """
    for at in range(0, hidden * TILE, 4 * width(units)):
        h_0, h_1, h_2, h_3 = four(units, at)
        h_0, h_1, h_2, h_3 = tanh(h_0, h_1, h_2, h_3)
        put(units, at, h_0, h_1, h_2, h_3)


@inlined
def slopes(units: Any, gradients: Any, hidden: Any) -> None:
    """Turn the gradient in hidden units into that before their tanh.

    Args:
        units: (H TILE,) at least, after their tanh.
        gradients: the same of their gradient, changed.
        hidden: H.
    """
    one = units.dtype.type(1)
    for n in range(hidden * TILE):
        gradients[n] *= one - units[n] * units[n]


@inlined
def sums(tile: Any, units: Any, used: Any, sums: Any, grads: Any) -> None:
    """Add to a gradient: grads[d, j] += sum over draws of tile[d] units[j] for the rows d that are used.

    Args:
        tile: (D TILE,).
        units: of the tile's draws.
        used: number of rows, then which.
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
def bias_sums(slopes: Any, to_bias: Any, first: Any, size: Any) -> None:
    """Add a gradient, summed over each row's draws, to that in the biases.

    Args:
        slopes: (H TILE,) at least, gradient in units plus biases.
        to_bias: (R, H), changed.
        first: number of the tile's first draw among all draws.
        size: draws of the tile.
    """
    points, hidden = to_bias.shape
    if points == 1:
        for j in range(hidden):
            total = slopes.dtype.type(0)
            for n in range(size):
                total += slopes[j * TILE + n]
            to_bias[0, j] += total
    else:
        for n in range(size):
            row = (first + n) % points
            for j in range(hidden):
                to_bias[row, j] += slopes[j * TILE + n]


@inlined
def sums_of_rows(gradients: Any, to_bias: Any, memory: Any, first: Any, size: Any) -> None:
    """Do what `bias_sums` does, for contiguous biases: rows that follow each other are turned as a whole.

    Args:
        gradients: (H TILE,), in units plus biases.
        to_bias: (R, H), contiguous, changed.
        memory: (H TILE,), scratch.
        first: number of the tile's first draw among all draws.
        size: draws of the tile.
    """
    points, hidden = to_bias.shape
    row = first % points
    if points > 1 and row + size <= points:
        empty(gradients, memory, 0, size)
        changed = to_bias.reshape(to_bias.size)[row * hidden : (row + size) * hidden]
        for n in range(size * hidden):
            changed[n] += memory[n]
    else:
        bias_sums(gradients, to_bias, first, size)


@inlined
def all_rows(number: Any) -> Any:
    """So many rows of weights, all of them used.

    Args:
        number: of rows.

    Returns:
        Their number, then which.
    """
    rows = np.arange(-1, number)
    rows[0] = number
    return rows
