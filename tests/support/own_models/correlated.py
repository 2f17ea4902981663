"""A Gaussian with correlation 0.9."""

import math

import torch

dim = 2
log_z = math.log(2 * math.pi) + 0.5 * math.log(1 - 0.9**2)
precision = torch.linalg.inv(torch.tensor([[1.0, 0.9], [0.9, 1.0]]))


def log_joint(z):
    """`(..., 2) -> (...)`."""
    return -0.5 * (z @ precision * z).sum(-1)
