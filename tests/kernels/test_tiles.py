"""Scratch of the compiled loops: sums of vectors are read within the room that is theirs."""

import numpy as np
import pytest

from nfbench.kernels.compiler.decorators import compiled
from nfbench.kernels.cpu.tiles import add_totals, room, squares
from nfbench.kernels.simd.vector import WIDE


@compiled
def _added(numbers, sums, dim):
    add_totals(numbers, 0, sums, 0, dim)


@compiled
def _room(size, like):
    return room(size, like)


@compiled
def _squares(dim, like):
    return squares(dim, like)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("dim", [1, 3, 5, 8, 16, 21, 40])
def test_totals(dim, dtype):
    """Vectors side by side are added up, whatever lies in the rest of their squares."""
    like = np.zeros(1, dtype)
    width, sums = WIDE // like.itemsize, _squares(dim, like)
    assert sums.size % width**2 == 0
    assert sums.size >= dim * width
    sums[:] = np.random.default_rng(0).standard_normal(sums.size)
    numbers = np.ones(dim, dtype)
    _added(numbers, sums, dim)
    expected = 1 + sums[: dim * width].reshape(dim, width).sum(1, dtype=np.float64)
    np.testing.assert_allclose(numbers, expected, rtol=0, atol=2 * width * np.finfo(dtype).eps * np.abs(sums).max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_room_that_is_too_small_is_refused(dtype):
    """Half a square, whose other half is somebody else's memory."""
    like = np.zeros(1, dtype)
    width = WIDE // like.itemsize
    dim = width + width // 2 + 1
    with pytest.raises(MemoryError):
        _added(np.zeros(dim, dtype), _room(dim * width, like), dim)
