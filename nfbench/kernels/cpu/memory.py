"""Memory for large results that is used again: what the system gives anew it clears, page by page, at every update."""

import contextlib
import math
import weakref
from collections.abc import Iterator

import numpy as np
import torch

_LARGE = 2**20  # bytes from which memory is kept
_KEPT = 2**28  # bytes that are kept at most

_torchs_own = [False]  # whether torch allocates instead
_free: dict[int, memoryview] = {}  # no lock: what is gone may be noticed anywhere, in the midst of this module too
_lent: dict[int, tuple[weakref.ref[np.ndarray], memoryview]] = {}  # as `weakref.finalize` does, at a third of its cost


def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array with any content, whose memory is used again when the array, every view and every tensor are gone."""
    if _torchs_own[0]:
        found: np.ndarray = torch.empty(math.prod(shape) * dtype.itemsize, dtype=torch.uint8).numpy()
        return found.view(dtype).reshape(shape)
    size = math.prod(shape) * dtype.itemsize
    if size < _LARGE:
        return np.empty(shape, dtype)
    block = _taken(size)
    whole = np.frombuffer(block, dtype)  # on which every view of it holds: below it is no array, but its memory
    watch = weakref.ref(whole, _give_back)
    _lent[id(watch)] = watch, block
    return whole.reshape(shape)


def array(tensor: torch.Tensor) -> np.ndarray:
    """The tensor's memory, or that of a contiguous copy."""
    found: np.ndarray = (tensor.detach() if tensor.requires_grad else tensor).numpy()
    return found if found.flags.c_contiguous else np.ascontiguousarray(found)


@contextlib.contextmanager
def counted() -> Iterator[None]:
    """Within the block torch allocates all memory anew, so that its profiler sees each piece come and go."""
    before, _torchs_own[0] = _torchs_own[0], True
    try:
        yield
    finally:
        _torchs_own[0] = before


def _taken(size: int) -> memoryview:
    for key, block in _free.copy().items():
        if block.nbytes == size and _free.pop(key, None) is not None:
            return block
    return np.empty(size, np.uint8).data


def _give_back(watch: weakref.ref[np.ndarray]) -> None:
    _, block = _lent.pop(id(watch))
    if block.nbytes + sum(kept.nbytes for kept in _free.copy().values()) <= _KEPT:
        _free[id(block)] = block
