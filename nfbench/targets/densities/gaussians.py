"""Gaussians that a diagonal covariance cannot follow: equally correlated coordinates, and a wide range of scales."""

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from nfbench.foundation.errors import InputError
from nfbench.foundation.numerics import LOG_2PI
from nfbench.specification.registry import register_target
from nfbench.targets.constants import Constants
from nfbench.targets.contract import Target

_Dim = Annotated[int, Field(ge=2)]


class Gaussian(Target):
    """N(z; 0, A diag(v) A^T) with orthogonal A; normalised, so that ln Z = 0.

    Args:
        axes: A, (D, D), a column an axis.
        variances: v along the axes, (D,).

    Attributes:
        covariance: (D, D), in float64.
    """

    log_z = 0.0

    def __init__(self, axes: Tensor, variances: Tensor) -> None:
        super().__init__()
        self.dim = len(variances)
        self.covariance = (axes * variances) @ axes.T
        self._constants = Constants(axes=axes, scales=variances.sqrt())
        self._log_constant = -0.5 * float(variances.log().sum()) - 0.5 * self.dim * LOG_2PI

    def log_joint(self, z: Tensor, batch: Tensor | None = None) -> Tensor:
        constants = self._constants.like(z)
        along = self.checked(z) @ constants["axes"] / constants["scales"]
        value: Tensor = self._log_constant - 0.5 * along.square().sum(-1)
        return value

    def sample(self, num: int, generator: torch.Generator) -> Tensor:
        noise = torch.randn(num, self.dim, generator=generator, device=generator.device)
        constants = self._constants.like(noise)
        return noise * constants["scales"] @ constants["axes"].T


@register_target(
    "correlated", label="Correlated Gaussian (D={dim}, rho={correlation})", cite="nfbench: equal correlations"
)
def correlated(dim: _Dim = 2, correlation: Annotated[float, Field(gt=-1, lt=1)] = 0.9) -> Target:
    """A Gaussian with unit variances, any two of whose coordinates have the same correlation.

    Args:
        dim: latent dimensions D.
        correlation: rho > -1 / (D - 1).

    Returns:
        The target.

    Raises:
        InputError: no D variables can have that correlation with each other.
    """
    if 1 + (dim - 1) * correlation <= 0:
        least = -1 / (dim - 1)
        raise InputError(
            f"target 'correlated': correlation={correlation}: expected more than -1/(dim - 1) = {least:.4g}"
        )
    variances = torch.full((dim,), 1 - correlation, dtype=torch.float64)
    variances[0] += dim * correlation  # along (1, ..., 1), the first one of the axes
    return Gaussian(_cosines(dim), variances)


@register_target(
    "ill-conditioned",
    label="Ill-conditioned Gaussian (D={dim}, cond. {condition:g})",
    cite="nfbench: after the target of that name in Inference Gym",
)
def ill_conditioned(
    dim: _Dim = 100, condition: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 10_000.0
) -> Target:
    """A Gaussian with variances in a geometric sequence from 1 / condition to 1 along axes that are no coordinates.

    Args:
        dim: latent dimensions D.
        condition: the largest variance divided by the smallest.

    Returns:
        The target; its axes are the cosines of the discrete cosine transform.
    """
    return Gaussian(_cosines(dim), torch.logspace(-math.log10(condition), 0, dim, dtype=torch.float64))


def _cosines(dim: int) -> Tensor:
    """The discrete cosine transform (DCT-II) as orthogonal columns (dim, dim), the first one constant."""
    place, order = torch.arange(dim, dtype=torch.float64)[:, None], torch.arange(dim, dtype=torch.float64)
    columns = torch.cos(math.pi / dim * (place + 0.5) * order)
    axes: Tensor = columns / torch.linalg.vector_norm(columns, dim=0)
    return axes
