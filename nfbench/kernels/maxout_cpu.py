"""The largest of four on the CPU, compiled: one pass forward, one backward. Contract: `maxout.largest`."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from nfbench.kernels.arithmetic import compiled, inlined
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
        # Rows by themselves, from their start: where an index might be negative the compiler finds no vectors.
        a, b = windows[u, 0, start:stop], windows[u, 1, start:stop]
        c, d = windows[u, 2, start:stop], windows[u, 3, start:stop]
        most, place = found[u, start:stop], winners[u, start:stop]
        for r in range(stop - start):
            best, winner = _larger(a[r], np.uint8(0), b[r], np.uint8(1))
            best, winner = _larger(best, winner, c[r], np.uint8(2))
            most[r], place[r] = _larger(best, winner, d[r], np.uint8(3))


@inlined
def _larger(one: Any, winner: Any, other: Any, place: Any) -> Any:
    more = (other > one) | (other != other)
    return (other if more else one), (place if more else winner)


@compiled
def _backward(grad: Any, winners: Any, found: Any, share: Any) -> None:
    _, group, groups, start, stop = share
    zero = grad.dtype.type(0)
    for u in range(group, groups):
        given, winner = grad[u, start:stop], winners[u, start:stop]
        for place in range(4):
            here = found[u, place, start:stop]
            for r in range(stop - start):
                here[r] = given[r] if winner[r] == np.uint8(place) else zero
