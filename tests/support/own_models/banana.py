"""A banana: z1 ~ N(0, 1), z2 | z1 ~ N(z1^2, 0.5^2); normalised."""

import torch

dim = 2
normalised = True


def log_joint(z):
    """`(..., 2) -> (...)`."""
    first, second = z.unbind(-1)
    return torch.distributions.Normal(0.0, 1.0).log_prob(first) + torch.distributions.Normal(
        first.square(), 0.5
    ).log_prob(second)


def sample(num, generator):
    """`-> (num, 2)` exact draws."""
    noise = torch.randn(num, 2, generator=generator)
    return torch.stack([noise[:, 0], noise[:, 0].square() + 0.5 * noise[:, 1]], -1)
