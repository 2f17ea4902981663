"""Chains of additive couplings on the CPU: memory and shares of the work for the compiled loops of `cpu_draws`.

`operators` says what the tensors are: G groups of N draws, K couplings with H hidden units in D dimensions.
"""

import torch
from torch import Tensor

from nfbench.kernels.coupling import cpu_draws
from nfbench.kernels.cpu.memory import array, empty
from nfbench.kernels.cpu.shares import added, combined, parts, together

_UNIT, _PRODUCT = 0.7, 0.025  # nanoseconds of a tanh, and of a product with its sum, on one core


def forward(x: Tensor, inner: Tensor, bias: Tensor, outer: Tensor, reads: Tensor, writes: Tensor) -> Tensor:
    """Push draws through the chain: x' = x + tanh(x A + b) C, K times.

    Args:
        x: (G, N, D).
        inner: A (G, K, D, H).
        bias: b (G, R, K, H).
        outer: C, transposed (G, K, D, H).
        reads: (G, K, D), which rows of A are not all zero.
        writes: (G, K, D), which rows of C, transposed, are not all zero.

    Returns:
        x_K (G, N, D).
    """
    arrays = [array(tensor) for tensor in (x, inner, bias, outer, reads, writes)]
    out = empty(arrays[0].shape, arrays[0].dtype)
    together([(cpu_draws.forward, (*arrays, out))], parts(x.shape[0], x.shape[1], _cost(inner)))
    return torch.from_numpy(out)


def backward(
    x: Tensor, inner: Tensor, bias: Tensor, outer: Tensor, reads: Tensor, writes: Tensor, grad: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients in x, A, b and C.

    Args:
        x: x_K (G, N, D), what `forward` returned.
        inner: as in `forward`.
        bias: as in `forward`.
        outer: as in `forward`.
        reads: as in `forward`.
        writes: as in `forward`.
        grad: gradient in x_K (G, N, D).

    Returns:
        (G, N, D), (G, K, D, H), (G, R, K, H) and (G, K, D, H).
    """
    arrays = [array(tensor) for tensor in (x, inner, bias, outer, reads, writes, grad)]
    shares = parts(x.shape[0], x.shape[1], 3 * _cost(inner))
    to_x = empty(arrays[0].shape, arrays[0].dtype)
    sums = [combined(shares, weights.shape, weights.dtype) for weights in arrays[1:4]]
    together([(cpu_draws.backward, (*arrays, to_x, *sums))], shares)
    to_inner, to_bias, to_outer = (added(total) for total in sums)
    return torch.from_numpy(to_x), to_inner, to_bias, to_outer


def _cost(inner: Tensor) -> float:
    """Nanoseconds that a draw takes forward on one core, about."""
    _, depth, dim, hidden = inner.shape
    return depth * hidden * (_UNIT + _PRODUCT * dim)
