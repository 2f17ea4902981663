"""The posterior of a flow: a diagonal Gaussian pushed through it."""

import torch
from torch import Tensor, nn

from nfbench.foundation.errors import InputError
from nfbench.foundation.numerics import standard_normal_log_prob
from nfbench.kernels import shapes
from nfbench.posteriors.contract import Flow, LogJoint, Posterior
from nfbench.posteriors.sources import Amortized, Free


class FlowPosterior(Posterior):
    """A diagonal Gaussian q_0 pushed through a flow: ln q_K(z_K) = ln q_0(z_0) - ln|det dz_K/dz_0| (paper, eq. 7).

    Mean, ln sigma and theta come from one source, free or amortized; the flow does not know which.

    The data points B of noise, or of z, are those of the features, or `points`. One row of features, or `points` = 1,
    serves any number of data points; noise for one data point serves every row. B = 0 gives empty results.

    Args:
        flow: the chain of maps.
        features: F, width of the encoder's features; None for a free posterior.
        points: number of rows of a free posterior's numbers, B or 1.

    Raises:
        InputError: the flow's `initial` has not the shape (P,).
    """

    def __init__(self, flow: Flow, features: int | None = None, *, points: int = 1) -> None:
        super().__init__()
        self.dim = self.noise_dim = flow.dim
        self.points = points
        self.flow = flow
        self._checks_draws = not _checks(flow)
        start = torch.zeros(2 * flow.dim), flow.initial()
        if start[1].shape != (flow.num_params,):
            shape, expected = tuple(start[1].shape), (flow.num_params,)
            raise InputError(f"posterior: initial() of {type(flow).__name__} has shape {shape}: expected {expected}")
        self.source: nn.Module = Free(*start, points) if features is None else Amortized(*start, features, flow.depth)

    def _check(self, draws: Tensor, base: Tensor, theta: Tensor, name: str) -> None:
        """Refuse draws (S, B, D), `name` in the message, and numbers of the source that do not fit each other."""
        shapes.check_draw("posterior", draws, base, theta, lambda _: self.flow.num_params, 1, name)

    def _numbers(self, features: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Mean (B or 1, D), ln sigma (B or 1, D) and theta (B or 1, P)."""
        base, theta = self.source(features)
        mean, log_sigma = base.chunk(2, -1)
        return mean, log_sigma, theta

    def forward(
        self, noise: Tensor, features: Tensor | None = None, log_joint: LogJoint | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw from the base and push the draws through the flow.

        Args:
            noise: standard normal (S, B, D), of the parameters' dtype.
            features: of the encoder (B, F); None for a free posterior.
            log_joint: ignored: a flow does not follow the target's gradient.

        Returns:
            z_K (S, B, D) and ln q(z_K|x) (S, B), in nats.

        Raises:
            InputError: noise or features of another shape, dtype or device than the parameters ask for; features
                missing, or given to a free posterior.
        """
        if features is not None:
            shapes.check_features("posterior", "noise", noise, features)
        base, theta = self.source(features)
        if self._checks_draws:
            self._check(noise, base, theta, "noise")
        return self.flow.draw(noise, base, theta)

    def log_prob(self, z: Tensor, features: Tensor | None = None) -> Tensor:
        """The log-density at any points, by the inverse of the flow.

        Args:
            z: (S, B, D); also (S, D) where there are no data points.
            features: of the encoder (B, F); None for a free posterior.

        Returns:
            ln q(z|x) in nats, (S, B); (S,) for z (S, D).

        Raises:
            InputError: z or features of another shape, dtype or device than the parameters ask for; features missing,
                or given to a free posterior.
        """
        if z.dim() == 2 and features is None and self.points == 1:
            return self.log_prob(z.unsqueeze(1)).squeeze(1)
        if features is not None:
            shapes.check_features("posterior", "z", z, features)
        base, theta = self.source(features)
        self._check(z, base, theta, "z")
        mean, log_sigma = base.chunk(2, -1)
        z_0, log_det = self.flow.inverse(z, theta)
        noise = (z_0 - mean) * (-log_sigma).exp()
        log_q: Tensor = standard_normal_log_prob(noise) - log_sigma.sum(-1) + log_det
        return log_q


def _checks(flow: Flow) -> bool:
    """Whether the flow's `draw` refuses tensors that do not fit: the class that defines it, or `forward`, says so."""
    owner = next(cls for cls in type(flow).__mro__ if {"draw", "forward"} & vars(cls).keys())
    return bool(vars(owner).get("checks", False))
