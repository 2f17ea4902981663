"""The posterior of a flow: a diagonal Gaussian pushed through it."""

import torch
from torch import Tensor

from nfbench.foundation.errors import InputError
from nfbench.foundation.numerics import standard_normal_log_prob
from nfbench.kernels import shapes
from nfbench.posteriors.contract import Flow
from nfbench.posteriors.cost import Cost
from nfbench.posteriors.source_posterior import SourcePosterior
from nfbench.posteriors.sources import source
from nfbench.specification.choices import Head


class FlowPosterior(SourcePosterior):
    """A diagonal Gaussian q_0 pushed through a flow: ln q_K(z_K) = ln q_0(z_0) - ln|det dz_K/dz_0| (paper, eq. 7).

    Mean, ln sigma and theta come from one source, free or amortized; the flow does not know which.

    Args:
        flow: the chain of maps.
        features: F, width of the encoder's features; None for a free posterior.
        points: number of rows of a free posterior's numbers, B or 1.
        head: how features give the numbers of the maps (`nfbench.posteriors.sources.Amortized`).

    Raises:
        InputError: the flow's `initial` has not the shape (P,).
    """

    def __init__(self, flow: Flow, features: int | None = None, *, points: int = 1, head: Head = "scaled") -> None:
        base, theta = torch.zeros(2 * flow.dim), flow.initial()
        if theta.shape != (flow.num_params,):
            shape, expected = tuple(theta.shape), (flow.num_params,)
            raise InputError(f"posterior: initial() of {type(flow).__name__} has shape {shape}: expected {expected}")
        super().__init__(flow.dim, flow.dim, points)
        self.flow = flow
        self.has_density = flow.invertible
        self.source = source(base, theta, features, points=points, terms=flow.depth, head=head)
        self._checks_draws = not _checks(flow)

    def check(self, draws: Tensor, base: Tensor, theta: Tensor, name: str) -> None:
        if name != "noise" or self._checks_draws:
            shapes.check_draw("posterior", draws, base, theta, lambda _: self.flow.num_params, 1, name)

    def numbers(self, features: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """The numbers of the base and of the maps.

        Args:
            features: of the encoder (B, F); None for a free posterior.

        Returns:
            Mean (B or 1, D), ln sigma (B or 1, D) and theta (B or 1, P).
        """
        base, theta = self.source(features)
        mean, log_sigma = base.chunk(2, -1)
        return mean, log_sigma, theta

    def draw(self, noise: Tensor, base: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        return self.flow.draw(noise, base, theta)

    def density(self, z: Tensor, base: Tensor, theta: Tensor) -> Tensor:
        mean, log_sigma = base.chunk(2, -1)
        z_0, log_det = self.flow.inverse(z, theta)
        noise = (z_0 - mean) * (-log_sigma).exp()
        log_q: Tensor = standard_normal_log_prob(noise) - log_sigma.sum(-1) + log_det
        return log_q

    def cost(self, draws: int, batch: int, points: int, *, gradient: bool) -> Cost | None:
        return self.flow.cost(draws, batch, points, gradient=gradient)


def _checks(flow: Flow) -> bool:
    """Whether the flow's `draw` refuses tensors that do not fit: the class that defines it, or `forward`, says so."""
    owner = next(cls for cls in type(flow).__mro__ if {"draw", "forward"} & vars(cls).keys())
    return bool(vars(owner).get("checks", False))
