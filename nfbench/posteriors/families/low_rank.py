"""The Gaussian whose covariance is low rank plus diagonal (Ong, Nott & Smith 2018).

A draw is z = mean + d o eps + V xi with d = exp(ln d) > 0, V a D x R matrix and D + R numbers of noise (eps, xi), so
that q = N(mean, diag(d^2) + V V^T).

ln q needs the determinant and the inverse of that matrix. With W = diag(1/d) V, the columns stacked as A = [W; I_R] and
A = Q T with orthonormal Q and triangular T: ln det = 2 sum ln d + 2 sum ln|t_ii|, and the quadratic form of
u = (z - mean) / d is ||(I - Q Q^T) [u; 0]||^2 (Woodbury's identity as a least-squares problem). At a draw that is
||n||^2 - ||Q^T n||^2 with n = (eps, -xi). A has full rank whatever V is, and is factored in float64: forming I + W^T W,
as the identity is usually written, squares the condition number.

Start: the entries of V ~ N(0, 0.01 / R): V = 0 would be a saddle, as only V V^T is seen.
"""

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from nfbench.foundation.numerics import LOG_2PI
from nfbench.posteriors.contract import Posterior
from nfbench.posteriors.cost import Cost, combine
from nfbench.posteriors.source_posterior import SourcePosterior
from nfbench.posteriors.sources import source
from nfbench.posteriors.triangular import by_rows
from nfbench.specification.registry import register_posterior


class LowRank(SourcePosterior):
    """The base's numbers are mean and ln d, theta is V row by row: P = D R. Noise: N = D + R.

    Args:
        dim: D.
        rank: R.
        features: F, width of the encoder's features; None for a free posterior.
        points: number of rows of a free posterior's numbers, B or 1.
    """

    def __init__(self, dim: int, rank: int, features: int | None = None, *, points: int = 1) -> None:
        super().__init__(dim, dim + rank, points)
        self.rank = rank
        start = torch.randn(dim * rank) * (0.1 / math.sqrt(rank))
        self.source = source(torch.zeros(2 * dim), start, features, points=points, terms=rank)

    def factors(self, theta: Tensor) -> Tensor:
        """Split theta into V.

        Args:
            theta: (B or 1, D R).

        Returns:
            V (B or 1, D, R).
        """
        return theta.reshape(len(theta), self.dim, self.rank)

    def _orthonormal(self, log_d: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Q (B or 1, D + R, R) and sum ln|t_ii| (B or 1,) of A = [V / d; I] = Q T, in float64."""
        w = v.double() * (-log_d.double()).exp().unsqueeze(-1)
        eye = torch.eye(self.rank, dtype=w.dtype, device=w.device).expand(len(w), -1, -1)
        q, t = torch.linalg.qr(torch.cat([w, eye], 1))
        return q, t.diagonal(dim1=-2, dim2=-1).abs().log().sum(-1)

    def draw(self, noise: Tensor, base: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_d = base.chunk(2, -1)
        eps, xi = noise[..., : self.dim], noise[..., self.dim :]
        v = self.factors(theta)
        q, log_t = self._orthonormal(log_d, v)
        z = mean + log_d.exp() * eps + by_rows(xi, v.mT)
        signed = torch.cat([eps, -xi], -1)
        form = signed.square().sum(-1) - by_rows(signed, q.to(noise.dtype)).square().sum(-1)
        return z, -0.5 * (form + self.dim * LOG_2PI) - log_d.sum(-1) - log_t.to(noise.dtype)

    def density(self, z: Tensor, base: Tensor, theta: Tensor) -> Tensor:
        mean, log_d = base.double().chunk(2, -1)
        q, log_t = self._orthonormal(log_d, self.factors(theta))
        u = (z - mean) * (-log_d).exp()
        inside = by_rows(u, q[:, : self.dim])
        apart = torch.cat([u, u.new_zeros(*u.shape[:-1], self.rank)], -1) - by_rows(inside, q.mT)
        log_q: Tensor = -0.5 * (apart.square().sum(-1) + self.dim * LOG_2PI) - log_d.sum(-1) - log_t
        return log_q.to(z.dtype)

    def cost(self, draws: int, batch: int, points: int, *, gradient: bool) -> Cost:
        """Counted as `Identity.cost`, by Woodbury's identity with C = I + W^T W = L L^T and e = L^-1 (W^T eps - xi).

        Numbers a draw: noise D + R, z and ln q D + 1; with gradient noise again, the gradients of z and ln q, and e
        written and read back. A row: mean, ln d and V, 2 D + D R; with gradient read again and their gradient written.

        Flops a draw: z = mean + d eps + V xi 2 D + 2 D R; W^T eps - xi 2 D R, e R^2, the squares of eps, xi and e and
        their sums 2 D + 4 R + 1. With gradient also: sums for mean, ln d and ln q 3 D + 1, of dz xi^T 2 D R; de and
        back through L R^2 + R, the sums for W 2 D R and for L R^2.

        Flops a row: d, 1/d, W and the sum of ln d 3 D + D R; C, of which half is needed, D R (R + 1); L R^3 / 3, ln det
        2 R; with gradient twice as many again.

        Args:
            draws: S.
            batch: B.
            points: rows of numbers, B or 1.
            gradient: forward and backward, else forward alone.

        Returns:
            Numbers moved and flops.
        """
        D, R = self.dim, self.rank
        row = 3 * D + D * R + D * R * (R + 1) + R**3 // 3 + 2 * R
        numbers, flops = 2 * D + R + 1, 4 * D + 4 * D * R + R * R + 4 * R + 1
        if gradient:
            back = 3 * D + 1 + 4 * D * R + 2 * R * R + R
            per_draw, per_row = Cost(2 * numbers + 2 * R, flops + back), Cost(3 * (2 * D + D * R), 3 * row)
        else:
            per_draw, per_row = Cost(numbers, flops), Cost(2 * D + D * R, row)
        return combine((draws * batch, per_draw), (points, per_row))


@register_posterior(
    "low-rank",
    label="Low-rank Gaussian (R = {rank})",
    cite="Ong, Nott & Smith 2018",
    year=2018,
    kind="gaussian",
    linear=True,
)
def low_rank(
    dim: int, features: int | None = None, points: int = 1, rank: Annotated[int, Field(ge=1)] = 4
) -> Posterior:
    """Gaussian with covariance diag(d^2) + V V^T, V of a given rank.

    Args:
        dim: latent dimensions D.
        features: F, width of the encoder's features; None for free numbers.
        points: rows of free numbers.
        rank: columns of V.

    Returns:
        The posterior, which takes D + rank numbers of noise.
    """
    return LowRank(dim, rank, features, points=points)
