"""Neal's funnel: the variance of all coordinates but the first is exp of the first (Neal 2003, Section 8)."""

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from nfbench.foundation.numerics import LOG_2PI
from nfbench.specification.registry import register_target
from nfbench.targets.contract import Target

_NECK = 3.0  # standard deviation of z1


class Funnel(Target):
    """z1 ~ N(0, 3^2), and z_i | z1 ~ N(0, exp(z1)) for i = 2 .. D; normalised, so that ln Z = 0.

    The entropy is D/2 ln(2 pi e) + ln 3, as E z1 = 0. All means are 0; the variances are 9 and exp(9/2).

    Args:
        dim: D.
    """

    log_z = 0.0

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def log_joint(self, z: Tensor, batch: Tensor | None = None) -> Tensor:
        neck, rest = self.checked(z)[..., 0], z[..., 1:]
        squares = (neck / _NECK).square() + (rest * (-0.5 * neck).exp().unsqueeze(-1)).square().sum(-1)
        constant = 0.5 * self.dim * LOG_2PI + math.log(_NECK)
        value: Tensor = -0.5 * squares - 0.5 * (self.dim - 1) * neck - constant
        return value

    def sample(self, num: int, generator: torch.Generator) -> Tensor:
        noise = torch.randn(num, self.dim, generator=generator, device=generator.device)
        neck = _NECK * noise[:, :1]
        return torch.cat([neck, (0.5 * neck).exp() * noise[:, 1:]], -1)


@register_target("funnel", label="Neal's funnel (D={dim})", cite="Neal 2003, Section 8", year=2003)
def funnel(dim: Annotated[int, Field(ge=2)] = 10) -> Target:
    """Neal's funnel: a neck z1 ~ N(0, 3^2), all other coordinates N(0, exp(z1)).

    Args:
        dim: latent dimensions D.

    Returns:
        The target.
    """
    return Funnel(dim)
