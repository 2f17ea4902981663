"""Chains of additive couplings on the CPU: shares for threads, and memory. Contract: `coupling_operators`."""

import numpy as np
import torch
from torch import Tensor

from nfbench.kernels import coupling_draws
from nfbench.kernels.memory import empty
from nfbench.kernels.threads import Part, parts, together

_UNIT, _PRODUCT = 0.7, 0.025  # nanoseconds of a tangent, and of a product and sum, on one core


def forward(x: Tensor, inner: Tensor, bias: Tensor, outer: Tensor, reads: Tensor, writes: Tensor) -> Tensor:
    """`x (G, N, D) -> x_K (G, N, D)`."""
    given = _arrays(x, inner, bias, outer, reads, writes)
    out = empty(given[0].shape, given[0].dtype)

    def work(_: int, part: Part) -> None:
        coupling_draws.forward(*given, out, *part.groups, *part.draws)

    together(work, parts(x.shape[0], x.shape[1], _cost(inner)))
    return torch.from_numpy(out)


def backward(
    x: Tensor, inner: Tensor, bias: Tensor, outer: Tensor, reads: Tensor, writes: Tensor, grad: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients in x_0, A, b and C, from x_K (G, N, D)."""
    given = _arrays(x, inner, bias, outer, reads, writes, grad)
    shares = parts(x.shape[0], x.shape[1], 3 * _cost(inner))
    split = len(shares) > 1 and shares[0].groups == shares[1].groups  # of the draws, whose sums are then added
    to_x = empty(given[0].shape, given[0].dtype)
    sums = [empty((len(shares) if split else 1, *given[place].shape), given[0].dtype) for place in (1, 2, 3)]

    def work(index: int, part: Part) -> None:
        own = (one[index % len(one)] for one in sums)
        coupling_draws.backward(*given, to_x, *own, *part.groups, *part.draws)

    together(work, shares)
    to_inner, to_bias, to_outer = (torch.from_numpy(one) for one in sums)
    if split:
        return torch.from_numpy(to_x), to_inner.sum(0), to_bias.sum(0), to_outer.sum(0)
    return torch.from_numpy(to_x), to_inner[0], to_bias[0], to_outer[0]


def _cost(inner: Tensor) -> float:
    """About how many nanoseconds a draw takes."""
    _, depth, dim, hidden = inner.shape
    return depth * hidden * (_UNIT + _PRODUCT * dim)


def _arrays(*tensors: Tensor) -> list[np.ndarray]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]
