"""The largest of every four numbers on the CPU, one pass forward, one backward; compiled. Used by `maxout.maxout`."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from nfbench.kernels.compiler.decorators import compiled, inlined
from nfbench.kernels.cpu.memory import array, empty
from nfbench.kernels.cpu.shares import added, combined, parts, together
from nfbench.kernels.cpu.team import own

_COST = 1.5  # nanoseconds of a window on one core, about


def forward(y: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """The largest of each window of four numbers of y + bias.

    Args:
        y: (R, 4 U).
        bias: (4 U,).

    Returns:
        The maxima (R, U), and which of the four each is, 0 to 3 (R, U) as uint8.
    """
    numbers, biases = array(y), array(bias)
    rows, units = len(y), len(bias) // 4
    most, winners = empty((rows, units), numbers.dtype), np.empty((rows, units), np.uint8)
    together([(_forward, (numbers, biases, most, winners))], parts(units, rows, _COST))
    return torch.from_numpy(most), torch.from_numpy(winners)


def backward(grad: Tensor, winners: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients in y and in the bias.

    Args:
        grad: gradient in the maxima (R, U).
        winners: (R, U), of `forward`.

    Returns:
        (R, 4 U), zero but for the winners, and its sum over rows (4 U,).
    """
    grads = array(grad)
    rows, units = grads.shape
    shares, to_y = parts(units, rows, _COST), empty((rows, 4 * units), grads.dtype)
    sums = combined(shares, (4 * units,), grads.dtype)
    together([(_backward, (grads, winners.numpy(), to_y, sums))], shares)
    return torch.from_numpy(to_y), added(sums)


@compiled
def _forward(y: Any, bias: Any, largest: Any, winners: Any, share: Any) -> None:
    """Write maxima and winners, (R, U) each; a NaN counts as larger than every number."""
    _, group, groups, start, stop = share
    b = bias[4 * group : 4 * groups]
    for r in range(start, stop):
        # Views of one row, indexed from 0: LLVM does not vectorise where an index might be negative.
        row, most, place = y[r, 4 * group : 4 * groups], largest[r, group:groups], winners[r, group:groups]
        for u in range(most.shape[0]):
            i = 4 * u
            best, winner = _larger(row[i] + b[i], np.uint8(0), row[i + 1] + b[i + 1], np.uint8(1))
            best, winner = _larger(best, winner, row[i + 2] + b[i + 2], np.uint8(2))
            most[u], place[u] = _larger(best, winner, row[i + 3] + b[i + 3], np.uint8(3))


@inlined
def _larger(best: Any, winner: Any, x: Any, place: Any) -> Any:
    """The larger of `best` and x, or NaN if x is NaN, and its place."""
    more = (x > best) | (x != x)
    return (x if more else best), (place if more else winner)


@compiled
def _backward(grad: Any, winners: Any, to_y: Any, of_bias: Any, share: Any) -> None:
    """Write the gradient in y (R, 4 U), and add its sums over rows to `of_bias`, memory of `shares.combined`."""
    _, group, groups, start, stop = share
    zero, sums = grad.dtype.type(0), own(of_bias, share)[4 * group : 4 * groups]
    sums[:] = zero
    for r in range(start, stop):
        grads, winner, here = grad[r, group:groups], winners[r, group:groups], to_y[r, 4 * group : 4 * groups]
        for u in range(grads.shape[0]):
            for place in range(4):
                x = grads[u] if winner[u] == np.uint8(place) else zero
                here[4 * u + place] = x
                sums[4 * u + place] += x
