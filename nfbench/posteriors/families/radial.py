"""Radial flow (Rezende & Mohamed 2015, Sec 4.1, eq. 14).

A map is f(z) = z + beta_hat (z - c) / (alpha + r) with r = |z - c|, and
ln|det| = (D - 1) ln(1 + beta_hat / (alpha + r)) + ln(1 + alpha beta_hat / (alpha + r)^2). App. A.2 makes it invertible:
beta_hat = -alpha + softplus(raw beta). The paper asks for alpha > 0 without saying how: alpha = softplus(raw alpha).

Start: exactly the identity, with centres ~ N(0, 1) (`Radial.initial`); the paper gives none.
"""

import torch
from torch import Tensor

from nfbench.kernels.radial import reference
from nfbench.posteriors.contract import Flow
from nfbench.posteriors.cost import Cost
from nfbench.posteriors.map_flow import KernelFlow, MapCost
from nfbench.specification.registry import register_posterior


class Radial(KernelFlow):
    """K radial maps, theta = (centre, raw alpha, raw beta) of each: P = K (D + 2)."""

    kernel = reference

    def initial(self) -> Tensor:
        """Centres ~ N(0, 1) and softplus(beta) = alpha: exactly the identity."""
        raw = torch.zeros(self.depth, 2)
        return torch.cat([torch.randn(self.depth, self.dim), raw], -1).flatten()

    def map_cost(self, *, gradient: bool) -> MapCost:
        """One map (`Identity.cost` says how it is counted).

        Numbers: theta read, D + 2 a row; with gradient read again and its gradient written, and the radius of each draw
        written and read back, 2 a draw: z is rebuilt from it.

        Flops a draw: r = |z - c| 3 D, the multiple of z - c added to z 2 D, ln|det| and scalars 14. With gradient
        also: z - c and z rebuilt 3 D, its product with dz 2 D - 1, dz passed on 4 D, the sum for c D, scalars 30.

        Flops a row: two softplus and what follows from alpha and s 9; with gradient that again, and 4 to go back.

        Args:
            gradient: forward and backward, else forward alone.

        Returns:
            The costs for each draw and for each row of theta.
        """
        D = self.dim
        if gradient:
            return MapCost(Cost(2, 15 * D + 43), Cost(3 * (D + 2), 22))
        return MapCost(Cost(0, 5 * D + 14), Cost(D + 2, 9))


@register_posterior("radial", label="Radial flow", cite="Rezende & Mohamed 2015, eq. 14", year=2015, kind="residual")
def radial(dim: int, depth: int = 8) -> Flow:
    """Radial flow: K maps z + beta_hat (z - c)/(alpha + |z - c|), constrained as in the paper's App. A.2.

    Args:
        dim: latent dimensions D.
        depth: number of maps.

    Returns:
        The chain, whose numbers are all in theta.
    """
    return Radial(dim, depth)
