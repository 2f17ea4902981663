"""Posteriors that follow the target's gradient and draw auxiliary variables on the way, momenta or earlier points.

From z_0 ~ q_0, a diagonal Gaussian, a draw moves by T random steps to z = z_T. With every step goes a reverse model,
which says how the step would have been made backwards, and

    ln q = ln q_0(z_0) + sum_t [ln of the density of step t - ln of that of its reverse].

Then ln p(x, z) - ln q = L has E[exp(L)] = p(x) and E[L] <= ln p(x) (Agakov & Barber 2004; Salimans, Kingma & Welling
2015): training, the bound F and the importance-sampled -ln p(x) work as for any family. But ln q is a density of the
path, not of z: F + ln Z is at least KL(q(z)||p), by what the reverse models lose, and q has no density at a point.

Gradients go through the target's gradient, so training differentiates the target twice.
"""

import functools
import math
from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from nfbench.foundation.errors import InputError
from nfbench.kernels import kinds
from nfbench.posteriors.contract import LogJoint
from nfbench.posteriors.networks import Networks
from nfbench.posteriors.slope import slope
from nfbench.posteriors.source_posterior import SourcedPosterior
from nfbench.posteriors.sources import source

_START = 0.1  # step of every dimension
Force = Callable[[Tensor, Tensor], Tensor]
"""Points z and the target's gradient there, (S, B, D) both -> what a momentum follows (S, B, D)."""
Response = Callable[[Tensor, Tensor], Tensor]
"""Points z and the target's gradient there, (S, B, D) both -> numbers (S, B, O)."""


class AuxiliaryPosterior(SourcedPosterior):
    """A posterior with auxiliary variables, which has draws and a bound, but no density at a point.

    Args:
        dim: D.
        noise_dim: N, numbers of noise that a draw takes: those of z_0 and of every step.
        steps: along the target's gradient; a draw takes one gradient more, and training one of where it ends.
        context: C, numbers of each data point beside those of q_0; P = C.
        features: F, width of the encoder's features; None for a free posterior.
        points: number of rows of a free posterior's numbers, B or 1.

    Attributes:
        log_step: (D,), ln of the step of each dimension.
    """

    has_density = False

    def __init__(
        self, dim: int, noise_dim: int, steps: int, context: int = 0, features: int | None = None, *, points: int = 1
    ) -> None:
        super().__init__(dim, noise_dim, points)
        self.target_gradients = steps + 2
        self.source = source(torch.zeros(2 * dim), torch.zeros(context), features, points=points)
        self.log_step = nn.Parameter(torch.full((dim,), math.log(_START)))

    @abstractmethod
    def follow(self, noise: Tensor, base: Tensor, theta: Tensor, log_joint: LogJoint) -> tuple[Tensor, Tensor]:
        """Turn noise into draws and the log-density of their paths.

        Args:
            noise: standard normal (S, B, N).
            base: (B or 1, 2 D), mean and ln sigma of q_0.
            theta: (B or 1, P).
            log_joint: z (S, B, D) -> ln p(x, z) (S, B), in nats.

        Returns:
            z (S, B, D) and ln q (S, B), less the reverse models', in nats.
        """

    def forward(
        self, noise: Tensor, features: Tensor | None = None, log_joint: LogJoint | None = None
    ) -> tuple[Tensor, Tensor]:
        """Turn noise into draws and the log-density of their paths.

        Args:
            noise: standard normal (S, B, N), of the parameters' dtype.
            features: of the encoder (B, F); None for a free posterior.
            log_joint: z (S, B, D) -> ln p(x, z) (S, B), in nats, differentiable by autograd.

        Returns:
            z (S, B, D) and ln q (S, B), in nats, for which E[p(x, z) / q] = p(x).

        Raises:
            InputError: no `log_joint`; noise or features of another shape, dtype or device than the parameters ask for;
                features missing, or given to a free posterior.
        """
        base, theta = self.rows(noise, features, "noise")
        if log_joint is None:
            name = type(self).__name__
            raise InputError(f"posterior: {name} follows the target's gradient: expected log_joint, got None")
        return self.follow(noise, base, theta, log_joint)

    def log_prob(self, z: Tensor, features: Tensor | None = None) -> Tensor:
        """Refuse: the density of z alone is an integral over the auxiliary variables, which has no closed form.

        Args:
            z: (S, B, D).
            features: of the encoder (B, F); None for a free posterior.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("its ln q is that of auxiliary variables too: there is no density at a point")


def leapfrog(
    z: Tensor, v: Tensor, gradient: Tensor, step: Tensor, log_joint: LogJoint, force: Force | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """One leapfrog step of Hamiltonian dynamics, which preserves volume: (z, v) -> (z', v') has determinant 1.

    v moves by half a step along the force, z by a step along v, v by another half along the force at the new z. The
    step of a dimension is eps / sqrt(its mass), for a momentum of unit mass.

    Args:
        z: (S, B, D).
        v: momentum (S, B, D).
        gradient: of ln p(x, z) at z, (S, B, D).
        step: (D,).
        log_joint: z -> ln p(x, z).
        force: what v follows; None: the target's gradient.

    Returns:
        z', v' and the gradient of ln p(x, z) at z', (S, B, D) each.
    """
    follow = force or _gradient
    v = v + 0.5 * step * follow(z, gradient)
    z = z + step * v
    gradient = slope(log_joint, z)
    return z, v + 0.5 * step * follow(z, gradient), gradient


def _gradient(z: Tensor, gradient: Tensor) -> Tensor:
    return gradient


class Responses(nn.Module):
    """Functions of a point and of the target's gradient there: each an affine map of both plus a tanh network.

    The network sees arsinh of the gradient, which far out is thousands of times that of the middle. It also sees the
    context of a data point. All outputs start at 0.

    Args:
        number: how many functions.
        dim: D.
        outputs: O; the first D of them have the affine part.
        hidden: H, units of the network's layer.
        context: C, numbers of context for each data point; 0: none.

    Attributes:
        networks: from z and arsinh of the gradient to O numbers.
        linear: (number, 2 D, D), weights of z and of the gradient, before they are scaled by 1 / sqrt(2 D).
    """

    def __init__(self, number: int, dim: int, outputs: int, hidden: int, context: int) -> None:
        super().__init__()
        self.networks = Networks(number, 2 * dim, outputs, hidden, 1, context)
        self.linear = nn.Parameter(torch.zeros(number, 2 * dim, dim))

    def functions(self, context: Tensor) -> list[Response]:
        """The functions for some data points.

        Args:
            context: (B or 1, C).

        Returns:
            As many functions of z and gradient (S, B, D) as there are, which return (S, B, O).
        """
        networks, matrices = self.networks.conditioners(context), self.linear / math.sqrt(self.linear.shape[1])
        return [functools.partial(_respond, *parts) for parts in zip(networks, matrices.unbind(0), strict=True)]


def _respond(network: Callable[[Tensor], Tensor], linear: Tensor, z: Tensor, gradient: Tensor) -> Tensor:
    with kinds.own_dtype(z):
        numbers = network(torch.cat([z, gradient.asinh()], -1))
        straight = torch.cat([z, gradient], -1) @ linear
        first, rest = torch.split(numbers, [linear.shape[1], numbers.shape[-1] - linear.shape[1]], -1)
        return torch.cat([first + straight, rest], -1)
