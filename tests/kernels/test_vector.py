"""Explicit vectors in compiled loops: whole ones, and parts at the end of a row that touch nothing beyond it."""

import numpy as np
import pytest

from nfbench.kernels.compiler.decorators import compiled
from nfbench.kernels.cpu.shares import TILE
from nfbench.kernels.cpu.tiles import empty, fill, room
from nfbench.kernels.simd.tanh import tanh
from nfbench.kernels.simd.vector import NARROW, WIDE, fma, narrow, store, total, totals, wide

EVERY = pytest.mark.parametrize("dtype", [np.float32, np.float64])
LENGTHS = pytest.mark.parametrize("length", [0, 1, 3, 4, 7, 8, 9, 16, 21])


def _made(vectors):
    """Functions on arrays, compiled for vectors of one size."""
    width, load, spread, _ = vectors

    @compiled
    def double_plus(source, target, start, more):
        """target[start:] = 2 source + more, and the sum of what was written."""
        vector, sums = width(source), spread(source.dtype.type(0))
        for d in range(0, source.shape[0], vector):
            count = min(vector, source.shape[0] - d)
            found = fma(spread(source.dtype.type(2)), load(source, d, count), spread(more))
            store(target, start + d, count, found)
            sums = fma(load(target, start + d, count), spread(source.dtype.type(1)), sums)
        return total(sums)

    @compiled
    def all_totals(source, target):
        """The totals of the rows of `source (width width,)`."""
        store(target, 0, width(source), totals(source, 0, spread(source.dtype.type(0))))

    @compiled
    def hyperbolic(source, target):
        vector = width(source)
        for n in range(0, source.shape[0], 4 * vector):
            i, j, m = n + vector, n + 2 * vector, n + 3 * vector
            first, second = load(source, n, vector), load(source, i, vector)
            found = tanh(first, second, load(source, j, vector), load(source, m, vector))
            store(target, n, vector, found[0])
            store(target, i, vector, found[1])
            store(target, j, vector, found[2])
            store(target, m, vector, found[3])

    return double_plus, all_totals, hyperbolic


SIZES = pytest.mark.parametrize(
    ("made", "size"), [(_made(narrow), NARROW), (_made(wide), WIDE)], ids=["narrow", "wide"]
)


@SIZES
@EVERY
@LENGTHS
def test_rows_of_any_length(made, size, dtype, length):
    """Each number is there once, in its place, and what surrounds the row is as before."""
    source, target = np.arange(1, length + 1, dtype=dtype), np.full(length + 20, -7, dtype)
    summed = made[0](source, target, 5, dtype(3))
    expected = 2 * source + 3
    assert np.array_equal(target[5 : 5 + length], expected)
    assert np.all(target[:5] == -7)
    assert np.all(target[5 + length :] == -7)
    assert summed == expected.sum()


@SIZES
@EVERY
def test_what_is_not_loaded_is_zero(made, size, dtype):
    """A part of a vector has zeros for the rest, even where memory beyond the row holds NaN."""
    memory = np.array([1, 2, 3, *[np.nan] * 20], dtype)
    target = np.zeros(3, dtype)
    assert made[0](memory[:3], target, 0, dtype(0)) == 12


@SIZES
@EVERY
def test_totals(made, size, dtype):
    """A row of vectors becomes a vector of their sums, each in its place."""
    side = size // np.dtype(dtype).itemsize
    source, target = np.arange(side * side, dtype=dtype), np.zeros(side, dtype)
    made[1](source, target)
    assert np.array_equal(target, source.reshape(side, side).sum(1))


@SIZES
@EVERY
def test_tanh(made, size, dtype):
    """Right to 2 units in the last place, exactly 1 in saturation, and zero, infinity and NaN keep their signs."""
    step = np.concatenate([np.logspace(-30, 1.9, 1000), [0.0, np.inf, np.nan]]).astype(dtype)
    whole = np.concatenate([step, -step])
    source = np.concatenate([whole, np.zeros(-len(whole) % 64, dtype)])
    target = np.empty_like(source)
    made[2](source, target)
    exact = np.tanh(source.astype(np.longdouble))
    number = np.isfinite(source) & (source != 0)
    assert np.all(abs(target[number] - exact[number]) <= 2 * np.spacing(abs(exact[number]).astype(dtype)))
    assert np.all(abs(target[abs(source) > 20]) == 1)
    assert np.array_equal(np.isnan(target), np.isnan(source))
    assert np.array_equal(np.signbit(target[~np.isnan(source)]), np.signbit(source[~np.isnan(source)]))


@EVERY
@pytest.mark.parametrize("count", [1, 7, 8, 17, TILE])
@pytest.mark.parametrize("dim", [1, 2, 4, 7, 8, 9, 40])
def test_tiles(dtype, count, dim):
    """What goes into a tile lies there turned, with zeros for draws that are not there, and comes out as it was."""
    draws = np.arange(3 + (count + 1) * dim, dtype=dtype)
    tile, back = np.full(dim * TILE, 5, dtype), np.full_like(draws, -1)
    _through(draws, back, tile, 3, count)
    assert np.array_equal(tile.reshape(dim, TILE)[:, :count].T.ravel(), draws[3 : 3 + count * dim])
    assert not tile.reshape(dim, TILE)[:, count:].any()
    assert np.array_equal(back[3 : 3 + count * dim], draws[3 : 3 + count * dim])
    assert np.all(back[:3] == -1)
    assert np.all(back[3 + count * dim :] == -1)


@compiled
def _through(draws, back, tile, at, count):
    fill(tile, draws, at, count)
    empty(tile, back, at, count)


@SIZES
@EVERY
def test_width(made, size, dtype):
    """A narrow vector is 32 bytes, a wide one 32 or 64; room for them starts where a line of the cache does."""
    width = (narrow if size == NARROW else wide).width
    measured = compiled(lambda array: width(array))
    assert measured(np.zeros(1, dtype)) * np.dtype(dtype).itemsize == size
    assert size in (32, 64)
    for length in (1, 5, 1000):
        found = _rooms(length, np.zeros(1, dtype))
        assert found.ctypes.data % 64 == 0
        assert np.array_equal(found, np.zeros(length, dtype))


@compiled
def _rooms(length, like):
    return room(length, like)
