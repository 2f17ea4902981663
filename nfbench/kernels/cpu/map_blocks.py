"""Blocks of four maps applied to a tile of draws as products of small matrices whose sums stay in registers; compiled.

Map i moves a draw along the vector u_i by the scalar h_i. With z the draw before a block, before map j of the block it
is z_{j-1} = z + sum_{i<j} u_i h_i, and so w_j . z_{j-1} = w_j . z + sum_{i<j} (w_j . u_i) h_i. The products w_j . z are
taken for the whole block at once; then only scalars are left to do, map after map. The way back is the transpose.

In every function `rows.flat[at:]` are the vectors of the block's four maps, D numbers each; `tile (D TILE,)` is as in
`tiles`; and `scalars.flat[row:]` are four rows of TILE numbers, a scalar for each map of the block and each draw.
"""

from typing import Any

from nfbench.kernels.compiler.decorators import inlined
from nfbench.kernels.cpu.shares import TILE
from nfbench.kernels.cpu.tiles import four, put
from nfbench.kernels.simd.vector import fma, store, total, wide

width, load, spread, repeat = wide

BLOCK = 4  # maps: their sums for four vectors of draws fill 16 of 32 registers


@inlined
def products(rows: Any, at: Any, tile: Any, scalars: Any, row: Any) -> None:
    """The products of the maps' vectors with all draws: scalars[i] = sum_d rows[i, d] tile[d].

    Args:
        rows: vectors of maps.
        at: index in `rows` of the block's first vector.
        tile: (D TILE,).
        scalars: of maps and draws, four rows of them written.
        row: index in `scalars` of the first map's row.
    """
    dim, zeros = tile.shape[0] // TILE, _zeros(tile)
    for n in range(0, TILE, 4 * width(tile)):
        a, b, c, e = zeros, zeros, zeros, zeros
        for d in range(dim):
            z = four(tile, d * TILE + n)
            a, b = _add_scaled(repeat(rows, at + d), z, a), _add_scaled(repeat(rows, at + dim + d), z, b)
            c, e = _add_scaled(repeat(rows, at + 2 * dim + d), z, c), _add_scaled(repeat(rows, at + 3 * dim + d), z, e)
        put(scalars, row + n, *a)
        put(scalars, row + TILE + n, *b)
        put(scalars, row + 2 * TILE + n, *c)
        put(scalars, row + 3 * TILE + n, *e)


@inlined
def move(rows: Any, at: Any, scalars: Any, row: Any, tile: Any) -> None:
    """Move all draws along the maps' vectors: tile[d] += sum_i rows[i, d] scalars[i].

    Args:
        rows: vectors of maps.
        at: index in `rows` of the block's first vector.
        scalars: of maps and draws.
        row: index in `scalars` of the first map's row.
        tile: (D TILE,), moved.
    """
    dim = tile.shape[0] // TILE
    for n in range(0, TILE, 4 * width(tile)):
        a, b = four(scalars, row + n), four(scalars, row + TILE + n)
        c, e = four(scalars, row + 2 * TILE + n), four(scalars, row + 3 * TILE + n)
        for d in range(dim):
            z = _add_scaled(
                repeat(rows, at + d), a, _add_scaled(repeat(rows, at + dim + d), b, four(tile, d * TILE + n))
            )
            z = _add_scaled(repeat(rows, at + 2 * dim + d), c, _add_scaled(repeat(rows, at + 3 * dim + d), e, z))
            put(tile, d * TILE + n, *z)


@inlined
def move_and_sum(
    rows: Any, at: Any, scalars: Any, row: Any, tile: Any, factors: Any, start: Any, stop: Any, sums: Any
) -> None:
    """`move` dimensions `start` to `stop` of the tile, and sum scalars[i] factors[d] over draws for these dimensions.

    Args:
        rows: vectors of maps.
        at: index in `rows` of the block's first vector.
        scalars: of maps and draws.
        row: index in `scalars` of the first map's row.
        tile: (D TILE,), moved.
        factors: (D TILE,), another tile.
        start: first dimension.
        stop: end of the dimensions; at most a wide vector's width after `start`.
        sums: out, a square of wide vectors for each map, and in it one vector for each dimension: its total is the sum.
    """
    dim, vector, nothing = tile.shape[0] // TILE, width(tile), spread(tile.dtype.type(0))
    apart = vector * vector  # numbers in the square of one map
    for n in range(0, TILE, 4 * vector):
        a, b = four(scalars, row + n), four(scalars, row + TILE + n)
        c, e = four(scalars, row + 2 * TILE + n), four(scalars, row + 3 * TILE + n)
        for d in range(start, stop):
            to = (d - start) * vector
            sum_a, sum_b, sum_c, sum_e = nothing, nothing, nothing, nothing
            if n:
                sum_a, sum_b = load(sums, to, vector), load(sums, to + apart, vector)
                sum_c, sum_e = load(sums, to + 2 * apart, vector), load(sums, to + 3 * apart, vector)
            g = four(factors, d * TILE + n)
            store(sums, to, vector, _add_products(a, g, sum_a))
            store(sums, to + apart, vector, _add_products(b, g, sum_b))
            store(sums, to + 2 * apart, vector, _add_products(c, g, sum_c))
            store(sums, to + 3 * apart, vector, _add_products(e, g, sum_e))
            z = _add_scaled(
                repeat(rows, at + d), a, _add_scaled(repeat(rows, at + dim + d), b, four(tile, d * TILE + n))
            )
            z = _add_scaled(repeat(rows, at + 2 * dim + d), c, _add_scaled(repeat(rows, at + 3 * dim + d), e, z))
            put(tile, d * TILE + n, *z)


@inlined
def shift(scalars: Any, row: Any, number: Any, source: Any) -> None:
    """Add a multiple of one row of scalars to another: scalars[row] += number scalars[source].

    Args:
        scalars: of maps and draws, changed.
        row: index in `scalars` of the row that is changed.
        number: the factor.
        source: index in `scalars` of the row that is added.
    """
    for n in range(0, TILE, 4 * width(scalars)):
        put(scalars, row + n, *_add_scaled(spread(number), four(scalars, source + n), four(scalars, row + n)))


@inlined
def product(scalars: Any, row: Any, other_row: Any) -> Any:
    """The sum over a tile's draws of the products of two rows of scalars.

    Args:
        scalars: of maps and draws.
        row: index in `scalars` of the first row.
        other_row: index in `scalars` of the second row.

    Returns:
        The sum, a number.
    """
    sums = spread(scalars.dtype.type(0))
    for n in range(0, TILE, 4 * width(scalars)):
        sums = _add_products(four(scalars, row + n), four(scalars, other_row + n), sums)
    return total(sums)


@inlined
def _zeros(tile: Any) -> Any:
    """Four wide vectors of zeros."""
    zero = spread(tile.dtype.type(0))
    return zero, zero, zero, zero


@inlined
def _add_scaled(w: Any, vectors: Any, sums: Any) -> Any:
    """Four vectors: sums + w vectors."""
    return (
        fma(w, vectors[0], sums[0]),
        fma(w, vectors[1], sums[1]),
        fma(w, vectors[2], sums[2]),
        fma(w, vectors[3], sums[3]),
    )


@inlined
def _add_products(x: Any, y: Any, sums: Any) -> Any:
    """One vector: sums + the products of four vectors x with four vectors y, place by place."""
    return fma(x[3], y[3], fma(x[2], y[2], fma(x[1], y[1], fma(x[0], y[0], sums))))
