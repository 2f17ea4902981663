"""Four maps on a tile of draws as products of small matrices, whose sums stay in registers; compiled.

Where map i moves draws along u_i by a scalar h_i, draws before map j of a block are z + sum_{i<j} u_i h_i, z those
before the block. So w_j . z_{j-1} = w_j . z + sum_{i<j} (w_j . u_i) h_i: the products with z are taken for the whole
block at once, and map by map only scalars are left to do. The way back is the transpose of that.

`rows (.., D)` are vectors of maps, `at` is where those of the block begin; the maps' scalars for the draws of a tile
are rows of TILE in `by`, which begin at `row`.
"""

from typing import Any

from nfbench.kernels.cpu.shares import TILE
from nfbench.kernels.cpu.tiles import four, put
from nfbench.kernels.simd.arithmetic import inlined
from nfbench.kernels.simd.vector import fma, store, total, wide

width, load, spread, repeat = wide

BLOCK = 4  # maps: their sums for four vectors of draws, 16 registers, leave as many for the draws and the numbers


@inlined
def products(rows: Any, at: Any, tile: Any, by: Any, row: Any) -> None:
    """`by[i] = sum_d rows[i, d] tile[d]` for each map i."""
    dim, none = tile.shape[0] // TILE, _nothing(tile)
    for n in range(0, TILE, 4 * width(tile)):
        a, b, c, e = none, none, none, none
        for d in range(dim):
            z = four(tile, d * TILE + n)
            a, b = _onto(repeat(rows, at + d), z, a), _onto(repeat(rows, at + dim + d), z, b)
            c, e = _onto(repeat(rows, at + 2 * dim + d), z, c), _onto(repeat(rows, at + 3 * dim + d), z, e)
        put(by, row + n, *a)
        put(by, row + TILE + n, *b)
        put(by, row + 2 * TILE + n, *c)
        put(by, row + 3 * TILE + n, *e)


@inlined
def move(rows: Any, at: Any, by: Any, row: Any, tile: Any) -> None:
    """`tile[d] += sum_i rows[i, d] by[i]`."""
    dim = tile.shape[0] // TILE
    for n in range(0, TILE, 4 * width(tile)):
        a, b = four(by, row + n), four(by, row + TILE + n)
        c, e = four(by, row + 2 * TILE + n), four(by, row + 3 * TILE + n)
        for d in range(dim):
            z = _onto(repeat(rows, at + d), a, _onto(repeat(rows, at + dim + d), b, four(tile, d * TILE + n)))
            z = _onto(repeat(rows, at + 2 * dim + d), c, _onto(repeat(rows, at + 3 * dim + d), e, z))
            put(tile, d * TILE + n, *z)


@inlined
def exchange(rows: Any, at: Any, by: Any, row: Any, tile: Any, other: Any, start: Any, stop: Any, sums: Any) -> None:
    """`move` of the dimensions from `start` to `stop`, and the totals over draws of `by[i] other[d]`.

    They come as wide vectors, to be added up yet, into `sums`: of each map one for each dimension, in room for a whole
    square of them.
    """
    dim, vector, nothing = tile.shape[0] // TILE, width(tile), spread(tile.dtype.type(0))
    apart = vector * vector  # of maps in the sums
    for n in range(0, TILE, 4 * vector):
        a, b = four(by, row + n), four(by, row + TILE + n)
        c, e = four(by, row + 2 * TILE + n), four(by, row + 3 * TILE + n)
        for d in range(start, stop):
            to = (d - start) * vector
            by_a, by_b, by_c, by_e = nothing, nothing, nothing, nothing
            if n:
                by_a, by_b = load(sums, to, vector), load(sums, to + apart, vector)
                by_c, by_e = load(sums, to + 2 * apart, vector), load(sums, to + 3 * apart, vector)
            g = four(other, d * TILE + n)
            store(sums, to, vector, _along(a, g, by_a))
            store(sums, to + apart, vector, _along(b, g, by_b))
            store(sums, to + 2 * apart, vector, _along(c, g, by_c))
            store(sums, to + 3 * apart, vector, _along(e, g, by_e))
            z = _onto(repeat(rows, at + d), a, _onto(repeat(rows, at + dim + d), b, four(tile, d * TILE + n)))
            z = _onto(repeat(rows, at + 2 * dim + d), c, _onto(repeat(rows, at + 3 * dim + d), e, z))
            put(tile, d * TILE + n, *z)


@inlined
def shift(by: Any, row: Any, number: Any, other: Any) -> None:
    """`by[row] += number by[other]`, rows of a tile."""
    for n in range(0, TILE, 4 * width(by)):
        put(by, row + n, *_onto(spread(number), four(by, other + n), four(by, row + n)))


@inlined
def product(by: Any, row: Any, other: Any) -> Any:
    """The sum over a tile of `by[row] by[other]`."""
    found = spread(by.dtype.type(0))
    for n in range(0, TILE, 4 * width(by)):
        found = _along(four(by, row + n), four(by, other + n), found)
    return total(found)


@inlined
def _nothing(tile: Any) -> Any:
    zero = spread(tile.dtype.type(0))
    return zero, zero, zero, zero


@inlined
def _onto(w: Any, vectors: Any, sums: Any) -> Any:
    return (
        fma(w, vectors[0], sums[0]),
        fma(w, vectors[1], sums[1]),
        fma(w, vectors[2], sums[2]),
        fma(w, vectors[3], sums[3]),
    )


@inlined
def _along(one: Any, other: Any, found: Any) -> Any:
    return fma(one[3], other[3], fma(one[2], other[2], fma(one[1], other[1], fma(one[0], other[0], found))))
