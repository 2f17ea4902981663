"""The diagonal Gaussian's draws by torch's operations, on any device: the contract is `reference.Loops`."""

import math

import torch
from torch import Tensor


def forward(noise: Tensor, base: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Draw z = mean + sigma noise.

    Args:
        noise: (S, B, D).
        base: (B or 1, 2 D), mean and ln sigma.

    Returns:
        z (S, B, D), ln q (S, B), and sigma (B or 1, D), which `backward` takes.
    """
    mean, log_sigma = base.chunk(2, -1)
    sigma = log_sigma.exp()
    log_q = torch.add(noise.square().sum(-1), log_sigma.sum(-1), alpha=2)
    return torch.addcmul(mean, sigma, noise), log_q.add_(noise.shape[-1] * math.log(2 * math.pi)).mul_(-0.5), sigma


def backward(
    noise: Tensor, sigma: Tensor, grad_z: Tensor, grad_log_q: Tensor, *, to_noise: bool
) -> tuple[Tensor | None, Tensor]:
    """Gradients in the noise and in the base.

    Args:
        noise: (S, B, D).
        sigma: (B or 1, D).
        grad_z: (S, B, D).
        grad_log_q: (S, B).
        to_noise: whether the gradient in the noise is wanted.

    Returns:
        The gradient in the noise (S, B, D), or None, and that in the base (B or 1, 2 D).
    """
    over = [0] if sigma.shape[0] == grad_z.shape[1] else [0, 1]
    to_log_sigma = (grad_z * noise).sum(over) * sigma - grad_log_q.sum(over).unsqueeze(-1)
    to_base = torch.cat([grad_z.sum(over).expand_as(sigma), to_log_sigma], -1)
    return (grad_z * sigma - grad_log_q.unsqueeze(-1) * noise) if to_noise else None, to_base
