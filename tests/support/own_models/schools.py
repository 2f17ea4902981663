"""Eight schools (Rubin 1981), as data: effects and their standard errors."""

import torch

effects = torch.tensor([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
errors = torch.tensor([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def log_prior(mean, log_scale):
    """The prior of mu ~ N(0, 5^2) and of tau ~ half-Cauchy(0, 5) in ln tau, with its Jacobian."""
    scale = log_scale.exp()
    half_cauchy = -torch.log1p((scale / 5).square())
    return -0.5 * (mean / 5).square() + half_cauchy + log_scale
