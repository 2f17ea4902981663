"""The diagonal Gaussian under every flow: z = mean + sigma noise and ln q(z), with few steps for autograd to take."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nfbench.kernels import diagonal_cpu
from nfbench.kernels.backend import backend, transformed
from nfbench.numerics import standard_normal_log_prob


def reference(noise: Tensor, base: Tensor) -> tuple[Tensor, Tensor]:
    """`draw` operation by operation: oracle, and what runs under vmap and `torch.compile`."""
    mean, log_sigma = base.chunk(2, -1)
    return mean + log_sigma.exp() * noise, standard_normal_log_prob(noise) - log_sigma.sum(-1)


def draw(noise: Tensor, base: Tensor) -> tuple[Tensor, Tensor]:
    """`noise (S, B, D), base (B or 1, 2 D) -> z (S, B, D), ln q(z) (S, B)`; base holds mean and ln sigma."""
    chosen = backend()
    if transformed() or chosen == "reference":
        return reference(noise, base)
    node = _Compiled if chosen != "triton" and _fits(noise, base) else _Draw
    found: tuple[Tensor, Tensor] = node.apply(noise, base)  # type: ignore[no-untyped-call]
    return found


def _fits(noise: Tensor, base: Tensor) -> bool:
    """Whether the compiled loops take these tensors."""
    real = noise.dtype == base.dtype and noise.dtype in (torch.float32, torch.float64)
    return real and noise.device.type == "cpu" and noise.numel() > 0


class _Compiled(torch.autograd.Function):
    """`reference` by the loops of `diagonal_cpu`."""

    @staticmethod
    def forward(ctx: Any, noise: Tensor, base: Tensor) -> tuple[Tensor, Tensor]:
        ctx.shape = noise.shape
        if len(base) > noise.shape[1]:
            noise = noise.expand(-1, len(base), -1)
        noise = noise.contiguous()
        z, log_q, sigma = diagonal_cpu.forward(noise, base.contiguous())
        ctx.save_for_backward(noise, sigma)
        return z, log_q

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_z: Tensor, grad_log_q: Tensor) -> tuple[Tensor | None, Tensor]:
        given = *ctx.saved_tensors, grad_z.contiguous(), grad_log_q.contiguous()
        to_noise, to_base = diagonal_cpu.backward(*given, to_noise=ctx.needs_input_grad[0])
        return None if to_noise is None else to_noise.sum_to_size(ctx.shape), to_base


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
