"""Neal's funnel in ten dimensions: z1 ~ N(0, 3^2), the others N(0, exp(z1)); normalised."""

import torch

dim = 10
normalised = True


def log_joint(z):
    """`(..., 10) -> (...)`."""
    neck, rest = z[..., 0], z[..., 1:]
    first = torch.distributions.Normal(0.0, 3.0).log_prob(neck)
    scale = (neck / 2).exp()[..., None]
    return first + torch.distributions.Normal(0.0, scale, validate_args=False).log_prob(rest).sum(-1)
