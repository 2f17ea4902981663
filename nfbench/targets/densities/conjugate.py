"""A conjugate model whose evidence and posterior are known: z ~ N(0, I), x | z ~ N(z, I / 4), observed x = (1, ..., 1).

ln p(x) = ln N(x; 0, 5/4 I), and the posterior is N(4/5, I / 5).
"""

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from nfbench.foundation.numerics import standard_normal_log_prob
from nfbench.specification.registry import register_target
from nfbench.targets.contract import Target


class Conjugate(Target):
    """ln p(x, z) on R^D, so that ln Z = ln p(x).

    Args:
        dim: D.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.log_z = log_evidence(dim)

    def log_joint(self, z: Tensor, batch: Tensor | None = None) -> Tensor:
        return log_joint(self.checked(z))

    def sample(self, num: int, generator: torch.Generator) -> Tensor:
        noise = torch.randn(num, self.dim, generator=generator, device=generator.device)
        return 0.8 + math.sqrt(0.2) * noise


def log_joint(z: Tensor) -> Tensor:
    """Compute ln p(x, z) of the model.

    Args:
        z: (..., D).

    Returns:
        (...), in nats.
    """
    log_likelihood = standard_normal_log_prob(2 * (1 - z)) + z.shape[-1] * math.log(2)
    return standard_normal_log_prob(z) + log_likelihood


def log_evidence(dim: int) -> float:
    """Compute ln p(x) of the model.

    >>> round(log_evidence(1), 9)
    -1.430510309

    Args:
        dim: D.

    Returns:
        In nats.
    """
    return -0.5 * dim * (math.log(2 * math.pi * 1.25) + 1 / 1.25)


@register_target("conjugate", label="Conjugate Gaussian", cite="elementary; all of it is known", year=2026)
def conjugate(dim: Annotated[int, Field(ge=1)] = 2) -> Target:
    """A Gaussian prior and likelihood, whose posterior N(4/5, 1/5) and evidence are known.

    Args:
        dim: latent dimensions D.

    Returns:
        The target.
    """
    return Conjugate(dim)
