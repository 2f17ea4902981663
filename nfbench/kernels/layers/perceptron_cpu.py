"""A network with one hidden tanh layer on the CPU: memory and shares of the work for `perceptron_draws`."""

import torch
from torch import Tensor

from nfbench.kernels.cpu.memory import array, empty
from nfbench.kernels.cpu.shares import added, combined, parts, together
from nfbench.kernels.layers import perceptron_draws

_UNIT, _PRODUCT = 0.7, 0.025  # nanoseconds of a tanh, and of a product with its sum, on one core


def forward(x: Tensor, inner: Tensor, bias: Tensor, outer: Tensor, shift: Tensor) -> Tensor:
    """Compute tanh(x A + b) C + c.

    Args:
        x: (G, N, I).
        inner: A (G, I, H).
        bias: b (G, R, H), of which draw n takes row n mod R.
        outer: C, transposed (G, O, H).
        shift: c (G, Q, O), likewise.

    Returns:
        (G, N, O).
    """
    arrays = [array(tensor) for tensor in (x, inner, bias, outer, shift)]
    out = empty((*arrays[0].shape[:2], outer.shape[1]), arrays[0].dtype)
    together([(perceptron_draws.forward, (*arrays, out))], parts(x.shape[0], x.shape[1], _cost(inner, outer)))
    return torch.from_numpy(out)


def backward(
    x: Tensor, inner: Tensor, bias: Tensor, outer: Tensor, shift: Tensor, grad: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients in x, A, b, C and c.

    Args:
        x: as in `forward`.
        inner: as in `forward`.
        bias: as in `forward`.
        outer: as in `forward`.
        shift: as in `forward`.
        grad: gradient in the result (G, N, O).

    Returns:
        (G, N, I), (G, I, H), (G, R, H), (G, O, H) and (G, Q, O).
    """
    arrays = [array(tensor) for tensor in (x, inner, bias, outer, grad)]
    shares = parts(x.shape[0], x.shape[1], 3 * _cost(inner, outer))
    to_x = empty(arrays[0].shape, arrays[0].dtype)
    sums = [combined(shares, tuple(numbers.shape), arrays[0].dtype) for numbers in (inner, bias, outer, shift)]
    together([(perceptron_draws.backward, (*arrays, to_x, *sums))], shares)
    to_inner, to_bias, to_outer, to_shift = (added(total) for total in sums)
    return torch.from_numpy(to_x), to_inner, to_bias, to_outer, to_shift


def _cost(inner: Tensor, outer: Tensor) -> float:
    """Nanoseconds that a draw takes forward on one core, about."""
    _, inputs, hidden = inner.shape
    return hidden * (_UNIT + _PRODUCT * (inputs + outer.shape[1]))
