"""Affine maps whose numbers a network computes, on the CPU: memory and shares of the work for `affine_draws`.

The network reads the first I coordinates of z and computes two numbers for each of the last M, which the map moves.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nfbench.kernels.cpu.memory import array, empty
from nfbench.kernels.cpu.shares import added, combined, parts, together
from nfbench.kernels.layers import affine_draws

_UNIT, _PRODUCT, _MOVE = 0.7, 0.025, 4.0  # nanoseconds of a tanh, a product with its sum, a moved coordinate, on a core


class Form(NamedTuple):
    """How two numbers move a coordinate.

    Attributes:
        constant: alpha of z e^s + t with s = alpha tanh(a), or c of a gated map (`affine`).
        gated: whether the map is gated.
        scale_first: whether the M numbers that decide the scale come before those that shift, or behind them.
        unit: what a gated map is divided by, of another one 1.
    """

    constant: float
    gated: bool
    scale_first: bool
    unit: float = 1.0


def forward(
    z: Tensor, inner: Tensor, bias: Tensor, outer: Tensor, shift: Tensor, form: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """Map draws.

    Args:
        z: (G, N, D).
        inner: A (G, I, H), of the network tanh(z A + b) C + c.
        bias: b (G, R, H), of which draw n takes row n mod R.
        outer: C, transposed (G, 2 M, H).
        shift: c (G, Q, 2 M), likewise.
        form: the fields of a `Form`.

    Returns:
        The moved coordinates, then the others (G, N, D), and ln|det| (G, N).
    """
    arrays = [array(tensor) for tensor in (z, inner, bias, outer, shift)]
    kind = arrays[0].dtype
    out, log_det = empty(arrays[0].shape, kind), empty(arrays[0].shape[:2], kind)
    shares = parts(z.shape[0], z.shape[1], _cost(inner, outer))
    together([(affine_draws.forward, (*arrays, _numbers(tuple(form), kind), out, log_det))], shares)
    return torch.from_numpy(out), torch.from_numpy(log_det)


def backward(
    z: Tensor,
    inner: Tensor,
    bias: Tensor,
    outer: Tensor,
    shift: Tensor,
    grad: Tensor,
    grad_log_det: Tensor,
    form: Sequence[float],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients in z, A, b, C and c.

    Args:
        z: as in `forward`.
        inner: as in `forward`.
        bias: as in `forward`.
        outer: as in `forward`.
        shift: as in `forward`.
        grad: gradient in the first result (G, N, D).
        grad_log_det: gradient in the second (G, N).
        form: as in `forward`.

    Returns:
        (G, N, D), (G, I, H), (G, R, H), (G, 2 M, H) and (G, Q, 2 M).
    """
    arrays = [array(tensor) for tensor in (z, inner, bias, outer, shift)]
    kind, shares = arrays[0].dtype, parts(z.shape[0], z.shape[1], 3 * _cost(inner, outer))
    to_z = empty(arrays[0].shape, kind)
    totals = [combined(shares, tuple(numbers.shape), kind) for numbers in (inner, bias, outer, shift)]
    given = (*arrays, _numbers(tuple(form), kind), array(grad), array(grad_log_det))
    together([(affine_draws.backward, (*given, to_z, *totals))], shares)
    to_inner, to_bias, to_outer, to_shift = (added(total) for total in totals)
    return torch.from_numpy(to_z), to_inner, to_bias, to_outer, to_shift


@functools.lru_cache
def _numbers(form: tuple[float, ...], kind: np.dtype) -> np.ndarray:
    return np.array(form, kind)


def _cost(inner: Tensor, outer: Tensor) -> float:
    """Nanoseconds that a draw takes forward on one core, about."""
    _, inputs, hidden = inner.shape
    return hidden * (_UNIT + _PRODUCT * (inputs + outer.shape[1])) + _MOVE * outer.shape[1] / 2
