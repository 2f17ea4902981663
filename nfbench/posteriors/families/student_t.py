"""Independent Student-t distributions, one a dimension, with learned degrees of freedom: the heavy-tailed mean field.

A draw is z_i = mean_i + s_i t_i. Bailey's polar form (Bailey 1994) makes an exact t with nu degrees of freedom from two
uniform numbers, differentiably in nu: t = sqrt(nu (U^(-2/nu) - 1)) cos(2 pi V), here with U = Phi(eps_1) and
V = Phi(eps_2), so that a draw takes 2 D numbers of noise. ln U is computed as such, and U^(-2/nu) - 1 by expm1: no
uniform number is rounded to 0 or 1.

nu = 2 + softplus(raw nu) > 2: with nu <= 2 the variance is infinite, and so is E_q[ln p] for a target with Gaussian
tails, though every Monte-Carlo estimate of it looks finite.

Start: nu = 10 and s = sqrt((nu - 2) / nu), so that the mean is 0 and the variance 1.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus

from nfbench.foundation.numerics import inverse_softplus, log_normal_cdf
from nfbench.posteriors.contract import Posterior
from nfbench.posteriors.cost import Cost, combine
from nfbench.posteriors.source_posterior import SourcePosterior
from nfbench.posteriors.sources import source
from nfbench.specification.registry import register_posterior

LEAST = 2.0  # what nu stays above
START = 10.0  # nu at the start


class StudentT(SourcePosterior):
    """The base's numbers are mean and ln s, theta is raw nu of each dimension: P = D. Noise: N = 2 D, eps_1 and eps_2.

    Args:
        dim: D.
        features: F, width of the encoder's features; None for a free posterior.
        points: number of rows of a free posterior's numbers, B or 1.
    """

    def __init__(self, dim: int, features: int | None = None, *, points: int = 1) -> None:
        super().__init__(dim, 2 * dim, points)
        base = torch.cat([torch.zeros(dim), torch.full((dim,), 0.5 * math.log((START - LEAST) / START))])
        raw = inverse_softplus(torch.full((dim,), START - LEAST))
        self.source = source(base, raw, features, points=points)

    def draw(self, noise: Tensor, base: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_s = base.chunk(2, -1)
        first, second = noise.chunk(2, -1)
        nu = LEAST + softplus(theta)
        square = torch.expm1(-2 / nu * log_normal_cdf(first))  # of the radius, over nu
        cosine = torch.cos(2 * math.pi * torch.special.ndtr(second))
        z = mean + log_s.exp() * (nu * square).sqrt() * cosine
        return z, _log_density(square * cosine.square(), nu, log_s)

    def density(self, z: Tensor, base: Tensor, theta: Tensor) -> Tensor:
        mean, log_s = base.chunk(2, -1)
        nu = LEAST + softplus(theta)
        t = (z - mean) * (-log_s).exp()
        return _log_density(t.square() / nu, nu, log_s)

    def cost(self, draws: int, batch: int, points: int, *, gradient: bool) -> Cost:
        """Counted as `Identity.cost`, where Phi and ln Phi count as one operation each, as exp does.

        Numbers a draw: noise 2 D, z and ln q D + 1; with gradient as many again. A row: mean, ln s and raw nu, 3 D;
        with gradient read again and their gradient written.

        Flops a draw: ln U, the square of the radius 2, its root with nu 2, V, the cosine 2, z 3, its share of ln q 5:
        16 D. With gradient twice as many, of which half are for what is computed again.

        Flops a row: s, softplus 3, ln Gamma twice and what goes with it 8: 12 D; with gradient three times as many.

        Args:
            draws: S.
            batch: B.
            points: rows of numbers, B or 1.
            gradient: forward and backward, else forward alone.

        Returns:
            Numbers moved and flops.
        """
        D, ways = self.dim, 3 if gradient else 1
        per_draw = Cost((3 * D + 1) * (2 if gradient else 1), 16 * D * ways)
        return combine((draws * batch, per_draw), (points, Cost(3 * D * ways, 12 * D * ways)))


def _log_density(square: Tensor, nu: Tensor, log_s: Tensor) -> Tensor:
    """Ln q (S, B) from t^2 / nu (S, B, D), nu and ln s (B or 1, D), summed over dimensions."""
    half = 0.5 * (nu + 1)
    constant = torch.lgamma(half) - torch.lgamma(0.5 * nu) - 0.5 * (nu * math.pi).log() - log_s
    return (constant - half * square.log1p()).sum(-1)


@register_posterior(
    "student-t", label="Student-t mean field", cite="Bailey 1994 (polar form)", year=1994, kind="heavy-tailed"
)
def student_t(dim: int, features: int | None = None, points: int = 1) -> Posterior:
    """Independent Student-t distributions with learned degrees of freedom above 2.

    Args:
        dim: latent dimensions D.
        features: F, width of the encoder's features; None for free numbers.
        points: rows of free numbers.

    Returns:
        The posterior, which takes 2 D numbers of noise.
    """
    return StudentT(dim, features, points=points)
