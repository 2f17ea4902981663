"""Affine maps whose numbers a network with one hidden tanh layer computes: affine couplings and autoregressive maps.

The network reads the first I coordinates of z and gives two numbers, a and t, to each of the last M. A map is

- affine: z' = z e^s + t, s = alpha tanh(a), ln|det| = sum s (Dinh et al. 2017, eq. 7);
- gated: z' = (t + g (z - t)) / u, g = sigmoid(a + c), ln|det| = sum (ln g - ln u) (Kingma et al. 2016).

On the CPU compiled loops do all of it for a tile of draws: one pass over the draws forward, one backward, in which
hidden units and numbers are computed anew.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from nfbench.foundation.errors import InputError
from nfbench.kernels import shapes
from nfbench.kernels.autograd import Node, by_kernel
from nfbench.kernels.chain.operators import folding
from nfbench.kernels.diagonal.reference import for_each
from nfbench.kernels.dispatch import transformed
from nfbench.kernels.layers import affine_cpu, perceptron
from nfbench.kernels.layers.affine_cpu import Form as Form

Gradients = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]  # in z, A, b, C, transposed, and c


def affine(z: Tensor, w_in: Tensor, b_in: Tensor, w_out: Tensor, b_out: Tensor, form: Form) -> tuple[Tensor, Tensor]:
    """Move the last M coordinates by numbers that a network computes from the first I.

    Args:
        z: (S, B, D), S draws of each of B data points.
        w_in: (I, H), of the network tanh(z w_in + b_in) w_out + b_out; I <= D.
        b_in: (B or 1, H), biases of each data point or of all.
        w_out: (H, 2 M), M <= D: for each moved coordinate a number a and a number t, all of one kind before the others.
        b_out: (B or 1, 2 M), likewise.
        form: of the map.

    Returns:
        The moved coordinates, followed by the others, (S, B, D), and ln|det| (S, B).

    Raises:
        InputError: tensors that do not fit each other, of several dtypes or on several devices (`shapes`).
    """
    if (z.dim(), w_in.dim(), w_out.dim()) != (3, 2, 2):
        shapes.check_forms("affine", ("z", z, "S B D"), ("w_in", w_in, "I H"), ("w_out", w_out, "H O"))
    inputs, outputs, dim = w_in.shape[0], w_out.shape[1], z.shape[2]
    if inputs > dim or outputs % 2 or outputs > 2 * dim:
        raise InputError(
            f"affine: the network has {inputs} inputs and {outputs} outputs: expected at most {dim} inputs, and two "
            f"outputs for each of at most {dim} coordinates"
        )
    weights = w_in, b_in, w_out, b_out
    perceptron.check(z[..., :inputs], *weights)
    z = for_each(for_each(z, b_in), b_out)
    if not perceptron.compiled(z):
        return reference(z, *weights, form=form)
    if not transformed():
        moved: tuple[Tensor, Tensor] = _Direct.applied(z, *weights, form)
        return moved
    turned, log_det = _forward(*perceptron.grouped(z, *weights), [float(number) for number in form])
    return turned.reshape(z.shape), log_det.reshape(z.shape[:-1])


def reference(z: Tensor, w_in: Tensor, b_in: Tensor, w_out: Tensor, b_out: Tensor, form: Form) -> tuple[Tensor, Tensor]:
    """`affine` in plain PyTorch, which second derivatives go through.

    Args:
        z: as in `affine`.
        w_in: as in `affine`.
        b_in: as in `affine`.
        w_out: as in `affine`.
        b_out: as in `affine`.
        form: as in `affine`.

    Returns:
        (S, B, D) and (S, B).
    """
    others = z.shape[-1] - w_out.shape[1] // 2
    numbers = perceptron.reference(z[..., : len(w_in)], w_in, b_in, w_out, b_out)
    moved, log_slopes = move(z[..., others:], numbers, form)
    return torch.cat([moved, z[..., :others]], -1) if others else moved, log_slopes.sum(-1)


def move(z: Tensor, numbers: Tensor, form: Form) -> tuple[Tensor, Tensor]:
    """Move coordinates by numbers.

    Args:
        z: (S, B, M).
        numbers: (S, B, 2 M), of the network.
        form: of the map.

    Returns:
        z' and ln of the derivative of each coordinate, (S, B, M) both.
    """
    first, second = numbers.chunk(2, -1)
    scale, shift = (first, second) if form.scale_first else (second, first)
    if not form.gated:
        log_scale = form.constant * scale.tanh()
        return z * log_scale.exp() + shift, log_scale
    logit = scale + form.constant
    return (shift + logit.sigmoid() * (z - shift)) / form.unit, logsigmoid(logit) - math.log(form.unit)


def move_back(z: Tensor, numbers: Tensor, form: Form) -> tuple[Tensor, Tensor]:
    """Undo `move`.

    Args:
        z: z' (S, B, M).
        numbers: (S, B, 2 M), of the network.
        form: of the map.

    Returns:
        z and ln of the derivative of this inverse for each coordinate, (S, B, M) both.
    """
    first, second = numbers.chunk(2, -1)
    scale, shift = (first, second) if form.scale_first else (second, first)
    if not form.gated:
        log_scale = form.constant * scale.tanh()
        return (z - shift) * (-log_scale).exp(), -log_scale
    logit = scale + form.constant
    return shift + (1 + (-logit).exp()) * (z * form.unit - shift), math.log(form.unit) - logsigmoid(logit)


class _Direct(Node):
    """The compiled loops as one node of autograd's graph: a call costs less than one of the operator."""

    @staticmethod
    def forward(
        ctx: Any, z: Tensor, w_in: Tensor, b_in: Tensor, w_out: Tensor, b_out: Tensor, form: Form
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(z, w_in, b_in, w_out, b_out)
        ctx.form = form
        turned, log_det = affine_cpu.forward(*perceptron.grouped(z, w_in, b_in, w_out, b_out), form)
        return turned.reshape(z.shape), log_det.reshape(z.shape[:-1])

    @staticmethod
    @by_kernel
    def backward(ctx: Any, grad: Tensor, grad_log_det: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors  # once: a checkpoint computes them anew
        shape, given = saved[0].shape, perceptron.grouped(*saved)
        to, to_log_det = grad.flatten(0, 1).unsqueeze(0), grad_log_det.flatten().unsqueeze(0)
        found = affine_cpu.backward(*given, to, to_log_det, ctx.form)
        to_z, to_inner, to_bias, to_outer, to_shift = (gradient.squeeze(0) for gradient in found)
        return to_z.reshape(shape), to_inner, to_bias, to_outer.mT, to_shift, None

    @staticmethod
    def plain(ctx: Any) -> tuple[Callable[..., Any], tuple[Tensor | None, ...]]:
        return functools.partial(reference, form=ctx.form), (*ctx.saved_tensors, None)


@torch.library.custom_op("nfbench::affine", mutates_args=())
def _forward(
    z: Tensor,
    inner: Tensor,
    bias: Tensor,
    outer: Tensor,
    shift: Tensor,
    form: Sequence[float],
) -> tuple[Tensor, Tensor]:
    return affine_cpu.forward(z, inner, bias, outer, shift, form)


@torch.library.custom_op("nfbench::affine_backward", mutates_args=())
def _backward(
    z: Tensor,
    inner: Tensor,
    bias: Tensor,
    outer: Tensor,
    shift: Tensor,
    grad: Tensor,
    grad_log_det: Tensor,
    form: Sequence[float],
) -> Gradients:
    return affine_cpu.backward(z, inner, bias, outer, shift, grad, grad_log_det, form)


@_forward.register_fake
def _(z: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return z.new_empty(z.shape), z.new_empty(z.shape[:2])


@_backward.register_fake
def _(z: Tensor, inner: Tensor, bias: Tensor, outer: Tensor, shift: Tensor, *_: Any) -> Gradients:
    to_z, to_inner, to_bias, to_outer, to_shift = (
        tensor.new_empty(tensor.shape) for tensor in (z, inner, bias, outer, shift)
    )
    return to_z, to_inner, to_bias, to_outer, to_shift


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs[:5])
    ctx.form = inputs[5]


def _differentiate(ctx: Any, grad: Tensor, grad_log_det: Tensor) -> tuple[Tensor | None, ...]:
    return *_backward(*ctx.saved_tensors, grad, grad_log_det, ctx.form), None


_forward.register_autograd(_differentiate, setup_context=_setup)
for _operator in (_forward, _backward):
    _operator.register_vmap(folding(_operator))
