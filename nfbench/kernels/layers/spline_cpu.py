"""Rational-quadratic splines on the CPU: memory and shares of the work for the loops of `spline_draws`."""

import torch
from torch import Tensor

from nfbench.kernels.cpu.memory import array, empty
from nfbench.kernels.cpu.shares import parts, together
from nfbench.kernels.layers import spline_draws

_BIN, _REST = 1.5, 10.0  # nanoseconds of a bin, and of the rest of an element, forward on one core


def forward(x: Tensor, raw: Tensor, bound: float) -> tuple[Tensor, Tensor]:
    """Apply a spline to each number.

    Args:
        x: (E,).
        raw: (E, 3 N - 1), N at least 2.
        bound: the box is [-bound, bound].

    Returns:
        y and ln dy/dx, (E,) both.
    """
    of_x, of_raw = array(x), array(raw)
    y, log_slope = empty(of_x.shape, of_x.dtype), empty(of_x.shape, of_x.dtype)
    shares = parts(1, len(of_x), _cost(raw))
    together([(spline_draws.forward, (of_x, of_raw, float(bound), y, log_slope))], shares)
    return torch.from_numpy(y), torch.from_numpy(log_slope)


def backward(x: Tensor, raw: Tensor, bound: float, grad_y: Tensor, grad_log_slope: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients in x and in the raw numbers.

    Args:
        x: as in `forward`.
        raw: as in `forward`.
        bound: as in `forward`.
        grad_y: gradient in y (E,).
        grad_log_slope: gradient in ln dy/dx (E,).

    Returns:
        (E,) and (E, 3 N - 1).
    """
    arrays = [array(tensor) for tensor in (x, raw)]
    grads = [array(tensor) for tensor in (grad_y, grad_log_slope)]
    to_x, to_raw = (empty(numbers.shape, numbers.dtype) for numbers in arrays)
    shares = parts(1, len(to_x), 2 * _cost(raw))
    together([(spline_draws.backward, (*arrays, float(bound), *grads, to_x, to_raw))], shares)
    return torch.from_numpy(to_x), torch.from_numpy(to_raw)


def _cost(raw: Tensor) -> float:
    """Nanoseconds that an element takes forward on one core, about."""
    return _REST + _BIN * (raw.shape[1] + 1) / 3
