"""The diagonal Gaussian under every flow: z = mean + sigma noise and ln q(z), with few steps for autograd to take."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nfbench.kernels.backend import backend, transformed
from nfbench.numerics import standard_normal_log_prob


def reference(noise: Tensor, base: Tensor) -> tuple[Tensor, Tensor]:
    """`draw` operation by operation: oracle, and what runs under vmap and `torch.compile`."""
    mean, log_sigma = base.chunk(2, -1)
    return mean + log_sigma.exp() * noise, standard_normal_log_prob(noise) - log_sigma.sum(-1)


def draw(noise: Tensor, base: Tensor) -> tuple[Tensor, Tensor]:
    """`noise (S, B, D), base (B or 1, 2 D) -> z (S, B, D), ln q(z) (S, B)`; base holds mean and ln sigma."""
    if transformed() or backend() == "reference":
        return reference(noise, base)
    found: tuple[Tensor, Tensor] = _Draw.apply(noise, base)  # type: ignore[no-untyped-call]
    return found


class _Draw(torch.autograd.Function):
    """`reference` as one node of the graph."""

    @staticmethod
    def forward(ctx: Any, noise: Tensor, base: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_sigma = base.chunk(2, -1)
        sigma = log_sigma.exp()
        ctx.save_for_backward(noise, sigma)
        log_q = torch.add(noise.square().sum(-1), log_sigma.sum(-1), alpha=2)
        return torch.addcmul(mean, sigma, noise), log_q.add_(noise.shape[-1] * math.log(2 * math.pi)).mul_(-0.5)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_z: Tensor, grad_log_q: Tensor) -> tuple[Tensor | None, Tensor]:
        noise, sigma = ctx.saved_tensors
        over = [0] if sigma.shape[0] == grad_z.shape[1] else [0, 1]
        to_log_sigma = (grad_z * noise).sum(over) * sigma - grad_log_q.sum(over).unsqueeze(-1)
        to_base = torch.cat([grad_z.sum(over).expand_as(sigma), to_log_sigma], -1)
        if not ctx.needs_input_grad[0]:
            return None, to_base
        return (grad_z * sigma - grad_log_q.unsqueeze(-1) * noise).sum_to_size(noise.shape), to_base
