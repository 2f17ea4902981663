"""Eight schools, non-centred: theta_j = mu + tau eta_j."""

import torch
from schools import effects, errors, log_prior

dim = 10
names = ["mu", "tau", *(f"theta{j}" for j in range(1, 9))]


def log_joint(z):
    """`(..., 10) -> (...)`: mu, ln tau, eta."""
    mean, log_scale, eta = z[..., 0], z[..., 1], z[..., 2:]
    theta = mean[..., None] + log_scale.exp()[..., None] * eta
    prior = log_prior(mean, log_scale) - 0.5 * eta.square().sum(-1)
    return prior - 0.5 * ((effects - theta) / errors).square().sum(-1)


def constrain(z):
    """`(n, 10) -> (n, 10)`: tau in place of ln tau, theta in place of eta."""
    scale = z[:, 1:2].exp()
    return torch.cat([z[:, :1], scale, z[:, :1] + scale * z[:, 2:]], 1)
