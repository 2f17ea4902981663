"""Planar flow (Rezende & Mohamed 2015, Sec 4.1, eq. 10-13).

A map is f(z) = z + u_hat tanh(w.z + b), with ln|det| = ln|1 + u_hat.w (1 - tanh^2(w.z + b))|. App. A.1 makes it
invertible: u_hat = u + (m(w.u) - w.u) w / ||w||^2 with m(x) = -1 + ln(1 + e^x), so that w.u_hat > -1.

Start: nearly the identity, volume preserving (`Planar.initial`); the paper gives none.
"""

import math

import torch
from torch import Tensor

from nfbench.kernels.planar import reference
from nfbench.posteriors.contract import Flow
from nfbench.posteriors.cost import Cost
from nfbench.posteriors.map_flow import KernelFlow, MapCost
from nfbench.specification.registry import register_posterior

IDENTITY = math.log(math.e - 1)  # the w.u at which u_hat is orthogonal to w (m = 0)


class Planar(KernelFlow):
    """K planar maps, theta = (w, u, b) of each: P = K (2 D + 1)."""

    kernel = reference

    def initial(self) -> Tensor:
        """Random w and b, and u = ln(e - 1) w / ||w||^2 + a small v orthogonal to w, so that w.u_hat = 0.

        w ~ N(0, 2/D) keeps the spread of w.z the same at every D, so that tanh is not saturated; b ~ N(0, 1). With
        v = 0 the chain is the identity; v ~ N(0, 0.01 / K) is volume preserving and tells the maps apart.
        """
        w = torch.randn(self.depth, self.dim) * math.sqrt(2 / self.dim)
        unit = w / w.norm(dim=-1, keepdim=True)
        v = torch.randn(self.depth, self.dim) * (0.1 / math.sqrt(max(1, self.depth)))
        u = IDENTITY * unit / w.norm(dim=-1, keepdim=True) + v - (v * unit).sum(-1, keepdim=True) * unit
        return torch.cat([w, u, torch.randn(self.depth, 1)], -1).flatten()

    def map_cost(self, *, gradient: bool) -> MapCost:
        """One map (`Identity.cost` says how it is counted).

        Numbers: theta read, 2 D + 1 a row; with gradient read again and its gradient written, and the activation h of
        each draw written and read back, 2 a draw: z is rebuilt from it.

        Flops a draw: w.z + b 2 D, u_hat h added to z 2 D, h and ln(h^2 + s (1 - h^2)) 7. With gradient also: z rebuilt
        2 D, dz.u_hat 2 D - 1, the sums of h dz and of da z 4 D, da w added to dz 2 D, da = d ln q/da and sums 12.

        Flops a row: u_hat of w and u 6 D + 4; with gradient that again, and 10 D + 7 to go back through it.

        Args:
            gradient: forward and backward, else forward alone.

        Returns:
            The costs for each draw and for each row of theta.
        """
        D = self.dim
        if gradient:
            return MapCost(Cost(2, 14 * D + 18), Cost(3 * (2 * D + 1), 22 * D + 15))
        return MapCost(Cost(0, 4 * D + 7), Cost(2 * D + 1, 6 * D + 4))


@register_posterior("planar", label="Planar flow", cite="Rezende & Mohamed 2015, eq. 10", year=2015, kind="residual")
def planar(dim: int, depth: int = 8) -> Flow:
    """Planar flow: K maps z + u_hat tanh(w.z + b), u_hat constrained as in the paper's App. A.1.

    Args:
        dim: latent dimensions D.
        depth: number of maps.

    Returns:
        The chain, whose numbers are all in theta.
    """
    return Planar(dim, depth)
