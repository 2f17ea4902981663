"""The largest of every four on the CPU, compiled: one pass forward, one backward. Contract: `maxout.maxout`."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from nfbench.kernels.cpu.memory import array, empty
from nfbench.kernels.cpu.shares import added, combined, parts, together
from nfbench.kernels.cpu.team import own
from nfbench.kernels.simd.arithmetic import compiled, inlined

_COST = 1.5  # nanoseconds of a window on one core, about


def forward(y: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """`y (R, 4 U), bias (4 U,) -> (R, U)`, the largest of y + bias, and which of the four it was."""
    given = array(y), array(bias)
    rows, units = len(y), len(bias) // 4
    found, winners = empty((rows, units), given[0].dtype), np.empty((rows, units), np.uint8)
    together([(_forward, (*given, found, winners))], parts(units, rows, _COST))
    return torch.from_numpy(found), torch.from_numpy(winners)


def backward(grad: Tensor, winners: Tensor) -> tuple[Tensor, Tensor]:
    """`(R, U) -> (R, 4 U)`, the gradient where the largest was, zero elsewhere, and its sum over the rows (4 U,)."""
    given = array(grad)
    rows, units = given.shape
    shares, found = parts(units, rows, _COST), empty((rows, 4 * units), given.dtype)
    sums = combined(shares, (4 * units,), given.dtype)
    together([(_backward, (given, winners.numpy(), found, sums))], shares)
    return torch.from_numpy(found), added(sums)


@compiled
def _forward(y: Any, bias: Any, found: Any, winners: Any, share: Any) -> None:
    """A NaN is larger than what comes after it, and than what came before."""
    _, group, groups, start, stop = share
    b = bias[4 * group : 4 * groups]
    for r in range(start, stop):
        # Rows by themselves, from their start: where an index might be negative the compiler finds no vectors.
        row, most, place = y[r, 4 * group : 4 * groups], found[r, group:groups], winners[r, group:groups]
        for u in range(most.shape[0]):
            i = 4 * u
            best, winner = _larger(row[i] + b[i], np.uint8(0), row[i + 1] + b[i + 1], np.uint8(1))
            best, winner = _larger(best, winner, row[i + 2] + b[i + 2], np.uint8(2))
            most[u], place[u] = _larger(best, winner, row[i + 3] + b[i + 3], np.uint8(3))


@inlined
def _larger(one: Any, winner: Any, other: Any, place: Any) -> Any:
    more = (other > one) | (other != other)
    return (other if more else one), (place if more else winner)


@compiled
def _backward(grad: Any, winners: Any, found: Any, of_bias: Any, share: Any) -> None:
    _, group, groups, start, stop = share
    zero, sums = grad.dtype.type(0), own(of_bias, share)[4 * group : 4 * groups]
    sums[:] = zero
    for r in range(start, stop):
        given, winner, here = grad[r, group:groups], winners[r, group:groups], found[r, 4 * group : 4 * groups]
        for u in range(given.shape[0]):
            for place in range(4):
                x = given[u] if winner[u] == np.uint8(place) else zero
                here[4 * u + place] = x
                sums[4 * u + place] += x
