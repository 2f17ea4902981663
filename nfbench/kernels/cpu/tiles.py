"""TILE draws held dimension by dimension, so that a vector has one dimension of several draws; compiled."""

from typing import Any

import numpy as np

from nfbench.kernels.cpu.shares import TILE
from nfbench.kernels.simd.arithmetic import inlined
from nfbench.kernels.simd.prefetch import LINE
from nfbench.kernels.simd.vector import carry, fma, narrow, store, total, totals, turn, wide

_SINGLY = 4  # vectors: as many are added up faster each for itself than in a tree

width, _spread_narrow, (_width_wide, _load, _spread, _) = narrow.width, narrow.spread, wide


@inlined
def room(size: Any, like: Any) -> Any:
    """Zeros `(size,)` of the type of `like`, from the start of a line: a vector across two takes two accesses."""
    memory = np.zeros(size + LINE // like.itemsize, like.dtype)
    first = (LINE - memory.ctypes.data % LINE) % LINE // like.itemsize
    return memory[first : first + size]


@inlined
def squares(dim: Any, like: Any) -> Any:
    """Room for D wide vectors, side by side, in whole squares of them."""
    vector = _width_wide(like)
    return room((dim + (-dim) % vector) * vector, like)


@inlined
def fill(tile: Any, numbers: Any, at: Any, count: Any) -> None:
    """`count <= TILE` draws from `numbers (..,)`, one after the other from `at` on, into `tile (D TILE,)`.

    What the tile has besides, of other draws, becomes zero.
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
    """The tile's first `count` draws into `numbers (..,)`, from `at` on."""
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
    """Four wide vectors, one after the other."""
    vector = _width_wide(numbers)
    low = _load(numbers, at, vector), _load(numbers, at + vector, vector)
    return (*low, _load(numbers, at + 2 * vector, vector), _load(numbers, at + 3 * vector, vector))


@inlined
def put(numbers: Any, at: Any, one: Any, two: Any, three: Any, last: Any) -> None:
    """Where `four` takes them from."""
    vector = _width_wide(numbers)
    store(numbers, at, vector, one)
    store(numbers, at + vector, vector, two)
    store(numbers, at + 2 * vector, vector, three)
    store(numbers, at + 3 * vector, vector, last)


@inlined
def add_totals(numbers: Any, at: Any, sums: Any, place: Any, dim: Any) -> None:
    """Totals of D wide vectors, side by side in `sums` from `place` on, are added to `numbers (..,)` from `at` on.

    `sums` is of `squares`: a square is read as a whole, with any content where it is more than D vectors.
    """
    vector = _width_wide(sums)
    singly, one = dim % vector if dim % vector <= _SINGLY else 0, _spread(sums.dtype.type(1))
    if place + (dim + (-dim) % vector) * vector > sums.size:
        raise MemoryError("no room for whole squares")
    for d in range(0, dim - singly, vector):
        found, count = totals(sums, place + d * vector, one), min(vector, dim - d)
        store(numbers, at + d, count, fma(one, found, _load(numbers, at + d, count)))
    for d in range(dim - singly, dim):
        numbers[at + d] += total(_load(sums, place + d * vector, vector))
