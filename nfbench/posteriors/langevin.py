"""Unadjusted Langevin steps from the base to the target, with a reverse model of the same kind.

Step m = 1, ..., M is on the bridge pi_m, whose gradient is g_m: z_m = z_(m-1) + delta g_m(z_(m-1)) + sqrt(2 delta)
noise. Its reverse is Gaussian with the same variance and mean z_m + delta [g_m(z_m) + n_m(z_m)], n_m learned, or 0:

    ln q = ln q_0(z_0) + sum_m [ln N(z_m; z_(m-1) + delta g_m(z_(m-1)), 2 delta) - ln N(z_(m-1); ..., 2 delta)].

The last bridge is the target. Learned are q_0, delta = step^2 / 2 of each dimension, the bridges, and n_m.
"""

import torch
from torch import Tensor

from nfbench.foundation.numerics import standard_normal_log_prob
from nfbench.kernels.diagonal import reference as diagonal
from nfbench.posteriors.auxiliary import AuxiliaryPosterior, Responses
from nfbench.posteriors.bridges import Bridges, bridge_slope
from nfbench.posteriors.contract import LogJoint
from nfbench.posteriors.slope import slope


class Langevin(AuxiliaryPosterior):
    """M Langevin steps. Noise: N = (1 + M) D, of z_0 and of every step.

    Args:
        dim: D.
        steps: M.
        reverse: n_1, ..., n_M; None: all are 0.
        context: C, numbers of each data point that `reverse` sees; P = C.
        features: F, width of the encoder's features; None for a free posterior.
        points: number of rows of a free posterior's numbers, B or 1.

    Attributes:
        bridges: inverse temperatures of the M bridges, of which the last is 1.
    """

    def __init__(
        self,
        dim: int,
        steps: int,
        reverse: Responses | None = None,
        context: int = 0,
        features: int | None = None,
        *,
        points: int = 1,
    ) -> None:
        super().__init__(dim, (1 + steps) * dim, steps, context, features, points=points)
        self.bridges = Bridges(steps, last=True)
        self.reverse = reverse

    def follow(self, noise: Tensor, base: Tensor, theta: Tensor, log_joint: LogJoint) -> tuple[Tensor, Tensor]:
        first, *rest = torch.split(noise, self.dim, -1)
        z, log_q = diagonal.draw(first, base)
        gradient, step = slope(log_joint, z), self.log_step.exp()
        delta = 0.5 * step.square()
        functions = [None] * len(rest) if self.reverse is None else self.reverse.functions(theta)
        for b, xi, reverse in zip(self.bridges().unbind(0), rest, functions, strict=True):
            before, z = z, z + delta * bridge_slope(z, gradient, base, b) + step * xi
            gradient = slope(log_joint, z)
            drift = bridge_slope(z, gradient, base, b)
            if reverse is not None:
                drift = drift + reverse(z, gradient)
            back = (before - z - delta * drift) / step
            # Both Gaussians have the same variance, 2 delta = step^2, whose logarithm cancels.
            log_q = log_q + standard_normal_log_prob(xi) - standard_normal_log_prob(back)
        return z, log_q
