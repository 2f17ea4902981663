"""The compiled chain of additive couplings as operators that torch differentiates, traces and vectorises over seeds.

Tensors, all with G groups of N draws in front, as in `coupling_draws`: x (G, N, D), A (G, K, D, H), b (G, R, K, H), C,
transposed, (G, K, D, H), and the rows of A and C that are not zero for ever, `reads` and `writes` (G, K, D).
"""

from typing import Any

import torch
from torch import Tensor

from nfbench.kernels.autograd import Node, once
from nfbench.kernels.chain.operators import folding
from nfbench.kernels.coupling import cpu
from nfbench.kernels.dispatch import transformed

Four = tuple[Tensor, Tensor, Tensor, Tensor]


def chain(x: Tensor, inner: Tensor, bias: Tensor, outer: Tensor, reads: Tensor, writes: Tensor) -> Tensor:
    """`x (G, N, D) -> x_K (G, N, D)`, x' = x + tanh(x A + b) C, K times."""
    if transformed():
        found: Tensor = _forward(x, inner, bias, outer, reads, writes)
        return found
    direct: Tensor = _Direct.applied(x, inner, bias, outer, reads, writes)
    return direct


class _Direct(Node):
    """The loops under autograd alone, which costs less a call than an operator."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, inner: Tensor, bias: Tensor, outer: Tensor, reads: Tensor, writes: Tensor
    ) -> Tensor:
        found = cpu.forward(x, inner, bias, outer, reads, writes)
        ctx.save_for_backward(found, inner, bias, outer, reads, writes)
        return found

    @staticmethod
    @once
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, inner, bias, outer, reads, writes = ctx.saved_tensors
        return *cpu.backward(x, inner, bias, outer, reads, writes, grad), None, None


@torch.library.custom_op("nfbench::coupling", mutates_args=())
def _forward(x: Tensor, inner: Tensor, bias: Tensor, outer: Tensor, reads: Tensor, writes: Tensor) -> Tensor:
    return cpu.forward(x, inner, bias, outer, reads, writes)


@torch.library.custom_op("nfbench::coupling_backward", mutates_args=())
def _backward(
    x: Tensor, inner: Tensor, bias: Tensor, outer: Tensor, reads: Tensor, writes: Tensor, grad: Tensor
) -> Four:
    return cpu.backward(x, inner, bias, outer, reads, writes, grad)


@_forward.register_fake
def _(x: Tensor, inner: Tensor, bias: Tensor, outer: Tensor, reads: Tensor, writes: Tensor) -> Tensor:
    return x.new_empty(x.shape)


@_backward.register_fake
def _(x: Tensor, inner: Tensor, bias: Tensor, outer: Tensor, reads: Tensor, writes: Tensor, grad: Tensor) -> Four:
    to_x, to_inner, to_bias, to_outer = (one.new_empty(one.shape) for one in (x, inner, bias, outer))
    return to_x, to_inner, to_bias, to_outer


def _setup(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(output, *inputs[1:])


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return *_backward(*ctx.saved_tensors, grad), None, None


_forward.register_autograd(_differentiate, setup_context=_setup)
for _operator in (_forward, _backward):
    _operator.register_vmap(folding(_operator))
