"""The diagonal Gaussian under every flow: z = mean + sigma noise and ln q(z), with few steps for autograd to take."""

from typing import Any, Protocol, cast

import torch
from torch import Tensor

from nfbench.foundation.numerics import standard_normal_log_prob
from nfbench.foundation.settings import backend
from nfbench.kernels import shapes
from nfbench.kernels.autograd import Node, once
from nfbench.kernels.diagonal import cpu, torch_node
from nfbench.kernels.dispatch import transformed


class Loops(Protocol):
    """A module that draws, and goes back; S draws for B data points, one row of the base for each of them or for all.

    `forward` returns besides the draws what is kept for `backward`, by which it is differentiated.
    """

    def forward(self, noise: Tensor, base: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`noise (S, B, D), base (B or 1, 2 D) -> z (S, B, D), ln q (S, B), kept`."""

    def backward(
        self, noise: Tensor, kept: Tensor, grad_z: Tensor, grad_log_q: Tensor, *, to_noise: bool
    ) -> tuple[Tensor | None, Tensor]:
        """Gradients in the noise (S, B, D), where they are asked for, and in the base (B or 1, 2 D)."""


def reference(noise: Tensor, base: Tensor) -> tuple[Tensor, Tensor]:
    """`draw` operation by operation: oracle, and what runs under vmap and `torch.compile`."""
    mean, log_sigma = base.chunk(2, -1)
    return mean + log_sigma.exp() * noise, standard_normal_log_prob(noise) - log_sigma.sum(-1)


def draw(noise: Tensor, base: Tensor) -> tuple[Tensor, Tensor]:
    """`noise (S, B, D), base (B or 1, 2 D) -> z (S, B, D), ln q(z) (S, B)`; base holds mean and ln sigma.

    Alone on a GPU the operations one by one are faster: their launches are as many, and no node calls Python back.

    Raises:
        InputError: tensors that do not fit each other, of several dtypes or on several devices (`shapes`).
    """
    shapes.check_base("diagonal", noise, base)
    chosen = None if noise.is_cuda else loops(noise, base)
    if chosen is None:
        return reference(noise, base)
    found: tuple[Tensor, Tensor] = _Draw.applied(chosen, noise, base)
    return found


def loops(noise: Tensor, base: Tensor) -> Loops | None:
    """What draws from this noise as one node of the graph; None where every operation must be seen."""
    chosen = backend()
    if transformed() or chosen == "reference":
        return None
    real = noise.dtype == base.dtype and noise.dtype in (torch.float32, torch.float64)
    compiled = chosen != "triton" and real and noise.device.type == "cpu" and noise.numel() > 0
    return cast(Loops, cpu if compiled else torch_node)


def for_each(noise: Tensor, base: Tensor) -> Tensor:
    """The noise, the same for all data points where there is but one's and the base has rows for more."""
    return noise.expand(-1, len(base), -1) if noise.shape[1] == 1 < len(base) else noise


class _Draw(Node):
    """`reference` as one node of the graph."""

    @staticmethod
    def forward(ctx: Any, chosen: Loops, noise: Tensor, base: Tensor) -> tuple[Tensor, Tensor]:
        spread = for_each(noise, base)
        z, log_q, kept = chosen.forward(spread, base)
        ctx.loops, ctx.shape = chosen, noise.shape
        ctx.save_for_backward(spread, kept)
        return z, log_q

    @staticmethod
    @once
    def backward(ctx: Any, grad_z: Tensor, grad_log_q: Tensor) -> tuple[None, Tensor | None, Tensor]:
        given = *ctx.saved_tensors, grad_z, grad_log_q
        to_noise, to_base = ctx.loops.backward(*given, to_noise=ctx.needs_input_grad[1])
        return None, None if to_noise is None else to_noise.sum_to_size(ctx.shape), to_base
