"""Student's t: tails that fall like a power, which Gaussian tails cannot follow."""

import math
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from nfbench.specification.registry import register_target
from nfbench.targets.contract import Target


class StudentT(Target):
    """D independent coordinates of Student's t distribution with nu degrees of freedom; normalised, so that ln Z = 0.

    Means are 0, variances nu / (nu - 2) where nu > 2.

    Args:
        dim: D.
        df: nu.
    """

    log_z = 0.0

    def __init__(self, dim: int, df: float) -> None:
        super().__init__()
        self.dim = dim
        self.df = df

    def log_joint(self, z: Tensor, batch: Tensor | None = None) -> Tensor:
        nu = self.df
        constant = math.lgamma((nu + 1) / 2) - math.lgamma(nu / 2) - 0.5 * math.log(nu * math.pi)
        value: Tensor = self.dim * constant - (nu + 1) / 2 * torch.log1p(self.checked(z).square() / nu).sum(-1)
        return value

    def sample(self, num: int, generator: torch.Generator) -> Tensor:
        """Draw exactly, by Bailey's polar form sqrt(nu (U^(-2 / nu) - 1)) cos(2 pi V) with uniform U and V.

        Args:
            num: how many draws.
            generator: of random numbers; draws are on its device.

        Returns:
            (num, D), in torch's default dtype.
        """
        size = (2, num, self.dim)
        u, v = torch.rand(size, generator=generator, device=generator.device, dtype=torch.float64)
        radius = (self.df * torch.expm1(-2 / self.df * u.clamp(min=np.finfo(float).tiny).log())).sqrt()
        return (radius * torch.cos(2 * math.pi * v)).to(torch.get_default_dtype())


@register_target("student-t", label="Student's t (D={dim}, nu={df})", cite="Bailey 1994 (sampler)", year=1994)
def student_t(
    dim: Annotated[int, Field(ge=1)] = 10, df: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 3.0
) -> Target:
    """Independent coordinates of Student's t distribution.

    Args:
        dim: latent dimensions D.
        df: degrees of freedom nu; the variance is infinite up to 2.

    Returns:
        The target.
    """
    return StudentT(dim, df)
