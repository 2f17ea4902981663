"""The Gaussian with a full covariance matrix (Challis & Barber 2013; the full-rank family of ADVI).

A draw is z = L z_0 with z_0 = mean + sigma noise from the diagonal base, so that q = N(L mean, L diag(sigma^2) L^T). L
is lower triangular with a unit diagonal, as sigma already is the diagonal of a Cholesky factor: ln|det L| = 0, and no
two settings of the numbers give the same q. The base's mean goes through L too.

Start: L = I.
"""

import torch
from torch import Tensor

from nfbench.posteriors.contract import Flow
from nfbench.posteriors.cost import Cost
from nfbench.posteriors.map_flow import MapCost
from nfbench.posteriors.triangular import TriangularFlow, count
from nfbench.specification.registry import register_posterior


class FullCovariance(TriangularFlow):
    """One linear map by a unit lower triangular matrix: theta is its numbers below the diagonal, row by row.

    P = D (D - 1) / 2. `UnitTriangular` says how the numbers are scaled.

    Args:
        dim: D.
    """

    name = "full-covariance"

    def __init__(self, dim: int) -> None:
        super().__init__(dim, count(dim))

    def initial(self) -> Tensor:
        """Zeros: the map is the identity."""
        return torch.zeros(self.num_params)

    def map_cost(self, *, gradient: bool) -> MapCost:
        """The map (`Identity.cost` says how it is counted), with P = D (D - 1) / 2.

        Numbers: theta read, P a row; with gradient read again and its gradient written. Nothing is saved: z_0 is
        rebuilt from the noise.

        Flops a draw: a product and a sum for each number below the diagonal, 2 P. With gradient also: z_0 rebuilt 2 D,
        L^T dz 2 P, the sum of dz z_0^T 2 P.

        Flops a row: the numbers scaled P, with gradient twice and their gradient scaled P.

        Args:
            gradient: forward and backward, else forward alone.

        Returns:
            The costs for each draw and for each row of theta.
        """
        P = self.num_params
        if gradient:
            return MapCost(Cost(0, 6 * P + 2 * self.dim), Cost(3 * P, 3 * P))
        return MapCost(Cost(0, 2 * P), Cost(P, P))


@register_posterior(
    "full-covariance",
    label="Full-covariance Gaussian",
    cite="Challis & Barber 2013",
    year=2013,
    kind="gaussian",
    volume_preserving=True,
    linear=True,
    autoregressive=True,
)
def full_covariance(dim: int) -> Flow:
    """Gaussian with a full covariance matrix, by a unit lower triangular matrix after the diagonal base.

    Args:
        dim: latent dimensions D.

    Returns:
        The linear map, whose numbers are all in theta.
    """
    return FullCovariance(dim)
