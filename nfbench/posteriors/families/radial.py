"""Radial flow (Rezende & Mohamed 2015, eq. 14)."""

import torch
from torch import Tensor

from nfbench.kernels import shapes
from nfbench.kernels.radial import reference as kernel
from nfbench.posteriors.contract import Cost, Flow, Identity, combine
from nfbench.specification.registry import posterior


class Radial(Flow):
    """K radial maps, theta = (centre, raw alpha, raw beta) of each: P = K (D + 2).

    alpha = softplus(raw alpha), as the paper asks for alpha > 0 without saying how;
    beta_hat = -alpha + softplus(raw beta) (App. A.2).
    """

    checks = True

    def __init__(self, dim: int, depth: int) -> None:
        super().__init__(dim, depth, depth * (dim + 2))

    def _maps(self, theta: Tensor) -> Tensor:
        return theta.reshape(len(theta), self.depth, self.dim + 2)

    def forward(self, z: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        shapes.check_flow("radial", z, theta, self.dim, self.num_params)
        return kernel.chain(z, self._maps(theta))

    def draw(self, noise: Tensor, base: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        return kernel.draw(noise, base, theta, self.depth)

    def inverse(self, z: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        shapes.check_flow("radial", z, theta, self.dim, self.num_params)
        return kernel.inverse(z, self._maps(theta))

    def initial(self) -> Tensor:
        """Centres ~ N(0, 1) and softplus(beta) = alpha: exactly the identity."""
        raw = torch.zeros(self.depth, 2)
        return torch.cat([torch.randn(self.depth, self.dim), raw], -1).flatten()

    def cost(self, draws: int, batch: int, points: int, *, gradient: bool) -> Cost:
        """What the base needs (`Identity.cost` says how it is counted) and, for each of the K maps, besides.

        Numbers: theta read, D + 2 a row; with gradient read again and its gradient written, and the radius of each draw
        written and read back, 2 a draw: z is rebuilt from it.

        Flops a draw: r = |z - c| 3 D, the multiple of z - c added to z 2 D, ln|det| and scalars 14. With gradient
        also: z - c and z rebuilt 3 D, its product with dz 2 D - 1, dz passed on 4 D, the sum for c D, scalars 30.

        Flops a row: two softplus and what follows from alpha and s 9; with gradient that again, and 4 to go back.
        """
        D = self.dim
        per_draw, per_row = Cost(0, 5 * D + 14), Cost(D + 2, 9)
        if gradient:
            per_draw, per_row = Cost(2, 15 * D + 43), Cost(3 * (D + 2), 22)
        base = Identity(D).cost(draws, batch, points, gradient=gradient)
        return combine((1, base), (self.depth * draws * batch, per_draw), (self.depth * points, per_row))


@posterior("radial", label="Radial flow", cite="Rezende & Mohamed 2015, eq. 14", year=2015)
def radial(dim: int, depth: int = 8) -> Flow:
    """Radial flow: K maps z + beta_hat (z - c)/(alpha + |z - c|), constrained as in the paper's App. A.2."""
    return Radial(dim, depth)
