"""The mixture of diagonal Gaussians, q(z) = sum_k pi_k N(z; mu_k, diag(s_k^2)), with draws that are differentiable.

A draw takes D numbers of noise by the Rosenblatt transform: for d = 1, ..., D in turn, z_d solves
F_d(z_d) = Phi(eps_d), where F_d(z) = sum_k w_k Phi((z - mu_kd) / s_kd) is the distribution function of z_d given
z_1, ..., z_(d-1), with w_k proportional to pi_k prod_(j<d) N(z_j; mu_kj, s_kj^2). So no component is chosen, and the
implicit function theorem gives the gradients of z in all numbers, the weights' among them (Graves 2016; Figurnov et al.
2018). A component that is chosen by a further uniform number has no path to the weights, and their gradient is biased.

All of it is computed in float64, whatever the dtype of the numbers, as `kernels.layers.mixture_reference` says.

Start: means apart, as equal components would never separate, with the moments of the standard normal (`_start`).
"""

import math
from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from nfbench.foundation.numerics import LOG_2PI
from nfbench.kernels.layers import mixture as kernel
from nfbench.kernels.layers.mixture_reference import log_normal, log_tail
from nfbench.posteriors.contract import Posterior
from nfbench.posteriors.cost import Cost, combine
from nfbench.posteriors.source_posterior import SourcePosterior
from nfbench.posteriors.sources import source
from nfbench.specification.registry import register_posterior

SPREAD = 0.5  # root mean square of the means in each dimension at the start


class Components(NamedTuple):
    """A mixture's numbers in float64.

    Attributes:
        log_weights: (B or 1, C).
        means: (B or 1, C, D).
        log_scales: (B or 1, C, D).
    """

    log_weights: Tensor
    means: Tensor
    log_scales: Tensor


class Mixture(SourcePosterior):
    """All numbers are the base's: W = C (2 D + 1) - 1, means, ln scales and C - 1 logits, as the last logit is 0.

    Args:
        dim: D.
        components: C.
        features: F, width of the encoder's features; None for a free posterior.
        points: number of rows of a free posterior's numbers, B or 1.
    """

    def __init__(self, dim: int, components: int, features: int | None = None, *, points: int = 1) -> None:
        super().__init__(dim, dim, points)
        self.components = components
        self.source = source(_start(dim, components), torch.zeros(0), features, points=points)

    def parts(self, base: Tensor) -> Components:
        """Split the numbers.

        Args:
            base: (B or 1, C (2 D + 1) - 1).

        Returns:
            Weights, means and scales.
        """
        rows, size = len(base), self.components * self.dim
        numbers = base.double()
        means, log_scales = (
            part.reshape(rows, self.components, self.dim) for part in (numbers[:, :size], numbers[:, size : 2 * size])
        )
        logits = torch.nn.functional.pad(numbers[:, 2 * size :], (0, 1))
        return Components(logits.log_softmax(-1), means, log_scales)

    def draw(self, noise: Tensor, base: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        z, log_q = kernel.draw(noise.double(), *self.parts(base))
        return z.to(noise.dtype), log_q.to(noise.dtype)

    def density(self, z: Tensor, base: Tensor, theta: Tensor) -> Tensor:
        log_weights, means, log_scales = self.parts(base)
        t = (z.double().unsqueeze(-2) - means) * (-log_scales).exp()
        log_normals = -0.5 * (t.square().sum(-1) + self.dim * LOG_2PI) - log_scales.sum(-1)
        log_q: Tensor = (log_weights + log_normals).logsumexp(-1)
        return log_q.to(z.dtype)

    def rosenblatt(self, z: Tensor, base: Tensor) -> Tensor:
        """The noise whose draw is z, in closed form: eps_d = Phi^-1(F_d(z_d)).

        Args:
            z: (S, B, D).
            base: (B or 1, C (2 D + 1) - 1).

        Returns:
            (S, B, D), in float64.
        """
        log_weights, means, log_scales = self.parts(base)
        log_joint, columns = log_weights, []
        for value, mean, log_scale in zip(z.double().unbind(-1), means.unbind(-1), log_scales.unbind(-1), strict=True):
            weights = log_joint - log_joint.logsumexp(-1, keepdim=True)
            below, above = (log_tail(value, side, weights, mean, log_scale).exp() for side in (1.0, -1.0))
            columns.append(torch.where(below < above, torch.special.ndtri(below), -torch.special.ndtri(above)))
            log_joint = log_joint + log_normal(value, mean, log_scale)
        return torch.stack(columns, -1)

    def cost(self, draws: int, batch: int, points: int, *, gradient: bool) -> Cost:
        """Counted as `Identity.cost`, the search for a root as the one evaluation at the root, which is the least.

        Numbers a draw: noise D, z and ln q D + 1; with gradient as many again. A row: C (2 D + 1) - 1; with gradient
        read again and their gradient written.

        Flops a draw: ln Phi(eps) D; for each dimension and component t = (z - mu) / s 2, ln Phi(t) and its share of the
        sum over components 4, ln N(t) and its share of ln w 4; ln q 3 C. With gradient three times as many.

        Flops a row: 1 / s C D, the weights 4 C; with gradient three times as many.

        Args:
            draws: S.
            batch: B.
            points: rows of numbers, B or 1.
            gradient: forward and backward, else forward alone.

        Returns:
            Numbers moved and flops.
        """
        D, C, ways = self.dim, self.components, 3 if gradient else 1
        per_draw = Cost((2 * D + 1) * (2 if gradient else 1), (10 * C * D + 3 * C + D) * ways)
        return combine((draws * batch, per_draw), (points, Cost((C * (2 * D + 1) - 1) * ways, C * (D + 4) * ways)))


def _start(dim: int, components: int) -> Tensor:
    """The numbers (W,) at the start: equal scales and weights, with mean 0 and variance 1 in each dimension."""
    means = torch.randn(components, dim)
    means = means - means.mean(0)
    spread = SPREAD if components > 1 else 0.0
    means = means * (spread / means.square().mean(0).sqrt().clamp_min(1e-6))
    log_scale = 0.5 * math.log(1 - spread**2)
    return torch.cat([means.flatten(), torch.full((components * dim,), log_scale), torch.zeros(components - 1)])


@register_posterior(
    "mixture",
    label="Mixture of {components} Gaussians",
    cite="Graves 2016; Figurnov et al. 2018",
    year=2018,
    kind="mixture",
)
def mixture(
    dim: int, features: int | None = None, points: int = 1, components: Annotated[int, Field(ge=1)] = 4
) -> Posterior:
    """Mixture of diagonal Gaussians, drawn by the Rosenblatt transform with implicit gradients.

    Args:
        dim: latent dimensions D.
        features: F, width of the encoder's features; None for free numbers.
        points: rows of free numbers.
        components: number of Gaussians.

    Returns:
        The posterior, which takes D numbers of noise.
    """
    return Mixture(dim, components, features, points=points)
