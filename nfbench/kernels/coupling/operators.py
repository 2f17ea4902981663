"""The compiled chain of additive couplings as operators that torch differentiates, traces and vectorises over seeds.

All tensors have G groups in front, as vmap over seeds makes them: x (G, N, D); A, `inner (G, K, D, H)`; b,
`bias (G, R, K, H)`, where draw n of N takes row n mod R; C, transposed, `outer (G, K, D, H)`; `reads` and `writes`
(G, K, D) mark the rows of A and of C, transposed, that can differ from zero.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from nfbench.kernels.autograd import Node, by_kernel
from nfbench.kernels.chain.operators import folding
from nfbench.kernels.coupling import cpu
from nfbench.kernels.dispatch import transformed

Gradients = tuple[Tensor, Tensor, Tensor, Tensor]  # in x, A, b and C, transposed


def chain(x: Tensor, inner: Tensor, bias: Tensor, outer: Tensor, reads: Tensor, writes: Tensor) -> Tensor:
    """Push draws through the chain: x' = x + tanh(x A + b) C, K times.

    Args:
        x: (G, N, D).
        inner: A (G, K, D, H).
        bias: b (G, R, K, H).
        outer: C, transposed (G, K, D, H).
        reads: (G, K, D), boolean.
        writes: (G, K, D), boolean.

    Returns:
        x_K (G, N, D).
    """
    run = _forward if transformed() else _Direct.applied
    x_k: Tensor = run(x, inner, bias, outer, reads, writes)
    return x_k


def reference(x: Tensor, inner: Tensor, bias: Tensor, outer: Tensor) -> Tensor:
    """`chain` in plain PyTorch, which second derivatives go through.

    Args:
        x: (G, N, D).
        inner: A (G, K, D, H).
        bias: b (G, R, K, H).
        outer: C, transposed (G, K, D, H).

    Returns:
        x_K (G, N, D).
    """
    groups, draws, _ = x.shape
    for inner_k, bias_k, outer_k in zip(inner.unbind(1), bias.unbind(2), outer.unbind(1), strict=True):
        repeated = bias_k.unsqueeze(1).expand(groups, draws // bias.shape[1], *bias_k.shape[1:])
        hidden = torch.tanh(x @ inner_k + repeated.reshape(groups, draws, -1))
        x = x + hidden @ outer_k.mT
    return x


class _Direct(Node):
    """The compiled loops as one node of autograd's graph: a call costs less than one of the operator."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, inner: Tensor, bias: Tensor, outer: Tensor, reads: Tensor, writes: Tensor
    ) -> Tensor:
        x_k = cpu.forward(x, inner, bias, outer, reads, writes)
        ctx.save_for_backward(x_k, inner, bias, outer, reads, writes, x)
        return x_k

    @staticmethod
    @by_kernel
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x_k, inner, bias, outer, reads, writes, _ = ctx.saved_tensors
        return *cpu.backward(x_k, inner, bias, outer, reads, writes, grad), None, None

    @staticmethod
    def plain(ctx: Any) -> tuple[Callable[..., Tensor], tuple[Tensor | None, ...]]:
        _, inner, bias, outer, _, _, x = ctx.saved_tensors
        return reference, (x, inner, bias, outer, None, None)


@torch.library.custom_op("nfbench::coupling", mutates_args=())
def _forward(x: Tensor, inner: Tensor, bias: Tensor, outer: Tensor, reads: Tensor, writes: Tensor) -> Tensor:
    return cpu.forward(x, inner, bias, outer, reads, writes)


@torch.library.custom_op("nfbench::coupling_backward", mutates_args=())
def _backward(
    x: Tensor, inner: Tensor, bias: Tensor, outer: Tensor, reads: Tensor, writes: Tensor, grad: Tensor
) -> Gradients:
    return cpu.backward(x, inner, bias, outer, reads, writes, grad)


@_forward.register_fake
def _(x: Tensor, inner: Tensor, bias: Tensor, outer: Tensor, reads: Tensor, writes: Tensor) -> Tensor:
    return x.new_empty(x.shape)


@_backward.register_fake
def _(x: Tensor, inner: Tensor, bias: Tensor, outer: Tensor, reads: Tensor, writes: Tensor, grad: Tensor) -> Gradients:
    to_x, to_inner, to_bias, to_outer = (tensor.new_empty(tensor.shape) for tensor in (x, inner, bias, outer))
    return to_x, to_inner, to_bias, to_outer


def _setup(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(output, *inputs[1:])


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return *_backward(*ctx.saved_tensors, grad), None, None


_forward.register_autograd(_differentiate, setup_context=_setup)
for _operator in (_forward, _backward):
    _operator.register_vmap(folding(_operator))
