"""Explicit vectors in compiled loops: whole ones, and parts at the end of a row that touch nothing beyond it."""

import numpy as np
import pytest

from nfbench.kernels.arithmetic import compiled
from nfbench.kernels.vector import fma, load, spread, store, total, width

EVERY = pytest.mark.parametrize("dtype", [np.float32, np.float64])
LENGTHS = pytest.mark.parametrize("length", [0, 1, 3, 4, 7, 8, 9, 16, 21])


@compiled
def _double_plus(source, target, start, more):
    """target[start:] = 2 source + more, and the sum of what was written."""
    vector, sums = width(source), spread(source.dtype.type(0))
    for d in range(0, source.shape[0], vector):
        count = min(vector, source.shape[0] - d)
        found = fma(spread(source.dtype.type(2)), load(source, d, count), spread(more))
        store(target, start + d, count, found)
        sums = fma(load(target, start + d, count), spread(source.dtype.type(1)), sums)
    return total(sums)


@EVERY
@LENGTHS
def test_rows_of_any_length(dtype, length):
    """Each number is there once, in its place, and what surrounds the row is as before."""
    source, target = np.arange(1, length + 1, dtype=dtype), np.full(length + 20, -7, dtype)
    summed = _double_plus(source, target, 5, dtype(3))
    expected = 2 * source + 3
    assert np.array_equal(target[5 : 5 + length], expected)
    assert np.all(target[:5] == -7)
    assert np.all(target[5 + length :] == -7)
    assert summed == expected.sum()


@EVERY
def test_what_is_not_loaded_is_zero(dtype):
    """A part of a vector has zeros for the rest, even where memory beyond the row holds NaN."""
    memory = np.array([1, 2, 3, *[np.nan] * 20], dtype)
    target = np.zeros(3, dtype)
    assert _double_plus(memory[:3], target, 0, dtype(0)) == 12


@EVERY
def test_width(dtype):
    """A vector is 32 bytes."""
    measured = compiled(lambda array: width(array))
    assert measured(np.zeros(1, dtype)) * np.dtype(dtype).itemsize == 32
