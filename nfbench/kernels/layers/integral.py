"""Integrals of a positive network of one number over [0, z], and the network at z: a monotonic map of each coordinate.

The network is f(t) = (1 - s)(1 + ELU(w . tanh(a t + b + h) + c)) + s with an embedding h for each coordinate of a draw;
the integral is a Gauss-Legendre rule. On the CPU compiled loops evaluate all nodes of a tile of numbers, one pass
forward, one backward, in which hidden units are computed anew: plain PyTorch stores all units of all nodes.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
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
_NAMES = ("z", "embedding", "slopes", "biases", "weights", "shift")
_FORMS = ("S B D", "S B D U", "U", "U", "U", "N")


def integral(
    z: Tensor, embedding: Tensor, slopes: Tensor, biases: Tensor, weights: Tensor, shift: Tensor, nodes: int
) -> tuple[Tensor, Tensor]:
    """Integrate from 0 to z.

    >>> zeros = torch.zeros(3)
    >>> area, height = integral(torch.full((1, 1, 1), 2.0), torch.zeros(1, 1, 1, 3), zeros, zeros, zeros, zeros[:1], 4)
    >>> round(area.item(), 5), height.item()
    (2.0, 1.0)

    Args:
        z: (S, B, D).
        embedding: h (S, B, D, U), added to the biases.
        slopes: a (U,), weights of t.
        biases: b (U,).
        weights: w (U,), of the output.
        shift: c (1,), its bias.
        nodes: n, of the rule.

    Returns:
        The integral and f(z), (S, B, D) both.

    Raises:
        InputError: tensors that do not fit each other, of several dtypes or on several devices (`shapes`), no node.
    """
    network = slopes, biases, weights, shift
    _check(z, embedding, *network, nodes)
    if not perceptron.compiled(z):
        return reference(z, embedding, *network, nodes)
    if not transformed():
        results: tuple[Tensor, Tensor] = _Direct.applied(z, embedding, *network, nodes)
        return results
    flat = z.reshape(1, -1), embedding.reshape(1, -1, embedding.shape[-1])
    area, height = _forward(*flat, *(part.unsqueeze(0) for part in network), nodes)
    return area.reshape(z.shape), height.reshape(z.shape)


def reference(
    z: Tensor, embedding: Tensor, slopes: Tensor, biases: Tensor, weights: Tensor, shift: Tensor, nodes: int
) -> tuple[Tensor, Tensor]:
    """`integral` in plain PyTorch, which second derivatives go through.

    Args:
        z: as in `integral`.
        embedding: as in `integral`.
        slopes: as in `integral`.
        biases: as in `integral`.
        weights: as in `integral`.
        shift: as in `integral`.
        nodes: as in `integral`.

    Returns:
        (S, B, D) both.
    """
    points, rule = (torch.from_numpy(part).to(z) for part in gauss_legendre(nodes))
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


@functools.cache
def gauss_legendre(nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """The rule on [0, 1].

    Args:
        nodes: n.

    Returns:
        The nodes followed by 1, (n + 1,), and the weights (n,), of the sum 1, in float64.
    """
    points, weights = np.polynomial.legendre.leggauss(nodes)
    return np.array([*(points + 1) / 2, 1.0]), weights / 2


def _check(z: Tensor, embedding: Tensor, *given: Any) -> None:
    """Raise an `InputError` for what `integral` cannot take."""
    *network, nodes = given
    tensors = z, embedding, *network
    sizes = shapes.check_forms("integral", *zip(_NAMES, tensors, _FORMS, strict=True))
    if sizes["N"] != 1 or not sizes["U"] or nodes < 1:
        raise InputError(
            f"integral: shift has {sizes['N']} numbers, there are {sizes['U']} units and {nodes} nodes: expected one "
            "number, and at least one unit and one node"
        )
    for name, tensor in zip(_NAMES[1:], tensors[1:], strict=True):
        if tensor.dtype != z.dtype or tensor.device != z.device or not z.dtype.is_floating_point:
            kinds.check_kinds("integral", "z", z, name, tensor, mixed=kinds.autocast(z, tensor))


class _Direct(Node):
    """The compiled loops as one node of autograd's graph: a call costs less than one of the operator."""

    @staticmethod
    def forward(
        ctx: Any,
        z: Tensor,
        embedding: Tensor,
        slopes: Tensor,
        biases: Tensor,
        weights: Tensor,
        shift: Tensor,
        nodes: int,
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(z, embedding, slopes, biases, weights, shift)
        ctx.nodes = nodes
        flat = _flat(z, embedding, slopes, biases, weights, shift)
        area, height = integral_cpu.forward(*flat, *gauss_legendre(nodes))
        return area.reshape(z.shape), height.reshape(z.shape)

    @staticmethod
    @by_kernel
    def backward(ctx: Any, grad: Tensor, grad_height: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        grads = grad.reshape(1, -1), grad_height.reshape(1, -1)
        found = integral_cpu.backward(*_flat(*saved), *gauss_legendre(ctx.nodes), *grads)
        return *(part.reshape(given.shape) for part, given in zip(found, saved, strict=True)), None

    @staticmethod
    def plain(ctx: Any) -> tuple[Callable[..., tuple[Tensor, Tensor]], tuple[Tensor | None, ...]]:
        return functools.partial(reference, nodes=ctx.nodes), (*ctx.saved_tensors, None)


def _flat(
    z: Tensor, embedding: Tensor, slopes: Tensor, biases: Tensor, weights: Tensor, shift: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """As `integral_cpu` takes them: one group, its elements one after the other."""
    slopes, biases, weights, shift = (part.unsqueeze(0) for part in (slopes, biases, weights, shift))
    return z.reshape(1, -1), embedding.reshape(1, -1, embedding.shape[-1]), slopes, biases, weights, shift


@torch.library.custom_op("nfbench::integral", mutates_args=())
def _forward(
    z: Tensor, embedding: Tensor, slopes: Tensor, biases: Tensor, weights: Tensor, shift: Tensor, nodes: int
) -> tuple[Tensor, Tensor]:
    return integral_cpu.forward(z, embedding, slopes, biases, weights, shift, *gauss_legendre(nodes))


@torch.library.custom_op("nfbench::integral_backward", mutates_args=())
def _backward(
    z: Tensor,
    embedding: Tensor,
    slopes: Tensor,
    biases: Tensor,
    weights: Tensor,
    shift: Tensor,
    nodes: int,
    grad: Tensor,
    grad_height: Tensor,
) -> Gradients:
    rule = gauss_legendre(nodes)
    return integral_cpu.backward(z, embedding, slopes, biases, weights, shift, *rule, grad, grad_height)


@_forward.register_fake
def _(z: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return z.new_empty(z.shape), z.new_empty(z.shape)


@_backward.register_fake
def _(
    z: Tensor, embedding: Tensor, slopes: Tensor, biases: Tensor, weights: Tensor, shift: Tensor, *_: Any
) -> Gradients:
    to_z, to_embedding, to_slopes, to_biases, to_weights, to_shift = (
        tensor.new_empty(tensor.shape) for tensor in (z, embedding, slopes, biases, weights, shift)
    )
    return to_z, to_embedding, to_slopes, to_biases, to_weights, to_shift


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.nodes = inputs
    ctx.save_for_backward(*tensors)


def _differentiate(ctx: Any, grad: Tensor, grad_height: Tensor) -> tuple[Tensor | None, ...]:
    return *_backward(*ctx.saved_tensors, ctx.nodes, grad, grad_height), None


_forward.register_autograd(_differentiate, setup_context=_setup)
for _operator in (_forward, _backward):
    _operator.register_vmap(folding(_operator))
