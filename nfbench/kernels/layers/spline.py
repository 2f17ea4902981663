"""Rational-quadratic splines of unconstrained numbers, a spline for each number that is moved (`spline_reference`).

On the CPU compiled loops take a tile of elements from raw numbers to y and ln dy/dx: one pass over the raw numbers
forward, one backward, in which softmaxes and bins are computed anew. Only x and the raw numbers are saved.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from nfbench.foundation.errors import InputError
from nfbench.foundation.settings import backend
from nfbench.kernels import kinds, shapes
from nfbench.kernels.autograd import Node, by_kernel
from nfbench.kernels.chain.operators import folding
from nfbench.kernels.dispatch import differentiated, transformed
from nfbench.kernels.layers import spline_cpu, spline_reference


def spline(x: Tensor, raw: Tensor, bound: float) -> tuple[Tensor, Tensor]:
    """Apply to each number a spline of its own, the identity outside [-bound, bound].

    >>> y, log_slope = spline(torch.tensor([[[0.5, 7.0]]]), torch.zeros(1, 1, 2 * 11), bound=5.0)
    >>> y.tolist(), log_slope.abs().max().item() < 1e-6
    ([[[0.5, 7.0]]], True)

    Args:
        x: (S, B, M), M numbers of each of S draws of each of B data points.
        raw: (S, B, M (3 N - 1)), for each of the M numbers N widths, N heights and N - 1 slopes, unconstrained
            (`spline_reference.bins_of`).
        bound: half the width of the box.

    Returns:
        y and ln dy/dx, (S, B, M) both.

    Raises:
        InputError: tensors that do not fit each other, of several dtypes or on several devices (`shapes`), a bound
            that is not positive and finite.
    """
    _check(x, raw, bound)
    if not _compiled(x, raw):
        return reference(x, raw, bound)
    if not transformed():
        results: tuple[Tensor, Tensor] = _Direct.applied(x, raw, bound)
        return results
    y, log_slope = _forward(*_flat(x, raw), float(bound))
    return y.reshape(x.shape), log_slope.reshape(x.shape)


def reference(x: Tensor, raw: Tensor, bound: float) -> tuple[Tensor, Tensor]:
    """`spline` in plain PyTorch, which second derivatives go through.

    Args:
        x: as in `spline`.
        raw: as in `spline`.
        bound: as in `spline`.

    Returns:
        y and ln dy/dx, (S, B, M) both.
    """
    numbers = raw.reshape(*x.shape, raw.shape[-1] // x.shape[-1])
    return spline_reference.spline(x, spline_reference.bins_of(numbers, bound))


def _compiled(x: Tensor, raw: Tensor) -> bool:
    """Whether the compiled loops run: on the CPU, in float32 or float64, for at least one number and two bins.

    They do not under autocast, where ``NFBENCH_BACKEND`` asks for other code, or `differentiated` is True.
    """
    fits = x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64) and x.numel() > 0
    fits = fits and raw.shape[-1] > 2 * x.shape[-1]
    return fits and backend() in ("auto", "numba") and not torch.is_autocast_enabled("cpu") and not differentiated()


def _check(x: Tensor, raw: Tensor, bound: float) -> None:
    """Raise an `InputError` for what `spline` cannot take."""
    shape, raw_shape = x.shape, raw.shape
    if len(shape) != 3 or shape[:2] != raw_shape[:2] or len(raw_shape) != 3:
        shapes.check_forms("spline", ("x", x, "S B M"), ("raw", raw, "S B R"))
    moved, width = shape[2], raw_shape[2]
    if not moved or width % moved or (width // moved) % 3 != 2 or width >= 3 * moved / spline_reference.LEAST:
        raise InputError(
            f"spline: x {tuple(shape)} has M = {moved} numbers a draw, raw {tuple(raw_shape)} has {width}: "
            f"expected M (3 N - 1), for M of at least 1 and N from 1 to {1 / spline_reference.LEAST:g}"
        )
    if not 0 < bound < math.inf:
        raise InputError(f"spline: bound is {bound}: expected a positive number")
    if raw.dtype != x.dtype or raw.device != x.device or not x.dtype.is_floating_point:
        kinds.check_kinds("spline", "x", x, "raw", raw, mixed=kinds.autocast(x, raw))


class _Direct(Node):
    """The compiled loops as one node of autograd's graph: a call costs less than one of the operator."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, raw: Tensor, bound: float) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(x, raw)
        ctx.bound = bound
        y, log_slope = spline_cpu.forward(*_flat(x, raw), bound)
        return y.reshape(x.shape), log_slope.reshape(x.shape)

    @staticmethod
    @by_kernel
    def backward(ctx: Any, grad_y: Tensor, grad_log_slope: Tensor) -> tuple[Tensor, Tensor, None]:
        x, raw = ctx.saved_tensors
        grads = grad_y.reshape(-1), grad_log_slope.reshape(-1)
        to_x, to_raw = spline_cpu.backward(*_flat(x, raw), ctx.bound, *grads)
        return to_x.reshape(x.shape), to_raw.reshape(raw.shape), None

    @staticmethod
    def plain(ctx: Any) -> tuple[Callable[..., tuple[Tensor, Tensor]], tuple[Tensor | None, ...]]:
        def function(x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
            return reference(x, raw, ctx.bound)

        return function, (*ctx.saved_tensors, None)


def _flat(x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
    """Elements one after the other, as `spline_cpu` takes them: (E,) and (E, 3 N - 1), E = S B M."""
    return x.reshape(-1), raw.reshape(-1, raw.shape[-1] // x.shape[-1])


@torch.library.custom_op("nfbench::spline", mutates_args=())
def _forward(x: Tensor, raw: Tensor, bound: float) -> tuple[Tensor, Tensor]:
    return spline_cpu.forward(x, raw, bound)


@torch.library.custom_op("nfbench::spline_backward", mutates_args=())
def _backward(x: Tensor, raw: Tensor, bound: float, grad_y: Tensor, grad_log_slope: Tensor) -> tuple[Tensor, Tensor]:
    return spline_cpu.backward(x, raw, bound, grad_y, grad_log_slope)


@_forward.register_fake
def _(x: Tensor, raw: Tensor, bound: float) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), x.new_empty(x.shape)


@_backward.register_fake
def _(x: Tensor, raw: Tensor, bound: float, grad_y: Tensor, grad_log_slope: Tensor) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), raw.new_empty(raw.shape)


def _setup(ctx: Any, inputs: tuple[Tensor, Tensor, float], output: tuple[Tensor, Tensor]) -> None:
    x, raw, ctx.bound = inputs
    ctx.save_for_backward(x, raw)


def _differentiate(ctx: Any, grad_y: Tensor, grad_log_slope: Tensor) -> tuple[Tensor, Tensor, None]:
    to_x, to_raw = _backward(*ctx.saved_tensors, ctx.bound, grad_y, grad_log_slope)
    return to_x, to_raw, None


_forward.register_autograd(_differentiate, setup_context=_setup)
for _operator in (_forward, _backward):
    _operator.register_vmap(folding(_operator))
