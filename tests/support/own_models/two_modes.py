"""Two unit Gaussians with weights 0.3 and 0.7, five standard deviations apart; normalised."""

import math

import torch

dim = 2
normalised = True
centres = torch.tensor([[-2.5, 0.0], [2.5, 0.0]])
log_weights = torch.tensor([0.3, 0.7]).log()


def log_joint(z):
    """`(..., 2) -> (...)`."""
    squares = (z.unsqueeze(-2) - centres).square().sum(-1)
    return torch.logsumexp(log_weights - 0.5 * squares, -1) - math.log(2 * math.pi)
