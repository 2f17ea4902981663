"""A log-Gaussian Cox process on a small grid: counts whose log-rates are a Gaussian field (Moller et al. 1998)."""

import functools
import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from nfbench.foundation.numerics import LOG_2PI
from nfbench.foundation.randomness import stream
from nfbench.specification.registry import register_target
from nfbench.targets.constants import Constants
from nfbench.targets.contract import Target
from nfbench.targets.densities.resampling import resampled

_VARIANCE = 1.91
_MOST = 64  # cells of a grid whose mode is looked for
_POINTS = 126  # in the unit square, of the pine forest whose prior this is
# By importance sampling: 40,000,000 draws of a Student-t around the mode of the 4 x 4 grid; its error is 1e-4.
_LOG_Z = {4: 387.5988}


class Cox(Target):
    """ln p(z, y) = ln N(z; mu, K) + sum_i (y_i z_i - exp(z_i) / G^2) for the log-rates z of a G x G grid.

    mu = ln 126 - 1.91 / 2 and K_ij = 1.91 exp(-|i - j| / (G / 3)), |i - j| the distance of cells. The counts are
    made up: y_ij = ((3 i + 5 j) mod 7) + 4 for i, j = 0 .. G - 1. The Gaussian is normalised; ln y! is left out.

    Args:
        side: G.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side
        self.dim = side**2
        self.log_z = _LOG_Z.get(side)
        row, column = (
            index.flatten() for index in torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
        )
        place = torch.stack([row, column], -1).double()
        covariance = _VARIANCE * torch.exp(-torch.cdist(place, place) / (side / 3))
        cholesky = torch.linalg.cholesky(covariance)
        whiten = torch.linalg.solve_triangular(cholesky, torch.eye(self.dim, dtype=torch.float64), upper=False)
        counts = (3 * row + 5 * column) % 7 + 4
        self._mean = math.log(_POINTS) - _VARIANCE / 2
        self._constants = Constants(whiten=whiten, counts=counts)
        self._log_constant = -float(cholesky.diagonal().log().sum()) - 0.5 * self.dim * LOG_2PI

    def log_joint(self, z: Tensor, batch: Tensor | None = None) -> Tensor:
        constants = self._constants.like(z)
        white = (self.checked(z) - self._mean) @ constants["whiten"].T
        likelihood = (constants["counts"] * z - z.exp() / self.dim).sum(-1)
        value: Tensor = self._log_constant - 0.5 * white.square().sum(-1) + likelihood
        return value

    def reference(self) -> Tensor | None:
        """Draws by importance resampling, the same every time.

        Returns:
            (4000, D), in float64; None for more than 64 cells.
        """
        return _reference(self.side) if self.dim <= _MOST else None


@register_target(
    "cox", label="Log-Gaussian Cox process ({side} x {side})", cite="Moller, Syversveen & Waagepetersen 1998", year=1998
)
def cox(side: Annotated[int, Field(ge=2, le=64)] = 4) -> Target:
    """The log-rates of a Cox process on a small grid, with the prior that is usual for the Finnish pines.

    Args:
        side: cells along an edge; D = side^2.

    Returns:
        The target; ln Z is known for side = 4.
    """
    return Cox(side)


@functools.lru_cache(maxsize=4)
def _reference(side: int) -> Tensor:
    """Draws (4000, D) of a grid."""
    return resampled(Cox(side), 4000, 100_000, stream(0, "cox"))
