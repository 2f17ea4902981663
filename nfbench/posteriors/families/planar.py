"""Planar flow (Rezende & Mohamed 2015, eq. 10-13)."""

import math

import torch
from torch import Tensor

from nfbench.kernels import shapes
from nfbench.kernels.planar import reference as kernel
from nfbench.posteriors.contract import Cost, Flow, Identity, combine
from nfbench.specification.registry import posterior

IDENTITY = math.log(math.e - 1)  # the w.u at which u_hat is orthogonal to w (m = 0)


class Planar(Flow):
    """K planar maps, theta = (w, u, b) of each: P = K (2 D + 1)."""

    checks = True

    def __init__(self, dim: int, depth: int) -> None:
        super().__init__(dim, depth, depth * (2 * dim + 1))

    def _maps(self, theta: Tensor) -> Tensor:
        return theta.reshape(len(theta), self.depth, 2 * self.dim + 1)

    def forward(self, z: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        shapes.check_flow("planar", z, theta, self.dim, self.num_params)
        return kernel.chain(z, self._maps(theta))

    def draw(self, noise: Tensor, base: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        return kernel.draw(noise, base, theta, self.depth)

    def inverse(self, z: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        shapes.check_flow("planar", z, theta, self.dim, self.num_params)
        return kernel.inverse(z, self._maps(theta))

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

    def cost(self, draws: int, batch: int, points: int, *, gradient: bool) -> Cost:
        """What the base needs (`Identity.cost` says how it is counted) and, for each of the K maps, besides.

        Numbers: theta read, 2 D + 1 a row; with gradient read again and its gradient written, and the activation h of
        each draw written and read back, 2 a draw: z is rebuilt from it.

        Flops a draw: w.z + b 2 D, u_hat h added to z 2 D, h and ln(h^2 + s (1 - h^2)) 7. With gradient also: z rebuilt
        2 D, dz.u_hat 2 D - 1, the sums of h dz and of da z 4 D, da w added to dz 2 D, da = d ln q/da and sums 12.

        Flops a row: u_hat of w and u 6 D + 4; with gradient that again, and 10 D + 7 to go back through it.
        """
        D = self.dim
        per_draw, per_row = Cost(0, 4 * D + 7), Cost(2 * D + 1, 6 * D + 4)
        if gradient:
            per_draw, per_row = Cost(2, 14 * D + 18), Cost(3 * (2 * D + 1), 22 * D + 15)
        base = Identity(D).cost(draws, batch, points, gradient=gradient)
        return combine((1, base), (self.depth * draws * batch, per_draw), (self.depth * points, per_row))


@posterior("planar", label="Planar flow", cite="Rezende & Mohamed 2015, eq. 10", year=2015)
def planar(dim: int, depth: int = 8) -> Flow:
    """Planar flow: K maps z + u_hat tanh(w.z + b), u_hat constrained as in the paper's App. A.1."""
    return Planar(dim, depth)
