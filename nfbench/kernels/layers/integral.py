"""Integrals of a positive network of one number over [0, z], and the network at z: a monotonic map of each coordinate.

The network is f(t) = (1 - s)(1 + ELU(w . tanh(a t + b + h) + c)) + s with an embedding h for each coordinate of a draw;
the integral is a Gauss-Legendre rule. On the CPU compiled loops evaluate all nodes of a tile of numbers, one pass
forward, one backward, in which hidden units are computed anew: plain PyTorch stores all units of all nodes.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import elu

from nfbench.foundation.errors import InputError
from nfbench.kernels import kinds, shapes
from nfbench.kernels.autograd import Node, by_kernel
from nfbench.kernels.chain.operators import folding
from nfbench.kernels.dispatch import transformed
from nfbench.kernels.layers import integral_cpu, perceptron
from nfbench.kernels.layers.integral_draws import LEAST as LEAST

Gradients = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
_NAMES = ("z", "embedding", "slopes", "biases", "weights", "shift", "points", "rule")
_FORMS = ("S B D", "S B D U", "U", "U", "U", "C", "P", "N")


def integral(
    z: Tensor,
    embedding: Tensor,
    slopes: Tensor,
    biases: Tensor,
    weights: Tensor,
    shift: Tensor,
    points: Tensor,
    rule: Tensor,
) -> tuple[Tensor, Tensor]:
    """Integrate from 0 to z.

    >>> zeros, points, rule = torch.zeros(3), torch.tensor([0.5, 1.0]), torch.tensor([1.0])
    >>> z, embedding = torch.full((1, 1, 1), 2.0), torch.zeros(1, 1, 1, 3)
    >>> area, height = integral(z, embedding, zeros, zeros, zeros, zeros[:1], points, rule)
    >>> round(area.item(), 5), height.item()
    (2.0, 1.0)

    Args:
        z: (S, B, D).
        embedding: h (S, B, D, U), added to the biases.
        slopes: a (U,), weights of t.
        biases: b (U,).
        weights: w (U,), of the output.
        shift: c (1,), its bias.
        points: of the rule on [0, 1], followed by 1, (n + 1,).
        rule: weights of the points (n,); no gradient is given in these two.

    Returns:
        The integral and f(z), (S, B, D) both.

    Raises:
        InputError: tensors that do not fit each other, of several dtypes or on several devices (`shapes`), no node.
    """
    tensors = z, embedding, slopes, biases, weights, shift, points, rule
    _check(*tensors)
    if not perceptron.compiled(z):
        return reference(*tensors)
    if not transformed():
        results: tuple[Tensor, Tensor] = _Direct.applied(*tensors)
        return results
    area, height = _forward(*_flat(*tensors))
    return area.reshape(z.shape), height.reshape(z.shape)


def reference(
    z: Tensor,
    embedding: Tensor,
    slopes: Tensor,
    biases: Tensor,
    weights: Tensor,
    shift: Tensor,
    points: Tensor,
    rule: Tensor,
) -> tuple[Tensor, Tensor]:
    """`integral` in plain PyTorch, which second derivatives go through.

    Args:
        z: as in `integral`.
        embedding: as in `integral`.
        slopes: as in `integral`.
        biases: as in `integral`.
        weights: as in `integral`.
        shift: as in `integral`.
        points: as in `integral`.
        rule: as in `integral`.

    Returns:
        (S, B, D) both.
    """
    rising = rises(z.unsqueeze(-1) * points, embedding, slopes, biases, weights, shift)[0]
    values = (1 - LEAST) * rising + LEAST
    return z * (values[..., :-1] @ rule), values[..., -1]


def rises(
    t: Tensor, embedding: Tensor, slopes: Tensor, biases: Tensor, weights: Tensor, shift: Tensor
) -> tuple[Tensor, Tensor]:
    """What rises in f: 1 + ELU(w . tanh(a t + b + h) + c).

    Args:
        t: (..., N).
        embedding: (..., U).
        slopes: (U,).
        biases: (U,).
        weights: (U,).
        shift: (1,).

    Returns:
        (..., N), and the tanh units that it is made of (..., N, U).
    """
    units = (t.unsqueeze(-1) * slopes + (biases + embedding).unsqueeze(-2)).tanh()
    return 1 + elu(units @ weights + shift), units


def _check(*tensors: Tensor) -> None:
    """Raise an `InputError` for what `integral` cannot take."""
    sizes = shapes.check_forms("integral", *zip(_NAMES, tensors, _FORMS, strict=True))
    if sizes["C"] != 1 or not sizes["U"] or not sizes["N"] or sizes["P"] != sizes["N"] + 1:
        raise InputError(
            f"integral: shift has {sizes['C']} numbers, there are {sizes['U']} units, {sizes['P']} points and "
            f"{sizes['N']} weights of the rule: expected one number, at least one unit and one weight, and a point more"
        )
    z = tensors[0]
    for name, tensor in zip(_NAMES[1:], tensors[1:], strict=True):
        if tensor.dtype != z.dtype or tensor.device != z.device or not z.dtype.is_floating_point:
            kinds.check_kinds("integral", "z", z, name, tensor, mixed=kinds.autocast(z, tensor))


class _Direct(Node):
    """The compiled loops as one node of autograd's graph: a call costs less than one of the operator."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, *others: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(z, *others)
        area, height = integral_cpu.forward(*_flat(z, *others))
        return area.reshape(z.shape), height.reshape(z.shape)

    @staticmethod
    @by_kernel
    def backward(ctx: Any, grad: Tensor, grad_height: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors  # once: a checkpoint computes them anew
        z, embedding, slopes, biases, weights, shift, points, rule = _flat(*saved)
        to_both = grad.reshape(1, -1), grad_height.reshape(1, -1)
        found = integral_cpu.backward(z, embedding, slopes, biases, weights, shift, points, rule, *to_both)
        return *(part.reshape(given.shape) for part, given in zip(found, saved[:6], strict=True)), None, None

    @staticmethod
    def plain(ctx: Any) -> tuple[Callable[..., tuple[Tensor, Tensor]], tuple[Tensor | None, ...]]:
        return reference, ctx.saved_tensors


def _flat(z: Tensor, embedding: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
    """As `integral_cpu` takes them: one group, its elements one after the other."""
    elements = z.reshape(1, -1), embedding.reshape(1, -1, embedding.shape[-1])
    return *elements, *(part.unsqueeze(0) for part in others)


@torch.library.custom_op("nfbench::integral", mutates_args=())
def _forward(
    z: Tensor,
    embedding: Tensor,
    slopes: Tensor,
    biases: Tensor,
    weights: Tensor,
    shift: Tensor,
    points: Tensor,
    rule: Tensor,
) -> tuple[Tensor, Tensor]:
    return integral_cpu.forward(z, embedding, slopes, biases, weights, shift, points, rule)


@torch.library.custom_op("nfbench::integral_backward", mutates_args=())
def _backward(
    z: Tensor,
    embedding: Tensor,
    slopes: Tensor,
    biases: Tensor,
    weights: Tensor,
    shift: Tensor,
    points: Tensor,
    rule: Tensor,
    grad: Tensor,
    grad_height: Tensor,
) -> Gradients:
    return integral_cpu.backward(z, embedding, slopes, biases, weights, shift, points, rule, grad, grad_height)


@_forward.register_fake
def _(z: Tensor, *_: Tensor) -> tuple[Tensor, Tensor]:
    return z.new_empty(z.shape), z.new_empty(z.shape)


@_backward.register_fake
def _(
    z: Tensor, embedding: Tensor, slopes: Tensor, biases: Tensor, weights: Tensor, shift: Tensor, *_: Tensor
) -> Gradients:
    to_z, to_embedding, to_slopes, to_biases, to_weights, to_shift = (
        tensor.new_empty(tensor.shape) for tensor in (z, embedding, slopes, biases, weights, shift)
    )
    return to_z, to_embedding, to_slopes, to_biases, to_weights, to_shift


def _setup(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs)


def _differentiate(ctx: Any, grad: Tensor, grad_height: Tensor) -> tuple[Tensor | None, ...]:
    return *_backward(*ctx.saved_tensors, grad, grad_height), None, None


_forward.register_autograd(_differentiate, setup_context=_setup)
for _operator in (_forward, _backward):
    _operator.register_vmap(folding(_operator))
