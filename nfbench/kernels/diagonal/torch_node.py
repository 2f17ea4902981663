"""The diagonal Gaussian's draws by torch's operations, on any device. Contract: `diagonal`."""

import math

import torch
from torch import Tensor


def forward(noise: Tensor, base: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`noise (S, B, D), base (B or 1, 2 D) -> z (S, B, D), ln q (S, B), sigma (B or 1, D)`."""
    mean, log_sigma = base.chunk(2, -1)
    sigma = log_sigma.exp()
    log_q = torch.add(noise.square().sum(-1), log_sigma.sum(-1), alpha=2)
    return torch.addcmul(mean, sigma, noise), log_q.add_(noise.shape[-1] * math.log(2 * math.pi)).mul_(-0.5), sigma


def backward(
    noise: Tensor, sigma: Tensor, grad_z: Tensor, grad_log_q: Tensor, *, to_noise: bool
) -> tuple[Tensor | None, Tensor]:
    """Gradients in the noise (S, B, D), where they are asked for, and in the base (B or 1, 2 D)."""
    over = [0] if sigma.shape[0] == grad_z.shape[1] else [0, 1]
    to_log_sigma = (grad_z * noise).sum(over) * sigma - grad_log_q.sum(over).unsqueeze(-1)
    to_base = torch.cat([grad_z.sum(over).expand_as(sigma), to_log_sigma], -1)
    return (grad_z * sigma - grad_log_q.unsqueeze(-1) * noise) if to_noise else None, to_base
