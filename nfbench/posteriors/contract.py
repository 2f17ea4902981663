"""The contracts of floor 1: a flow is a whole chain of maps; a posterior turns noise into draws and their density."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from nfbench.foundation.errors import InputError
from nfbench.foundation.numerics import standard_normal_log_prob
from nfbench.kernels import shapes
from nfbench.kernels.diagonal import reference

LogJoint = Callable[[Tensor], Tensor]


class Cost(NamedTuple):
    """What the mathematics of a chain needs at least, whoever computes it."""

    numbers: float  # moved between memory and the processor, each as wide as the dtype
    flops: float  # additions and multiplications


def combine(*parts: tuple[float, Cost]) -> Cost:
    """The sum of costs, each taken so many times."""
    return Cost(sum(times * cost.numbers for times, cost in parts), sum(times * cost.flops for times, cost in parts))


class Flow(nn.Module, ABC):
    """A chain of K invertible maps with `num_params` = P numbers for each data point.

    Weights that all data points share are the module's own parameters; what depends on x comes in through theta.

    Attributes:
        checks: whether `draw` and `inverse` themselves refuse tensors that do not fit; where a class does not say so
            itself, `FlowPosterior` does it for draws.
    """

    checks: ClassVar[bool] = False

    def __init__(self, dim: int, depth: int, num_params: int) -> None:
        super().__init__()
        self.dim = dim
        self.depth = depth
        self.num_params = num_params

    @abstractmethod
    def forward(self, z: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        """`z (S, B, D), theta (B, P) -> z_K (S, B, D), ln|det dz_K/dz| (S, B)`; B of theta may be 1.

        S and B may be 0: the results are then empty. `FlowPosterior` calls it with tensors that fit. For whoever else
        calls it, a family begins with `shapes.check_flow`, which raises an `InputError` for tensors that do not.
        """

    @abstractmethod
    def inverse(self, z: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        """`z_K (S, B, D), theta (B, P) -> z (S, B, D), ln|det dz/dz_K| (S, B)`: the exact inverse of `forward`."""

    def draw(self, noise: Tensor, base: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Draws of the diagonal base go through `forward`; a family whose kernels do both at once does it here.

        `noise (S, B, D), base (B or 1, 2 D), theta (B or 1, P) -> z_K (S, B, D), ln q(z_K) (S, B)` with
        ln q_K(z_K) = ln q_0(z_0) - ln|det dz_K/dz_0| (paper, eq. 7); base holds mean and ln sigma.

        Raises:
            InputError: tensors that do not fit each other, of several dtypes or on several devices.
        """
        z_0, log_q = reference.draw(noise, base)
        z, log_det = self(z_0, theta)
        return z, log_q - log_det

    @abstractmethod
    def initial(self) -> Tensor:
        """`-> (P,)`: theta at the start of training, near the identity, drawn from torch's own generator."""

    def cost(self, draws: int, batch: int, points: int, *, gradient: bool) -> Cost | None:
        """What ln q and S draws for each of B data points need at least, base included; None where nobody has counted.

        Args:
            draws: S.
            batch: B.
            points: rows of theta: B, or 1 where all data points share one.
            gradient: forward and backward, else forward alone.
        """
        return None


