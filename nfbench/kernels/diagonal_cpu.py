"""The diagonal Gaussian's draws on the CPU, compiled: one pass over the noise forward, one backward."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nfbench.kernels.arithmetic import compiled, inlined
from nfbench.kernels.memory import empty
from nfbench.kernels.threads import Part, added, combined, parts, together
from nfbench.kernels.vector import fma, narrow, store, total

width, load, spread, _ = narrow

_COST = 1.0  # nanoseconds a number on one core, about
_BLOCK = 64  # draws that are summed before they are added to the sum of all: so a long sum keeps its digits


def forward(noise: Tensor, base: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`noise (S, B, D), base (B or 1, 2 D) -> z (S, B, D), ln q (S, B), e^base (B or 1, 2 D)`, all contiguous."""
    draws, points, dim = noise.shape
    sigma = base.exp()  # of the means, too: torch is slow on a part of each row
    given = noise.numpy(), base.numpy(), sigma.numpy()
    z, log_q = empty((draws, points, dim), given[0].dtype), empty((draws, points), given[0].dtype)

    def work(index: int, part: Part) -> None:
        _forward(*given, z, log_q, *part.groups, *part.draws)

    together(work, parts(points, draws, _COST * dim))
    return torch.from_numpy(z), torch.from_numpy(log_q), sigma


def backward(
    noise: Tensor, sigma: Tensor, grad_z: Tensor, grad_log_q: Tensor, *, to_noise: bool
) -> tuple[Tensor | None, Tensor]:
    """Gradients in the noise (S, B, D), where they are asked for, and in the base (B or 1, 2 D); all is contiguous."""
    draws, points, dim = noise.shape
    given = noise.numpy(), sigma.numpy(), grad_z.numpy(), grad_log_q.numpy()
    shares = parts(points, draws, _COST * dim)
    apart = len(sigma) > 1  # each point has a row of its own
    sums = combined(shares, given[1]) if apart else empty((len(shares), 1, 2 * dim), given[1].dtype)
    back = np.empty(given[0].shape if to_noise else (0, 0, 0), given[0].dtype)

    def work(index: int, part: Part) -> None:
        _backward(*given, sums[index % len(sums)], back, *part.groups, *part.draws)

    together(work, shares)
    return torch.from_numpy(back) if to_noise else None, added(sums)


@compiled
def _forward(
    noise: Any, base: Any, sigma: Any, z: Any, log_q: Any, group: int, groups: int, start: int, stop: int
) -> None:
    """Ln q = -(|noise|^2 + D ln 2 pi) / 2 - sum ln sigma."""
    points, dim, kind, vector = noise.shape[1], noise.shape[2], noise.dtype.type, width(noise)
    whole, left = dim - dim % vector, dim % vector
    for b in range(group, groups):
        row = b if sigma.shape[0] > 1 else 0
        rest = kind(dim * 0.5 * math.log(2 * math.pi))
        for d in range(dim):
            rest += base[row, dim + d]
        for s in range(start, stop):
            at, square = (s * points + b) * dim, spread(kind(0))
            for d in range(0, whole, vector):
                square = _moved(noise, base, sigma, z, at, row, dim, d, square, vector)
            if left:
                square = _moved(noise, base, sigma, z, at, row, dim, whole, square, left)
            log_q[s, b] = -(kind(0.5) * total(square) + rest)


@inlined
def _moved(noise: Any, base: Any, sigma: Any, z: Any, at: Any, row: Any, dim: Any, d: Any, square: Any, n: Any) -> Any:
    x = load(noise, at + d, n)
    store(z, at + d, n, fma(load(sigma, (2 * row + 1) * dim + d, n), x, load(base, 2 * row * dim + d, n)))
    return fma(x, x, square)


@compiled
def _backward(
    noise: Any,
    sigma: Any,
    grad: Any,
    grad_log: Any,
    sums: Any,
    back: Any,
    group: int,
    groups: int,
    start: int,
    stop: int,
) -> None:
    """`sums (rows, 2 D)` for one share of the work, and the gradient in the noise unless `back` is empty."""
    points, dim, kind, vector = noise.shape[1], noise.shape[2], noise.dtype.type, width(noise)
    whole, left, own = dim - dim % vector, dim % vector, sigma.shape[0] > 1
    block = np.empty(2 * (dim + vector), noise.dtype)
    if not own:
        sums[:] = kind(0)
    for b in range(group, groups):
        row, to_log = (b if own else 0), kind(0)
        if own:
            sums[row] = kind(0)
        for first in range(start, stop, _BLOCK):
            block[:], of_block = kind(0), kind(0)
            for s in range(first, min(first + _BLOCK, stop)):
                of_block += grad_log[s, b]
                at = (s * points + b) * dim
                for d in range(0, whole, vector):
                    _summed(noise, grad, block, at, dim, d, vector)
                if left:
                    _summed(noise, grad, block, at, dim, whole, left)
            to_log += of_block
            for d in range(dim):
                sums[row, d] += block[d]
                sums[row, dim + d] += block[dim + vector + d] * sigma[row, dim + d]
        for d in range(dim):
            sums[row, dim + d] -= to_log
        if back.size:
            for s in range(start, stop):
                for d in range(dim):
                    back[s, b, d] = grad[s, b, d] * sigma[row, dim + d] - grad_log[s, b] * noise[s, b, d]


@inlined
def _summed(noise: Any, grad: Any, block: Any, at: Any, dim: Any, d: Any, n: Any) -> None:
    vector, one = width(noise), spread(noise.dtype.type(1))
    g, by_sigma = load(grad, at + d, n), dim + vector + d
    store(block, d, vector, fma(one, g, load(block, d, vector)))
    store(block, by_sigma, vector, fma(g, load(noise, at + d, n), load(block, by_sigma, vector)))
