"""Maxout: the largest of each window of neighbours of an affine map (Goodfellow et al. 2013, arXiv:1302.4389).

Where several are equal the first of them gets the gradient.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from nfbench.foundation.errors import InputError
from nfbench.foundation.settings import backend
from nfbench.kernels import kinds, shapes
from nfbench.kernels.autograd import Node
from nfbench.kernels.dispatch import differentiated, transformed
from nfbench.kernels.layers import maxout_cpu

WINDOW = 4  # the one window size of `largest` and of the compiled loops


def maxout(x: Tensor, weight: Tensor, bias: Tensor, window: int) -> Tensor:
    """The maxima over windows of W neighbours of x weight^T + bias.

    On the CPU compiled loops add the bias and note the winner in one pass; on the way back they place the gradient and
    sum up that of the bias. Where torch's operations run there, units come before rows, so that the maximum runs over
    whole rows of memory. On a GPU, where a step costs its launches, the other order takes the fewest.

    Args:
        x: (R, I), R rows of I inputs.
        weight: (W U, I).
        bias: (W U,).
        window: W.

    Returns:
        (R, U).

    Raises:
        InputError: tensors that do not fit each other, of several dtypes or on several devices (`shapes`).
    """
    _check(x, weight, bias, window)
    if weight.is_cuda:
        return _of_neighbours(linear(x, weight, bias), window)
    if window == WINDOW and _compiled(weight):
        most: Tensor = _Compiled.applied(linear(x, weight), bias)
        return most
    y = torch.addmm(bias.unsqueeze(1), weight, x.mT)
    windows = y.reshape(len(y) // window, window, y.shape[1])
    return (largest(windows) if window == WINDOW else windows.amax(-2)).mT


def _check(x: Tensor, weight: Tensor, bias: Tensor, window: int) -> None:
    """Refuse what `maxout` cannot be called with; under autocast x may have another dtype than the layer."""
    outputs = shapes.check_forms("maxout", ("x", x, "R I"), ("weight", weight, "O I"), ("bias", bias, "O"))["O"]
    if window < 1 or outputs % window:
        raise InputError(
            f"maxout: weight {tuple(weight.shape)} has {outputs} outputs, a window has {window}: expected whole windows"
        )
    kinds.check_kinds("maxout", "bias", bias, "weight", weight)
    kinds.check_kinds("maxout", "x", x, "weight", weight, mixed=kinds.autocast(x, weight))


def _of_neighbours(y: Tensor, window: int) -> Tensor:
    """`(R, W U) -> (R, U)` by torch's `max`: `amax` would divide the gradient among equal numbers."""
    windows = y.reshape(len(y), y.shape[1] // window, window)
    most: Tensor = windows.max(-1).values if torch.is_grad_enabled() else windows.amax(-1)
    return most


def _compiled(weight: Tensor) -> bool:
    """Whether the compiled loops run: not without gradients, nor where something rewrites the graph."""
    if transformed() or not torch.is_grad_enabled() or torch.is_autocast_enabled(weight.device.type):
        return False
    return weight.device.type == "cpu" and backend() != "reference" and weight.dtype in (torch.float32, torch.float64)


def largest(windows: Tensor) -> Tensor:
    """The maximum over windows of four.

    torch's own `amax` divides the gradient among equal numbers, and takes five passes over all of them to count those.
    Here pairs are compared, and the winners of pairs, once: 1 where the first of two wins, else 0.

    Args:
        windows: (U, 4, R), U units of R rows.

    Returns:
        (U, R).
    """
    if torch.compiler.is_compiling() or differentiated() or not torch.is_grad_enabled():  # no winners are needed
        return windows.amax(-2)
    most: Tensor = _Largest.apply(windows)[0]  # type: ignore[no-untyped-call]
    return most


class _Largest(torch.autograd.Function):
    """The maximum, and the winners of its three comparisons, which the gradient follows back."""

    @staticmethod
    def forward(windows: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        a, b, c, d = windows.unbind(-2)
        left, right = torch.maximum(a, b), torch.maximum(c, d)
        return torch.maximum(left, right), _wins(a, b), _wins(c, d), _wins(left, right)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, ...]) -> None:
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)  # no zeros for the winners
        ctx.save_for_backward(*output[1:])

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, *_: None) -> Tensor | None:
        if grad is None:
            return None
        first, third, final = ctx.saved_tensors
        grad = grad.contiguous()  # its memory has rows of units, that of the winners rows of draws
        left = grad * final
        right = grad - left
        a, c = left * first, right * third
        return torch.stack([a, left - a, c, right - c], -2)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int], windows: Tensor) -> tuple[Any, tuple[int, ...]]:
        return _Largest.apply(windows.movedim(in_dims[0], 0)), (0, 0, 0, 0)  # type: ignore[no-untyped-call]


class _Compiled(Node):
    """`y (R, 4 U), bias (4 U,) -> (R, U)` by the loops of `maxout_cpu`."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, bias: Tensor) -> Tensor:
        most, winners = maxout_cpu.forward(y, bias)
        ctx.save_for_backward(winners)
        return most

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        placed: tuple[Tensor, Tensor] = _Placed.apply(grad, *ctx.saved_tensors)  # type: ignore[no-untyped-call]
        return placed


class _Placed(torch.autograd.Function):
    """The gradients of `_Compiled`, linear in that of the maxima, as a function with a gradient of its own."""

    @staticmethod
    def forward(ctx: Any, grad: Tensor, winners: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(winners)
        return maxout_cpu.backward(grad, winners)

    @staticmethod
    def backward(ctx: Any, grad: Tensor, of_bias: Tensor) -> tuple[Tensor, None]:
        (winners,) = ctx.saved_tensors
        windows = (grad + of_bias).view(len(winners), -1, WINDOW)
        return windows.gather(-1, winners.long().unsqueeze(-1)).squeeze(-1), None


def _wins(first: Tensor, second: Tensor) -> Tensor:
    """1.0 where `first >= second`, else 0.0, in one pass."""
    return torch.ge(first, second, out=torch.empty_like(first))
