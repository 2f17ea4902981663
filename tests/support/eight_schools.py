"""Rubin's eight schools as a plain function, beside which the same model in other languages is held."""

import math

import torch

EFFECTS = torch.tensor([28.0, 8, -3, 7, -1, 1, 18, 12], dtype=torch.float64)
ERRORS = torch.tensor([15.0, 10, 16, 11, 9, 11, 10, 18], dtype=torch.float64)


def schools(z):
    """The log-density with every constant, non-centred; z is mu, ln tau and the eight eta."""
    mu, log_tau, eta = z[..., 0], z[..., 1], z[..., 2:]
    theta = mu[..., None] + log_tau.exp()[..., None] * eta
    half_cauchy = math.log(2 / (5 * math.pi)) - torch.log1p((log_tau.exp() / 5) ** 2) + log_tau
    normal = -0.5 * (mu / 5) ** 2 - math.log(5) - 0.5 * eta.square().sum(-1)
    data = (-0.5 * ((EFFECTS - theta) / ERRORS) ** 2 - ERRORS.log()).sum(-1)
    return half_cauchy + normal + data - 17 * 0.5 * math.log(2 * math.pi)
