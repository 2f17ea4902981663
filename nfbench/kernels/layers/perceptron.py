"""A network with one hidden tanh layer, as maps have inside: tanh(x A + b) C + c.

On the CPU compiled loops take a tile of draws through it, so that hidden units are never stored: one pass over the
draws forward, one backward, in which they are computed anew.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from nfbench.foundation.errors import InputError
from nfbench.foundation.settings import backend
from nfbench.kernels import kinds, shapes
from nfbench.kernels.autograd import Node, by_kernel
from nfbench.kernels.chain.operators import folding
from nfbench.kernels.cpu.shares import FEW
from nfbench.kernels.diagonal.reference import for_each
from nfbench.kernels.dispatch import differentiated, transformed
from nfbench.kernels.layers import perceptron_cpu

_NAMES = ("x", "w_in", "b_in", "w_out", "b_out")
_FORMS = ("S B I", "I H", "R H", "H O", "Q O")


def perceptron(x: Tensor, w_in: Tensor, b_in: Tensor, w_out: Tensor, b_out: Tensor) -> Tensor:
    """Compute tanh(x w_in + b_in) w_out + b_out.

    Args:
        x: (S, B, I), S draws of each of B data points.
        w_in: (I, H).
        b_in: (B or 1, H), biases of each data point or of all.
        w_out: (H, O).
        b_out: (B or 1, O), likewise.

    Returns:
        (S, B, O).

    Raises:
        InputError: tensors that do not fit each other, of several dtypes or on several devices (`shapes`).
    """
    check(x, w_in, b_in, w_out, b_out)
    given = for_each(for_each(x, b_in), b_out), w_in, b_in, w_out, b_out
    x = given[0]
    if not compiled(x):
        return reference(*given)
    if not transformed():
        out: Tensor = _Direct.applied(*given)
        return out
    computed: Tensor = _forward(*grouped(*given))
    return computed.reshape(*x.shape[:2], w_out.shape[1])


def reference(x: Tensor, w_in: Tensor, b_in: Tensor, w_out: Tensor, b_out: Tensor) -> Tensor:
    """`perceptron` in plain PyTorch, which second derivatives go through.

    Args:
        x: as in `perceptron`.
        w_in: as in `perceptron`.
        b_in: as in `perceptron`.
        w_out: as in `perceptron`.
        b_out: as in `perceptron`.

    Returns:
        (S, B, O).
    """
    return layer(layer(x, w_in, b_in).tanh(), w_out, b_out)


def layer(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """An affine layer whose biases each data point has for itself, or all have in common.

    Args:
        x: (S, B, I).
        weight: (I, O).
        bias: (B or 1, O).

    Returns:
        x weight + bias (S, B, O).
    """
    return linear(x, weight.mT, bias[0]) if len(bias) == 1 else x @ weight + bias


def compiled(x: Tensor) -> bool:
    """Whether the compiled loops run: on the CPU, in float32 or float64, for at least `FEW` draws.

    Args:
        x: (S, B, I).

    Returns:
        Whether they do; not under autocast, where ``NFBENCH_BACKEND`` asks for other code, or `differentiated` is True.
    """
    fits = x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64) and x.shape[0] * x.shape[1] >= FEW
    return fits and backend() in ("auto", "numba") and not torch.is_autocast_enabled("cpu") and not differentiated()


def check(x: Tensor, w_in: Tensor, b_in: Tensor, w_out: Tensor, b_out: Tensor) -> None:
    """Refuse tensors that `perceptron` cannot take.

    Args:
        x: as in `perceptron`.
        w_in: as in `perceptron`.
        b_in: as in `perceptron`.
        w_out: as in `perceptron`.
        b_out: as in `perceptron`.

    Raises:
        InputError: tensors that do not fit each other, of several dtypes or on several devices (`shapes`).
    """
    tensors = x, w_in, b_in, w_out, b_out
    fits = [tensor.dim() for tensor in tensors] == [3, 2, 2, 2, 2]
    if fits:
        (_, points, inputs), (hidden, outputs) = x.shape, w_out.shape
        fits = w_in.shape == (inputs, hidden) and b_in.shape[1] == hidden and b_out.shape[1] == outputs
        fits = fits and len(b_in) in (1, points) and len(b_out) in (1, points)
    if not fits:
        sizes = shapes.check_forms("perceptron", *zip(_NAMES, tensors, _FORMS, strict=True))
        shapes.check_points("perceptron", "x", x, "b_in", b_in)
        shapes.check_points("perceptron", "x", x, "b_out", b_out)
        if sizes["R"] != sizes["Q"] and 1 not in (sizes["R"], sizes["Q"]):
            raise InputError(f"perceptron: b_in has {sizes['R']} rows, b_out has {sizes['Q']}: expected 1 or as many")
    for name, tensor in zip(_NAMES[1:], tensors[1:], strict=True):
        if tensor.dtype != x.dtype or tensor.device != x.device or not x.dtype.is_floating_point:
            kinds.check_kinds("perceptron", "x", x, name, tensor, mixed=kinds.autocast(x, tensor))


def grouped(
    x: Tensor, w_in: Tensor, b_in: Tensor, w_out: Tensor, b_out: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The tensors as compiled loops take them: one group, all draws in one axis, the last layer transposed.

    Args:
        x: as in `perceptron`.
        w_in: as in `perceptron`.
        b_in: as in `perceptron`.
        w_out: as in `perceptron`.
        b_out: as in `perceptron`.

    Returns:
        (1, S B, I), (1, I, H), (1, B or 1, H), (1, O, H) and (1, B or 1, O).
    """
    rows, outer = x.flatten(0, 1).unsqueeze(0), w_out.mT.unsqueeze(0)
    return rows, w_in.unsqueeze(0), b_in.unsqueeze(0), outer, b_out.unsqueeze(0)


