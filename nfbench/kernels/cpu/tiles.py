"""Tiles: TILE draws held dimension by dimension, so that a vector holds one dimension of several draws; compiled.

A tile is an array (D TILE,): number d TILE + n is dimension d of draw n. Elsewhere draws lie one after the other, D
numbers each.
"""

from typing import Any

import numpy as np

from nfbench.kernels.compiler.decorators import inlined
from nfbench.kernels.cpu.shares import TILE
from nfbench.kernels.simd.prefetch import LINE
from nfbench.kernels.simd.vector import carry, fma, narrow, store, total, totals, turn, wide

_FEW_VECTORS = 4  # up to so many vectors are summed faster one by one than by a transposed square

width, _spread_narrow, (_width_wide, _load, _spread, _) = narrow.width, narrow.spread, wide


@inlined
def room(size: Any, like: Any) -> Any:
    """Memory that begins with a cache line: a vector across two lines takes two accesses.

    Args:
        size: how many numbers.
        like: an array of their dtype.

    Returns:
        Zeros (size,).
    """
    memory = np.zeros(size + LINE // like.itemsize, like.dtype)
    first = (LINE - memory.ctypes.data % LINE) % LINE // like.itemsize
    return memory[first : first + size]


@inlined
def squares(dim: Any, like: Any) -> Any:
    """Memory for wide vectors, side by side, in whole squares (W vectors of W numbers).

    Args:
        dim: how many vectors, rounded up to whole squares.
        like: an array of their dtype.

    Returns:
        Zeros, flat.
    """
    vector = _width_wide(like)
    return room((dim + (-dim) % vector) * vector, like)


@inlined
def fill(tile: Any, numbers: Any, at: Any, count: Any) -> None:
    """Copy draws, one after the other, into a tile.

    Args:
        tile: (D TILE,), written; places without a draw become zero.
        numbers: draws, contiguous, of any shape.
        at: index in `numbers` of the first draw's first number.
        count: how many draws, at most TILE.
    """
    dim, side, nothing = tile.shape[0] // TILE, width(tile), _spread_narrow(tile.dtype.type(0))
    draws, dims = count - count % side, dim - dim % side
    for d in range(0, dims, side):
        for n in range(0, draws, side):
            turn(numbers, at + n * dim + d, dim, tile, d * TILE + n, TILE)
    for d in range(dim):
        for n in range(draws if d < dims else 0, count):
            carry(numbers, at + n * dim + d, tile, d * TILE + n)
        for n in range(count, TILE, side):
            store(tile, d * TILE + n, min(side, TILE - n), nothing)


@inlined
def empty(tile: Any, numbers: Any, at: Any, count: Any) -> None:
    """Copy a tile's first draws back into an array, one after the other.

    Args:
        tile: (D TILE,).
        numbers: draws, contiguous, of any shape, written.
        at: index in `numbers` of the first draw's first number.
        count: how many draws, at most TILE.
    """
    dim, side = tile.shape[0] // TILE, width(tile)
    draws, dims = count - count % side, dim - dim % side
    for n in range(0, draws, side):
        for d in range(0, dims, side):
            turn(tile, d * TILE + n, TILE, numbers, at + n * dim + d, dim)
    for d in range(dim):
        for n in range(draws if d < dims else 0, count):
            carry(tile, d * TILE + n, numbers, at + n * dim + d)


@inlined
def four(numbers: Any, at: Any) -> Any:
    """Load four wide vectors, one after the other.

    Args:
        numbers: contiguous, of any shape.
        at: index in `numbers` of the first vector's first number.

    Returns:
        The four vectors.
    """
    vector = _width_wide(numbers)
    low = _load(numbers, at, vector), _load(numbers, at + vector, vector)
    return (*low, _load(numbers, at + 2 * vector, vector), _load(numbers, at + 3 * vector, vector))


@inlined
def put(numbers: Any, at: Any, a: Any, b: Any, c: Any, d: Any) -> None:
    """Store four wide vectors, one after the other.

    Args:
        numbers: contiguous, of any shape, written.
        at: index in `numbers` of the first vector's first number.
        a: the first vector.
        b: the second.
        c: the third.
        d: the fourth.
    """
    vector = _width_wide(numbers)
    store(numbers, at, vector, a)
    store(numbers, at + vector, vector, b)
    store(numbers, at + 2 * vector, vector, c)
    store(numbers, at + 3 * vector, vector, d)


@inlined
def add_totals(numbers: Any, at: Any, sums: Any, place: Any, dim: Any) -> None:
    """Sum up each of D wide vectors and add the D sums to `numbers`, from `numbers.flat[at]` on.

    Args:
        numbers: contiguous, of any shape.
        at: index of the first sum in `numbers`.
        sums: memory of `squares`; a square is read as a whole, whatever follows the D vectors in it.
        place: index in `sums` where the vectors begin.
        dim: D.

    Raises:
        MemoryError: `sums` ends within a square.
    """
    vector = _width_wide(sums)
    single, one = dim % vector if dim % vector <= _FEW_VECTORS else 0, _spread(sums.dtype.type(1))
    if place + (dim + (-dim) % vector) * vector > sums.size:
        raise MemoryError("no room for whole squares")
    for d in range(0, dim - single, vector):
        totals_of_square, count = totals(sums, place + d * vector, one), min(vector, dim - d)
        store(numbers, at + d, count, fma(one, totals_of_square, _load(numbers, at + d, count)))
    for d in range(dim - single, dim):
        numbers[at + d] += total(_load(sums, place + d * vector, vector))
