"""What the fused CPU kernels share: compilation, a tanh that vectorises, layout, and the rule for seeds under vmap."""

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numba
import numpy as np
import torch
from numba import types
from numba.extending import overload
from torch import Tensor

TILE = 64  # draws that a kernel holds at once, one dimension after the other
FEW = 8  # with fewer draws a group than this, the inner loops run over dimensions instead

# Sums may be reordered and products fused; NaN and infinity keep their meaning.
_FLAGS = {"reassoc", "contract", "arcp", "nsz"}
compiled: Callable[..., Any] = numba.njit(cache=True, fastmath=_FLAGS, error_model="numpy", nogil=True)

# tanh(x) = x P(X) / Q(X) with X = (x / 9)^2, for |x| <= 9; beyond, tanh is 1 to float32's rounding. A least-squares fit
# of the relative error, reweighted until its maximum was 2.8e-8.
_P0, _P1, _P2, _P3, _P4 = np.array([0.9999999972, 10.852865153, 23.0693210896, 11.1241473269, 0.5927946299], np.float32)
_Q1, _Q2, _Q3, _Q4 = np.array([37.852859731, 170.2973556184, 176.363936027, 34.2380037047], np.float32)
_END, _SCALE, _ONE = np.array([9, 1 / 81, 1], np.float32)


def tanh(x: float) -> float:
    """Hyperbolic tangent; compiled for a float32 it is a quotient of polynomials, which a loop can vectorise."""
    return math.tanh(x)


def _tanh32(x: Any) -> Any:
    x = _END if x > _END else x
    x = -_END if x < -_END else x
    square = x * x * _SCALE
    upper = _P0 + square * (_P1 + square * (_P2 + square * (_P3 + square * _P4)))
    lower = _ONE + square * (_Q1 + square * (_Q2 + square * (_Q3 + square * _Q4)))
    return x * upper / lower


def _tanh64(x: Any) -> Any:
    return math.tanh(x)


@overload(tanh, jit_options={"fastmath": _FLAGS}, inline="always")
def _choose_tanh(x: Any) -> Callable[[Any], Any]:
    return _tanh32 if x == types.float32 else _tanh64


def grouped(z: Tensor, batch: int) -> Tensor:
    """`z (S, B, ...) -> (G, N, ...)`: the N draws of a group share their numbers, which come for `batch` data points.

    One group of all S B draws where the numbers serve every data point (batch = 1), else a group for each.
    """
    if batch > 1:
        return z.expand(z.shape[0], batch, *z.shape[2:]).transpose(0, 1)
    return z.reshape(1, z.shape[0] * z.shape[1], *z.shape[2:])


def ungrouped(values: Tensor, shape: torch.Size) -> Tensor:
    """`(G, N, ...) -> (S, B, ...)` with `shape` starting (S, B): the inverse of `grouped`."""
    if values.shape[0] == 1:
        return values.reshape(shape[0], shape[1], *values.shape[2:])
    return values.transpose(0, 1)


def arrays(*tensors: Tensor) -> list[np.ndarray[Any, Any]]:
    """Contiguous numpy views; copies only of what lies in memory in another order."""
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


def chosen(loops: ModuleType, z: Tensor) -> tuple[Callable[..., None], Callable[..., None]]:
    """A map's compiled forward and backward for this number of draws in a group, `z (G, N, D)`."""
    if z.shape[1] < FEW:
        return loops.dimensions_forward, loops.dimensions_backward
    return loops.draws_forward, loops.draws_backward


def zeros(*tensors: Tensor) -> list[Tensor]:
    """A contiguous tensor of zeros for each tensor, of its shape and dtype."""
    return [torch.zeros(tensor.shape, dtype=tensor.dtype) for tensor in tensors]


def differentiable(forward: Any, backward: Any, save: Callable[..., tuple[Tensor, ...]]) -> None:
    """Make an operator `forward -> (z_K, ln|det|, ...)` differentiable by another, and both usable under vmap.

    Args:
        forward: a custom operator whose arguments and results all begin with groups.
        backward: ``(*saved, grad of z_K, grad of ln|det|) -> gradients of forward's arguments``.
        save: ``(arguments, results) -> saved``.
    """

    def setup(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
        ctx.save_for_backward(*save(inputs, output))

    def differentiate(ctx: Any, grad_z: Tensor, grad_log_det: Tensor, *_: Tensor) -> tuple[Tensor, ...]:
        grads: tuple[Tensor, ...] = backward(*ctx.saved_tensors, grad_z, grad_log_det)
        return grads

    forward.register_autograd(differentiate, setup_context=setup)
    for operator in (forward, backward):
        operator.register_vmap(_folding(operator))


def _folding(operator: Callable[..., Any]) -> Callable[..., Any]:
    """The vmap rule that turns seeds into groups."""

    def rule(info: Any, in_dims: tuple[int | None, ...], *tensors: Tensor) -> tuple[Any, Any]:
        seeds = info.batch_size
        folded = []
        for tensor, at in zip(tensors, in_dims, strict=True):
            lifted = tensor.expand(seeds, *tensor.shape) if at is None else tensor.movedim(at, 0)
            folded.append(lifted.reshape(seeds * lifted.shape[1], *lifted.shape[2:]))
        found = tuple(part.unflatten(0, (seeds, part.shape[0] // seeds)) for part in operator(*folded))
        return found, (0,) * len(found)

    return rule
