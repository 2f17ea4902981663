"""Memory for large results that is used again: the system would clear, page by page, what it hands out anew."""

import contextlib
import math
import weakref
from collections.abc import Iterator

import numpy as np
import torch

_LARGE = 2**20  # bytes of the smallest block that is used again
_FREE_LIMIT = 2**28  # bytes of free blocks that are kept for later at most

_use_torch = [False]  # whether torch allocates all memory instead (`counted`)
_free: dict[int, memoryview] = {}  # blocks by id. No lock: an array may be collected anywhere, even within this module
# Blocks whose array is alive, with a weak reference that reports its end: `weakref.finalize` at a third of its cost.
_in_use: dict[int, tuple[weakref.ref[np.ndarray], memoryview]] = {}


def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array with any content.

    Large memory is used again once the array, all views of it and all tensors on it are gone.

    Args:
        shape: of the array.
        dtype: of its numbers.

    Returns:
        The array, contiguous.
    """
    if _use_torch[0]:
        memory: np.ndarray = torch.empty(math.prod(shape) * dtype.itemsize, dtype=torch.uint8).numpy()
        return memory.view(dtype).reshape(shape)
    size = math.prod(shape) * dtype.itemsize
    if size < _LARGE:
        return np.empty(shape, dtype)
    block = _take(size)
    whole = np.frombuffer(block, dtype)  # every view keeps this array alive: its base is the block, not another array
    watch = weakref.ref(whole, _give_back)
    _in_use[id(watch)] = watch, block
    return whole.reshape(shape)


def array(tensor: torch.Tensor) -> np.ndarray:
    """The tensor's numbers as a contiguous array.

    Args:
        tensor: on the CPU.

    Returns:
        An array on the tensor's own memory, or a copy where that is not contiguous, or holds the negatives of the
        numbers (torch's negative bit, which the imaginary part of a conjugate has).
    """
    if tensor.is_neg():
        tensor = tensor.resolve_neg()
    memory: np.ndarray = (tensor.detach() if tensor.requires_grad else tensor).numpy()
    return memory if memory.flags.c_contiguous else np.ascontiguousarray(memory)


@contextlib.contextmanager
def counted() -> Iterator[None]:
    """Within the `with` block let torch allocate all memory anew, so that its profiler sees it come and go.

    Yields:
        Nothing.
    """
    before, _use_torch[0] = _use_torch[0], True
    try:
        yield
    finally:
        _use_torch[0] = before


def _take(size: int) -> memoryview:
    """A free block of `size` bytes, or a new one."""
    for key, block in _free.copy().items():
        if block.nbytes == size and _free.pop(key, None) is not None:
            return block
    return np.empty(size, np.uint8).data


def _give_back(watch: weakref.ref[np.ndarray]) -> None:
    """Make the block of an array that is gone free, unless enough blocks are."""
    _, block = _in_use.pop(id(watch))
    if block.nbytes + sum(free.nbytes for free in _free.copy().values()) <= _FREE_LIMIT:
        _free[id(block)] = block
