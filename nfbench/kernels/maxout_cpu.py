"""The largest of four on the CPU, compiled: one pass forward, one backward. Contract: `maxout.largest`."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from nfbench.kernels.arithmetic import compiled
from nfbench.kernels.memory import array, empty
from nfbench.kernels.threads import parts, together

_COST = 1.0  # nanoseconds of a window on one core, about


def forward(windows: Tensor) -> tuple[Tensor, Tensor]:
    """`(U, 4, R) -> (U, R)`, the largest, and which of the four it was."""
    given = array(windows)
    units, _, rows = given.shape
    found, winners = empty((units, rows), given.dtype), np.empty((units, rows), np.uint8)
    together([(_forward, (given, found, winners))], parts(units, rows, _COST))
    return torch.from_numpy(found), torch.from_numpy(winners)


def backward(grad: Tensor, winners: Tensor) -> Tensor:
    """`(U, R) -> (U, 4, R)`: the gradient where the largest was, zero elsewhere."""
    given = array(grad)
    units, rows = given.shape
    found = empty((units, 4, rows), given.dtype)
    together([(_backward, (given, winners.numpy(), found))], parts(units, rows, _COST))
    return torch.from_numpy(found)


@compiled
def _forward(windows: Any, found: Any, winners: Any, share: Any) -> None:
    """A NaN is larger than what comes after it, and than what came before."""
    _, group, groups, start, stop = share
    for u in range(group, groups):
        for r in range(start, stop):
            largest, winner = windows[u, 0, r], np.uint8(0)
            for place in range(1, 4):
                x = windows[u, place, r]
                more = x > largest or x != x
                largest, winner = (x if more else largest), (np.uint8(place) if more else winner)
            found[u, r], winners[u, r] = largest, winner


@compiled
def _backward(grad: Any, winners: Any, found: Any, share: Any) -> None:
    _, group, groups, start, stop = share
    zero = grad.dtype.type(0)
    for u in range(group, groups):
        for place in range(4):
            for r in range(start, stop):
                found[u, place, r] = grad[u, r] if winners[u, r] == place else zero
