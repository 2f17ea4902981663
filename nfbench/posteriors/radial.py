"""Radial flow (Rezende & Mohamed 2015, eq. 14)."""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from nfbench.kernels import radial as kernel
from nfbench.posteriors.base import Flow
from nfbench.registry import posterior


class Radial(Flow):
    """K radial maps, theta = (centre, raw alpha, raw beta) of each: P = K (D + 2).

    alpha = softplus(raw alpha), as the paper asks for alpha > 0 without saying how;
    beta_hat = -alpha + softplus(raw beta) (App. A.2).
    """

    def __init__(self, dim: int, depth: int) -> None:
        super().__init__(dim, depth, depth * (dim + 2))

    def _split(self, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        maps = theta.reshape(len(theta), self.depth, self.dim + 2)
        centre, raw = torch.split(maps, [self.dim, 2], -1)
        alpha, s = softplus(raw).unbind(-1)
        return centre, alpha, s

    def forward(self, z: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        return kernel.chain(z, *self._split(theta))

    def inverse(self, z: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        return kernel.inverse(z, *self._split(theta))

    def initial(self) -> Tensor:
        """Centres ~ N(0, 1) and softplus(beta) = alpha: exactly the identity."""
        raw = torch.zeros(self.depth, 2)
        return torch.cat([torch.randn(self.depth, self.dim), raw], -1).flatten()


@posterior("radial", label="Radial flow", cite="Rezende & Mohamed 2015, eq. 14", year=2015)
def radial(dim: int, depth: int = 8) -> Flow:
    """Radial flow: K maps z + beta_hat (z - c)/(alpha + |z - c|), constrained as in the paper's App. A.2."""
    return Radial(dim, depth)
