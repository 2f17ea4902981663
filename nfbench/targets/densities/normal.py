"""The standard normal N(0, I): a base in the paper's Figure 1, and a target that every family can fit exactly."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from nfbench.foundation.numerics import standard_normal_log_prob
from nfbench.specification.registry import register_target
from nfbench.targets.contract import Target


class StandardNormal(Target):
    """ln N(z; 0, I) on R^D, so that ln Z = 0.

    Args:
        dim: D.
    """

    log_z = 0.0

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def log_joint(self, z: Tensor, batch: Tensor | None = None) -> Tensor:
        return standard_normal_log_prob(self.checked(z))

    def sample(self, num: int, generator: torch.Generator) -> Tensor:
        return torch.randn(num, self.dim, generator=generator, device=generator.device)


@register_target("normal", label="Unit Gaussian", cite="Rezende & Mohamed 2015, Figure 1", year=2015)
def normal(dim: Annotated[int, Field(ge=1)] = 2) -> Target:
    """The standard normal distribution on R^dim.

    Args:
        dim: latent dimensions D.

    Returns:
        The target.
    """
    return StandardNormal(dim)
