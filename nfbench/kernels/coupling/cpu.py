"""Chains of additive couplings on the CPU: shares for threads, and memory. Contract: `coupling_operators`."""

import torch
from torch import Tensor

from nfbench.kernels.coupling import cpu_draws
from nfbench.kernels.cpu.memory import array, empty
from nfbench.kernels.cpu.shares import added, combined, parts, together

_UNIT, _PRODUCT = 0.7, 0.025  # nanoseconds of a tangent, and of a product and sum, on one core


def forward(x: Tensor, inner: Tensor, bias: Tensor, outer: Tensor, reads: Tensor, writes: Tensor) -> Tensor:
    """`x (G, N, D) -> x_K (G, N, D)`."""
    given = [array(one) for one in (x, inner, bias, outer, reads, writes)]
    out = empty(given[0].shape, given[0].dtype)
    together([(cpu_draws.forward, (*given, out))], parts(x.shape[0], x.shape[1], _cost(inner)))
    return torch.from_numpy(out)


def backward(
    x: Tensor, inner: Tensor, bias: Tensor, outer: Tensor, reads: Tensor, writes: Tensor, grad: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients in x_0, A, b and C, from x_K (G, N, D)."""
    given = [array(one) for one in (x, inner, bias, outer, reads, writes, grad)]
    shares = parts(x.shape[0], x.shape[1], 3 * _cost(inner))
    to_x = empty(given[0].shape, given[0].dtype)
    sums = [combined(shares, given[place].shape, given[place].dtype) for place in (1, 2, 3)]
    together([(cpu_draws.backward, (*given, to_x, *sums))], shares)
    to_inner, to_bias, to_outer = (added(one) for one in sums)
    return torch.from_numpy(to_x), to_inner, to_bias, to_outer


def _cost(inner: Tensor) -> float:
    """About how many nanoseconds a draw takes."""
    _, depth, dim, hidden = inner.shape
    return depth * hidden * (_UNIT + _PRODUCT * dim)
