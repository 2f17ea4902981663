"""Planar flow (Rezende & Mohamed 2015, eq. 10-13)."""

import math

import torch
from torch import Tensor

from nfbench.kernels import planar as kernel
from nfbench.posteriors.base import Flow
from nfbench.registry import posterior

IDENTITY = math.log(math.e - 1)  # the w.u at which u_hat is orthogonal to w (m = 0)


class Planar(Flow):
    """K planar maps, theta = (w, u, b) of each: P = K (2 D + 1)."""

    def __init__(self, dim: int, depth: int) -> None:
        super().__init__(dim, depth, depth * (2 * dim + 1))

    def _split(self, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        maps = theta.reshape(len(theta), self.depth, 2 * self.dim + 1)
        w, u, b = torch.split(maps, [self.dim, self.dim, 1], -1)
        return w, u, b.squeeze(-1)

    def forward(self, z: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        return kernel.chain(z, *self._split(theta))

    def inverse(self, z: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        return kernel.inverse(z, *self._split(theta))

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


@posterior("planar", label="Planar flow", cite="Rezende & Mohamed 2015, eq. 10", year=2015)
def planar(dim: int, depth: int = 8) -> Flow:
    """Planar flow: K maps z + u_hat tanh(w.z + b), u_hat constrained as in the paper's App. A.1."""
    return Planar(dim, depth)