class Identity(Flow):
    """The chain of no maps."""

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
        """
        D = self.dim
        per_draw, per_row = Cost(2 * D + 1, 4 * D + 1), Cost(2 * D, 2 * D)
        if gradient:
            per_draw, per_row = Cost(2 * (2 * D + 1), 7 * D + 2), Cost(6 * D, 4 * D)
        return combine((draws * batch, per_draw), (points, per_row))


class Posterior(nn.Module, ABC):
    """A distribution q(z) or q(z|x) that is sampled by transforming noise that the caller draws."""

    dim: int
    noise_dim: int

    @abstractmethod
    def forward(
        self, noise: Tensor, features: Tensor | None = None, log_joint: LogJoint | None = None
    ) -> tuple[Tensor, Tensor]:
        """`noise (S, B, N), features (B, F) | None -> z (S, B, D), ln q(z|x) (S, B)`.

        S and B may be 0: the results are then empty, and the gradients of the parameters zero.

        Args:
            noise: standard normal, of the parameters' dtype.
            features: of the encoder; None for a free posterior.
            log_joint: `z (S, B, D) -> (S, B)`, for families that follow the target's gradient; others ignore it.
        """

    @abstractmethod
    def log_prob(self, z: Tensor, features: Tensor | None = None) -> Tensor:
        """`z (S, B, D), features (B, F) | None -> ln q(z|x) (S, B)` at given points."""


class Free(nn.Module):
    """A source of numbers that are learned themselves: the same for all data points, or each point's own.

    With `points` > 1 these are the local variational parameters that an inference network would put out.
    """

    theta: nn.Parameter | None

    def __init__(self, base: Tensor, theta: Tensor, points: int = 1) -> None:
        super().__init__()
        self.base = nn.Parameter(base.repeat(points, 1))
        self.register_parameter("theta", nn.Parameter(theta.repeat(points, 1)) if theta.numel() else None)

    def forward(self, features: Tensor | None) -> tuple[Tensor, Tensor]:
        """`-> (points, 2 D), (points, P)`.

        Raises:
            InputError: features were given.
        """
        if features is not None:
            raise InputError(f"posterior: features {tuple(features.shape)} were given to a free one: expected None")
        return self.base, self.base[:, :0] if self.theta is None else self.theta


class Amortized(nn.Module):
    """A source of numbers that depend on x: an affine head on the encoder's features (paper, Sec 4.2).

    The bias starts at the free start; the weights start small, so that at first all data points share a posterior.
    Base and flow have heads of their own: theta is then a tensor of its own, which no split has to copy.

    The features enter the flow's head divided by sqrt(F K): a step of an optimizer then moves z about as far at every
    width and depth. Without that, Adam at a rate that suits K = 0 lets 80 planar maps in 40 dimensions diverge.

    Args:
        base: (2 D,) start of mean and ln sigma.
        theta: (P,) start of the flow's numbers.
        features: F.
        depth: K.
    """

    def __init__(self, base: Tensor, theta: Tensor, features: int, depth: int) -> None:
        super().__init__()
        self.scale = 1 / math.sqrt(features * max(1, depth))
        head = nn.Linear(features, base.numel() + theta.numel())
        weights = torch.split(0.1 * head.weight.detach(), [base.numel(), theta.numel()])
        self.base = _affine(weights[0], base)
        self.theta = _affine(weights[1] / self.scale, theta) if theta.numel() else None

    def forward(self, features: Tensor | None) -> tuple[Tensor, Tensor]:
        """`features (B, F) -> (B, 2 D), (B, P)`.

        Raises:
            InputError: no features, of another F or number of axes, of another dtype (but under autocast) or device.
        """
        if features is None:
            raise InputError(f"an amortized posterior needs features (B, {self.base.in_features}), got None")
        shapes.check_input("posterior", features, self.base.weight)
        dtype = self.base.weight.dtype  # autocast gives bfloat16, too coarse for a log-determinant
        base = self.base(features).to(dtype)
        return base, base[:, :0] if self.theta is None else self.theta(features * self.scale).to(dtype)


def _affine(weight: Tensor, bias: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    layer.weight, layer.bias = nn.Parameter(weight.clone()), nn.Parameter(bias.clone())
    return layer


class FlowPosterior(Posterior):
    """A diagonal Gaussian q_0 pushed through a flow: ln q_K(z_K) = ln q_0(z_0) - ln|det dz_K/dz_0| (paper, eq. 7).

    Mean, ln sigma and theta come from one source, free or amortized; the flow does not know which.

    The data points B of noise, or of z, are those of the features, or `points`. One row of features, or `points` = 1,
    serves any number of data points; noise for one data point serves every row. B = 0 gives empty results.
    """

    def __init__(self, flow: Flow, features: int | None = None, *, points: int = 1) -> None:
        """Make the source of numbers.

        Args:
            flow: the maps.
            features: F; None for a free posterior.
            points: rows of a free posterior's numbers.

        Raises:
            InputError: the flow's `initial` has not the shape (P,).
        """
        super().__init__()
        self.dim = self.noise_dim = flow.dim
        self.flow = flow
        self._trusting = not vars(type(flow)).get("checks", False)  # not inherited: a subclass may draw otherwise
        start = torch.zeros(2 * flow.dim), flow.initial()
        if start[1].shape != (flow.num_params,):
            found, expected = tuple(start[1].shape), (flow.num_params,)
            raise InputError(f"posterior: initial() of {type(flow).__name__} has shape {found}: expected {expected}")
        self.source: nn.Module = Free(*start, points) if features is None else Amortized(*start, features, flow.depth)

    def _check(self, draws: Tensor, base: Tensor, theta: Tensor, name: str) -> None:
        """Refuse draws (S, B, D), which the message calls `name`, and numbers of the source that do not fit."""
        shapes.check_draw("posterior", draws, base, theta, lambda _: self.flow.num_params, 1, name)

    def _numbers(self, features: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        base, theta = self.source(features)
        mean, log_sigma = base.chunk(2, -1)
        return mean, log_sigma, theta

    def forward(
        self, noise: Tensor, features: Tensor | None = None, log_joint: LogJoint | None = None
    ) -> tuple[Tensor, Tensor]:
        """The draws, as `Posterior.forward` says.

        Raises:
            InputError: noise or features of another shape, dtype or device than the parameters ask for; features
                missing, or given to a free posterior.
        """
        if features is not None:
            shapes.check_features("posterior", "noise", noise, features)
        base, theta = self.source(features)
        if self._trusting:
            self._check(noise, base, theta, "noise")
        return self.flow.draw(noise, base, theta)

    def log_prob(self, z: Tensor, features: Tensor | None = None) -> Tensor:
        """The density, as `Posterior.log_prob` says.

        Raises:
            InputError: as `forward`, of z.
        """
        if features is not None:
            shapes.check_features("posterior", "z", z, features)
        base, theta = self.source(features)
        self._check(z, base, theta, "z")
        mean, log_sigma = base.chunk(2, -1)
        z_0, log_det = self.flow.inverse(z, theta)
        noise = (z_0 - mean) * (-log_sigma).exp()
        log_q: Tensor = standard_normal_log_prob(noise) - log_sigma.sum(-1) + log_det
        return log_q
