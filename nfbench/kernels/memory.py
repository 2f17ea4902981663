"""Memory for large results that is used again: what the system gives anew it clears, page by page, at every update."""

import math
import weakref

import numpy as np
import torch
from torch import Tensor

_LARGE = 2**20  # bytes from which memory is kept
_KEPT = 2**28  # bytes that are kept at most

_free: dict[int, np.ndarray] = {}  # no lock: what is gone may be noticed anywhere, in the midst of this module too


def empty(*shape: int, like: Tensor) -> Tensor:
    """A contiguous tensor on the CPU, of `like`'s dtype and with any content; its memory comes back when it is gone."""
    size = math.prod(shape) * like.element_size()
    if size < _LARGE:
        return like.new_empty(shape)
    block = _taken(size)
    array = block.view(like.detach()[:0].numpy().dtype).reshape(shape)
    weakref.finalize(array, _give_back, block).atexit = False
    return torch.from_numpy(array)


def _taken(size: int) -> np.ndarray:
    for key, block in _free.copy().items():
        if block.nbytes == size and _free.pop(key, None) is not None:
            return block
    return np.empty(size, np.uint8)


def _give_back(block: np.ndarray) -> None:
    if block.nbytes + sum(kept.nbytes for kept in _free.copy().values()) <= _KEPT:
        _free[id(block)] = block
