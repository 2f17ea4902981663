"""Eight schools, centred: theta_j ~ N(mu, tau^2)."""

import torch
from schools import effects, errors, log_prior

dim = 10
names = ["mu", "tau", *(f"theta{j}" for j in range(1, 9))]


def log_joint(z):
    """`(..., 10) -> (...)`: mu, ln tau, theta."""
    mean, log_scale, theta = z[..., 0], z[..., 1], z[..., 2:]
    spread = (theta - mean[..., None]) / log_scale.exp()[..., None]
    prior = log_prior(mean, log_scale) - 0.5 * spread.square().sum(-1) - 8 * log_scale
    return prior - 0.5 * ((effects - theta) / errors).square().sum(-1)


def constrain(z):
    """`(n, 10) -> (n, 10)`: tau in place of ln tau."""
    return torch.cat([z[:, :1], z[:, 1:2].exp(), z[:, 2:]], 1)