class _Direct(Node):
    """The compiled loops as one node of autograd's graph: a call costs less than one of the operator."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w_in: Tensor, b_in: Tensor, w_out: Tensor, b_out: Tensor) -> Tensor:
        ctx.save_for_backward(x, w_in, b_in, w_out, b_out)
        return perceptron_cpu.forward(*grouped(x, w_in, b_in, w_out, b_out)).reshape(*x.shape[:2], w_out.shape[1])

    @staticmethod
    @by_kernel
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        saved = ctx.saved_tensors
        found = perceptron_cpu.backward(*grouped(*saved), grad.flatten(0, 1).unsqueeze(0))
        to_x, to_inner, to_bias, to_outer, to_shift = (gradient.squeeze(0) for gradient in found)
        return to_x.reshape(saved[0].shape), to_inner, to_bias, to_outer.mT, to_shift

    @staticmethod
    def plain(ctx: Any) -> tuple[Callable[..., Tensor], tuple[Tensor, ...]]:
        return reference, ctx.saved_tensors


@torch.library.custom_op("nfbench::perceptron", mutates_args=())
def _forward(x: Tensor, inner: Tensor, bias: Tensor, outer: Tensor, shift: Tensor) -> Tensor:
    return perceptron_cpu.forward(x, inner, bias, outer, shift)


@torch.library.custom_op("nfbench::perceptron_backward", mutates_args=())
def _backward(
    x: Tensor, inner: Tensor, bias: Tensor, outer: Tensor, shift: Tensor, grad: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    return perceptron_cpu.backward(x, inner, bias, outer, shift, grad)


@_forward.register_fake
def _(x: Tensor, inner: Tensor, bias: Tensor, outer: Tensor, shift: Tensor) -> Tensor:
    return x.new_empty((*x.shape[:2], outer.shape[1]))


@_backward.register_fake
def _(
    x: Tensor, inner: Tensor, bias: Tensor, outer: Tensor, shift: Tensor, grad: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    to_x, to_inner, to_bias, to_outer, to_shift = (
        tensor.new_empty(tensor.shape) for tensor in (x, inner, bias, outer, shift)
    )
    return to_x, to_inner, to_bias, to_outer, to_shift


def _setup(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
    gradients: tuple[Tensor, ...] = _backward(*ctx.saved_tensors, grad)
    return gradients


_forward.register_autograd(_differentiate, setup_context=_setup)
for _operator in (_forward, _backward):
    _operator.register_vmap(folding(_operator))
