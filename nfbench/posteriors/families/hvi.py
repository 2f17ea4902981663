"""Hamiltonian variational inference (Salimans, Kingma & Welling 2015), with one transition of l leapfrog steps.

z_0 ~ q_0(z|x); a momentum v ~ q(v|x, z_0), Gaussian; l leapfrog steps on the target's ln p(x, z), prior included, lead
to (z, v'); the reverse model r(v'|x, z), Gaussian, says which momentum would have led there. The steps preserve volume:

    ln q = ln q_0(z_0) + ln q(v|x, z_0) - ln r(v'|x, z).

There is no accept step and no annealing. Mean and ln sigma of both momentum models are functions of z, of the target's
gradient there, and of the context of a data point: an affine map plus a tanh network (`auxiliary.Responses`). All of
it is learned together: q_0, both momentum models, and a step size for each dimension, eps / sqrt(mass).

Start: both momentum models are N(0, I) and steps are short, so that the bound is about that of the diagonal Gaussian.
"""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from nfbench.foundation.numerics import standard_normal_log_prob
from nfbench.kernels.diagonal import reference as diagonal
from nfbench.posteriors.auxiliary import AuxiliaryPosterior, Responses, leapfrog
from nfbench.posteriors.context_flow import Context, Units
from nfbench.posteriors.contract import LogJoint, Posterior
from nfbench.posteriors.slope import slope
from nfbench.specification.registry import register_posterior


class Hvi(AuxiliaryPosterior):
    """One transition of l leapfrog steps. Noise: N = 2 D, of z_0 and of the momentum.

    Args:
        dim: D.
        steps: l, leapfrog steps.
        hidden: H, units of the momentum models' networks.
        context: C, numbers of each data point that the momentum models see; P = C.
        features: F, width of the encoder's features; None for a free posterior.
        points: number of rows of a free posterior's numbers, B or 1.

    Attributes:
        momenta: q(v|x, z_0) and r(v'|x, z), from a point and the target's gradient there to mean and ln sigma.
    """

    def __init__(
        self, dim: int, steps: int, hidden: int, context: int, features: int | None = None, *, points: int = 1
    ) -> None:
        super().__init__(dim, 2 * dim, steps, context, features, points=points)
        self.steps = steps
        self.momenta = Responses(2, dim, 2 * dim, hidden, context)

    def follow(self, noise: Tensor, base: Tensor, theta: Tensor, log_joint: LogJoint) -> tuple[Tensor, Tensor]:
        first, second = noise.chunk(2, -1)
        forth, back = self.momenta.functions(theta)
        z, log_q = diagonal.draw(first, base)
        gradient = slope(log_joint, z)
        mean, log_sigma = forth(z, gradient).chunk(2, -1)
        v = mean + log_sigma.exp() * second
        log_q = log_q + standard_normal_log_prob(second) - log_sigma.sum(-1)
        step = self.log_step.exp()
        for _ in range(self.steps):
            z, v, gradient = leapfrog(z, v, gradient, step, log_joint)
        mean, log_sigma = back(z, gradient).chunk(2, -1)
        log_r = standard_normal_log_prob((v - mean) * (-log_sigma).exp()) - log_sigma.sum(-1)
        return z, log_q - log_r


@register_posterior(
    "hvi",
    label="HVI ({steps} leapfrog)",
    cite="Salimans, Kingma & Welling 2015",
    year=2015,
    kind="auxiliary",
)
def hvi(
    dim: int,
    features: int | None = None,
    points: int = 1,
    steps: Annotated[int, Field(ge=0)] = 4,
    hidden: Units = 32,
    context: Context = 16,
) -> Posterior:
    """Hamiltonian variational inference: leapfrog steps along the target's gradient, and a reverse model.

    Args:
        dim: latent dimensions D.
        features: F, width of the encoder's features; None for free numbers.
        points: rows of free numbers.
        steps: leapfrog steps; a draw takes one gradient of the target more than there are steps.
        hidden: units of the networks that give a momentum's mean and scale.
        context: numbers for each data point that these networks see; 0: they see z and the gradient only.

    Returns:
        The posterior, which takes 2 D numbers of noise.
    """
    return Hvi(dim, steps, hidden, context, features, points=points)
