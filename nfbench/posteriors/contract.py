"""The contracts: a flow is a whole chain of maps; a posterior turns noise into draws and their log-density."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from types import NoneType
from typing import ClassVar

import torch
from torch import Tensor, nn

from nfbench.foundation.checks import instance, whole_number
from nfbench.foundation.errors import InputError
from nfbench.foundation.randomness import stream
from nfbench.kernels import shapes
from nfbench.kernels.diagonal import reference
from nfbench.posteriors.cost import Cost, combine

LogJoint = Callable[[Tensor], Tensor]


class Flow(nn.Module, ABC):
    """A chain of K invertible maps with `num_params` = P numbers for each data point.

    Weights that all data points share are the module's own parameters; what depends on x comes in through theta.

    Args:
        dim: D.
        depth: K.
        num_params: P.

    Attributes:
        checks: whether `draw` and `inverse` themselves refuse tensors that do not fit. It holds for the methods of the
            class that sets it: where a subclass defines `draw` or `forward` anew, `FlowPosterior` checks draws for it.
        integration_error: how far ln|det| (in nats) and the inverse (in units of z) may be from those of the computed
            map near the start, because the family integrates numerically; 0 for closed forms.
        invertible: whether `inverse` exists. Where it does not, it raises `NotImplementedError`, and the posterior has
            no density at points.
    """

    checks: ClassVar[bool] = False
    invertible: bool = True
    integration_error: float = 0.0

    def __init__(self, dim: int, depth: int, num_params: int) -> None:
        super().__init__()
        self.dim = dim
        self.depth = depth
        self.num_params = num_params

    @abstractmethod
    def forward(self, z: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Push points through the chain.

        S and B may be 0: the results are then empty. `FlowPosterior` calls it with tensors that fit. For other callers
        an implementation begins with `shapes.check_flow`.

        Args:
            z: (S, B, D).
            theta: (B or 1, P), the numbers of all maps.

        Returns:
            z_K (S, B, D) and ln|det dz_K/dz| (S, B).

        Raises:
            InputError: tensors that do not fit each other, where the family checks that.
        """

    @abstractmethod
    def inverse(self, z: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Undo `forward` exactly.

        Args:
            z: z_K (S, B, D).
            theta: (B or 1, P).

        Returns:
            z (S, B, D) and ln|det dz/dz_K| (S, B).
        """

    def draw(self, noise: Tensor, base: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Draw from the diagonal base and push the draws through the chain.

        ln q_K(z_K) = ln q_0(z_0) - ln|det dz_K/dz_0| (paper, eq. 7). A family whose kernel does both at once overrides
        this.

        Args:
            noise: standard normal (S, B, D).
            base: (B or 1, 2 D), mean and ln sigma.
            theta: (B or 1, P).

        Returns:
            z_K (S, B, D) and ln q(z_K) (S, B).

        Raises:
            InputError: tensors that do not fit each other, of several dtypes or on several devices.
        """
        z_0, log_q = reference.draw(noise, base)
        z, log_det = self(z_0, theta)
        return z, log_q - log_det

    @abstractmethod
    def initial(self) -> Tensor:
        """Draw theta for the start of training, near the identity, from torch's own generator.

        Returns:
            (P,).
        """

    def cost(self, draws: int, batch: int, points: int, *, gradient: bool) -> Cost | None:
        """The least work for S draws of each of B data points and their ln q, base included; None where it is unknown.

        Args:
            draws: S.
            batch: B.
            points: rows of theta: B, or 1 where all data points share one.
            gradient: forward and backward, else forward alone.

        Returns:
            Numbers moved and flops, or None.
        """
        return None


class Identity(Flow):
    """The chain of no maps.

    Args:
        dim: D.
    """

    checks = True

    def __init__(self, dim: int) -> None:
        super().__init__(dim, 0, 0)

    def forward(self, z: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        shapes.check_flow("identity", z, theta, self.dim, self.num_params)
        return z, z.new_zeros(z.shape[:-1])

    def inverse(self, z: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        return self.forward(z, theta)

    def draw(self, noise: Tensor, base: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        return reference.draw(noise, base)

    def initial(self) -> Tensor:
        return torch.zeros(0)

    def cost(self, draws: int, batch: int, points: int, *, gradient: bool) -> Cost:
        """The base alone, z = mean + sigma noise and ln q_0; a flow's own `cost` is added to it.

        Numbers: noise read, z and ln q written, S B (2 D + 1); mean and ln sigma read, 2 D each row of them. With
        gradient as many a draw again: z or the noise read, the gradients of z and ln q read; and the rows
        read again and their gradient written, 4 D. What the caller does in between has emptied the caches.

        Flops, where a square root, division, exp, ln or tanh counts as one: 4 D + 1 a draw, 2 D a row; with gradient
        3 D + 1 a draw (sums of dz, of dz noise and of the gradient of ln q) and 2 D a row more.

        Args:
            draws: S.
            batch: B.
            points: rows of theta, B or 1.
            gradient: forward and backward, else forward alone.

        Returns:
            Numbers moved and flops.
        """
        D = self.dim
        per_draw, per_row = Cost(2 * D + 1, 4 * D + 1), Cost(2 * D, 2 * D)
        if gradient:
            per_draw, per_row = Cost(2 * (2 * D + 1), 7 * D + 2), Cost(6 * D, 4 * D)
        return combine((draws * batch, per_draw), (points, per_row))


class Posterior(nn.Module, ABC):
    """A distribution q(z) or q(z|x) that is sampled by transforming noise that the caller draws.

    A family implements `forward` and `log_prob`; `sample` and `sample_and_log_prob` draw the noise for whoever only
    wants draws.

    Attributes:
        dim: D, dimensions of z.
        noise_dim: N, numbers of noise that a draw takes.
        points: data points B that a free posterior has parameters for; 1: the same for all.
        has_density: whether `log_prob` exists. Where it does not, as in families with auxiliary variables, `forward`
            returns a log_q for which E[p(x, z) / q] = p(x) all the same, `log_prob` raises `NotImplementedError`, and
            everything that needs the density at a point is left out. `nfbench.posteriors.auxiliary` has the formulas.
        target_gradients: gradients of ln p(x, z) that a draw takes in training: one, and those that it follows.
    """

    has_density: bool = True
    target_gradients: int = 1
    dim: int
    noise_dim: int
    points: int = 1

    @abstractmethod
    def forward(
        self, noise: Tensor, features: Tensor | None = None, log_joint: LogJoint | None = None
    ) -> tuple[Tensor, Tensor]:
        """Turn noise into draws and their log-density.

        S and B may be 0: the results are then empty, and the gradients of the parameters zero.

        Args:
            noise: standard normal (S, B, N), of the parameters' dtype.
            features: of the encoder (B, F); None for a free posterior.
            log_joint: a function of z (S, B, D) that returns ln p(x, z) (S, B), for families that follow the target's
                gradient; others ignore it.

        Returns:
            z (S, B, D) and ln q(z|x) (S, B), in nats.
        """

    @abstractmethod
    def log_prob(self, z: Tensor, features: Tensor | None = None) -> Tensor:
        """The log-density at any points.

        Args:
            z: (S, B, D).
            features: of the encoder (B, F); None for a free posterior.

        Returns:
            ln q(z|x) (S, B), in nats.
        """

    def cost(self, draws: int, batch: int, points: int, *, gradient: bool) -> Cost | None:
        """The least work for draws and their ln q, as `Flow.cost`; None where it is unknown.

        Args:
            draws: S.
            batch: B.
            points: rows of numbers: B, or 1 where all data points share one.
            gradient: forward and backward, else forward alone.

        Returns:
            Numbers moved and flops, or None.
        """
        return None

    def sample(
        self, num: int, *, seed: int = 0, features: Tensor | None = None, log_joint: LogJoint | None = None
    ) -> Tensor:
        """Draw z, without a graph.

        Args:
            num: S, how many draws, of each data point where there are any.
            seed: of the noise; the same seed gives the same draws.
            features: (B, F) of the encoder, for an amortized posterior.
            log_joint: z (S, B, D) -> ln p(x, z) (S, B), for a family that follows the target's gradient, such as a
                target's own `log_joint`; others ignore it.

        Returns:
            (S, D) where there are no data points, else (S, B, D); of the parameters' dtype and on their device.

        Raises:
            InputError: `num` is no whole number from 0, the features do not fit, or `log_joint` is missing.
        """
        return self.sample_and_log_prob(num, seed=seed, features=features, log_joint=log_joint)[0]

    def sample_and_log_prob(
        self, num: int, *, seed: int = 0, features: Tensor | None = None, log_joint: LogJoint | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw z and compute its log-density, in one pass and without a graph.

        Args:
            num: S, how many draws, of each data point where there are any.
            seed: of the noise; the same seed gives the same draws.
            features: (B, F) of the encoder, for an amortized posterior.
            log_joint: z (S, B, D) -> ln p(x, z) (S, B), for a family that follows the target's gradient.

        Returns:
            z (S, D) and ln q(z) (S,) in nats where there are no data points, else (S, B, D) and (S, B). Without a
            density at points (`has_density`), ln q is that of auxiliary variables too.

        Raises:
            InputError: `num` is no whole number from 0, the features do not fit, or `log_joint` is missing.
        """
        whole_number("sample", "num", num)
        whole_number("sample", "seed", seed)
        instance("sample", "features", features, (Tensor, NoneType), "a tensor (B, F), or None")
        if features is not None and features.ndim != 2:
            raise InputError(f"sample: features {tuple(features.shape)}: expected (B, F)")
        parameter = next(self.parameters())
        points = self.points if features is None else len(features)
        generator = stream(seed, "sample", device=parameter.device)
        size = (num, points, self.noise_dim)
        noise = torch.randn(size, generator=generator, device=parameter.device, dtype=parameter.dtype)
        with torch.no_grad():
            z, log_q = self(noise, features, log_joint)
        return (z.squeeze(1), log_q.squeeze(1)) if features is None and self.points == 1 else (z, log_q)
