"""Uncorrected Hamiltonian annealing (Geffner & Domke 2021, eq. 11): annealed Hamiltonian steps without acceptance.

z_1 ~ q_0, rho'_1 ~ N(0, I). In step m = 1, ..., M - 1 a leapfrog step on the bridge pi_m between q_0 and the target
leads from (z_m, rho'_m) to (z_(m+1), rho_(m+1)). Then the momentum is refreshed in part, rho' = eta rho +
sqrt(1 - eta^2) noise. A refreshment keeps N(0, I) and is undone by one of the same kind, so that only the momenta
around each leapfrog step count:

    ln q = ln q_0(z_1) + sum_m [ln N(rho'_m; 0, I) - ln N(rho_(m+1); 0, I)].

The paper draws rho_1 too and refreshes it before the first step; rho'_1 is drawn here, which is the same distribution.
Learned are q_0, the step of each dimension, eps / sqrt(mass), eta, and the bridges' inverse temperatures.

Start: the bound is about that of the diagonal Gaussian, as the steps are short.
"""

import functools
import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from nfbench.foundation.numerics import standard_normal_log_prob
from nfbench.kernels.diagonal import reference as diagonal
from nfbench.posteriors.auxiliary import AuxiliaryPosterior, leapfrog
from nfbench.posteriors.bridges import Bridges, bridge_slope
from nfbench.posteriors.contract import LogJoint, Posterior
from nfbench.posteriors.slope import slope
from nfbench.specification.registry import register_posterior

ETA = 0.9  # share of the momentum that a refreshment keeps


class Uha(AuxiliaryPosterior):
    """M - 1 annealed leapfrog steps. Noise: N = M D, of z_1 and of every refreshment.

    Args:
        dim: D.
        steps: M - 1, leapfrog steps.
        features: F, width of the encoder's features; None for a free posterior.
        points: number of rows of a free posterior's numbers, B or 1.

    Attributes:
        bridges: inverse temperatures of the M - 1 bridges, all below 1.
        raw_eta: (1,), logit of eta.
    """

    def __init__(self, dim: int, steps: int, features: int | None = None, *, points: int = 1) -> None:
        super().__init__(dim, (1 + steps) * dim, steps, 0, features, points=points)
        self.bridges = Bridges(steps, last=False)
        self.raw_eta = nn.Parameter(torch.full((1,), math.log(ETA / (1 - ETA))))

    def follow(self, noise: Tensor, base: Tensor, theta: Tensor, log_joint: LogJoint) -> tuple[Tensor, Tensor]:
        first, *refreshments = torch.split(noise, self.dim, -1)
        z, log_q = diagonal.draw(first, base)
        gradient, step = slope(log_joint, z), self.log_step.exp()
        eta = self.raw_eta.sigmoid()
        rho = None
        for b, fresh in zip(self.bridges().unbind(0), refreshments, strict=True):
            rho = fresh if rho is None else eta * rho + (1 - eta.square()).sqrt() * fresh
            log_q = log_q + standard_normal_log_prob(rho)
            force = functools.partial(bridge_slope, base=base, b=b)
            z, rho, gradient = leapfrog(z, rho, gradient, step, log_joint, force)
            log_q = log_q - standard_normal_log_prob(rho)
        return z, log_q


@register_posterior(
    "uha", label="UHA ({steps} steps)", cite="Geffner & Domke 2021, eq. 11", year=2021, kind="auxiliary"
)
def uha(dim: int, features: int | None = None, points: int = 1, steps: Annotated[int, Field(ge=1)] = 4) -> Posterior:
    """Uncorrected Hamiltonian annealing: leapfrog steps on bridges from the base to the target.

    Args:
        dim: latent dimensions D.
        features: F, width of the encoder's features; None for free numbers.
        points: rows of free numbers.
        steps: leapfrog steps, one a bridge; a draw takes one gradient of the target more.

    Returns:
        The posterior, which takes (1 + steps) D numbers of noise.
    """
    return Uha(dim, steps, features, points=points)
