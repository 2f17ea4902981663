"""Sources of the numbers of a posterior, base (B or 1, 2 D) and theta (B or 1, P): learned, or made from features."""

import math

import torch
from torch import Tensor, nn

from nfbench.foundation.errors import InputError
from nfbench.kernels import shapes
from nfbench.specification.choices import Head


class Free(nn.Module):
    """A source of numbers that are themselves learned: the same for all data points, or each point's own.

    With `points` > 1 these are the local variational parameters that an inference network would compute.

    Args:
        base: (2 D,), start of mean and ln sigma.
        theta: (P,), start of the flow's numbers.
        points: number of rows, B or 1.
    """

    theta: nn.Parameter | None

    def __init__(self, base: Tensor, theta: Tensor, points: int = 1) -> None:
        super().__init__()
        self.base = nn.Parameter(base.repeat(points, 1))
        self.register_parameter("theta", nn.Parameter(theta.repeat(points, 1)) if theta.numel() else None)

    def forward(self, features: Tensor | None) -> tuple[Tensor, Tensor]:
        """The numbers of base and flow.

        Args:
            features: must be None.

        Returns:
            Base (points, 2 D) and theta (points, P).

        Raises:
            InputError: features were given.
        """
        if features is not None:
            raise InputError(f"posterior: features {tuple(features.shape)} were given to a free one: expected None")
        return self.base, self.base[:, :0] if self.theta is None else self.theta


class Amortized(nn.Module):
    """A source of numbers that depend on x: an affine head on the encoder's features (paper, Sec 4.2).

    The bias starts where a free posterior starts; the weights start small, so that at first all data points nearly
    share a posterior. Base and flow have a head each, so that theta is a tensor of its own, which no split has to copy.

    The features enter the flow's head divided by sqrt(F K): a step of an optimizer then moves z about as far at every
    width and depth. Without that, Adam at a rate that suits K = 0 lets 80 planar maps in 40 dimensions diverge.

    Args:
        base: (2 D,), start of mean and ln sigma.
        theta: (P,), start of the flow's numbers.
        features: F, width of the encoder's features.
        terms: how many parts of theta add up in z: K, the number of a flow's maps.
        head: ``unscaled``: without that division; ``base``: theta is free, and the same for all data points.
    """

    theta: nn.Linear | nn.Parameter | None

    def __init__(self, base: Tensor, theta: Tensor, features: int, terms: int, head: Head = "scaled") -> None:
        super().__init__()
        self.scale = 1.0 if head == "unscaled" else 1 / math.sqrt(features * max(1, terms))
        start = nn.Linear(features, base.numel() + theta.numel())
        weights = torch.split(0.1 * start.weight.detach(), [base.numel(), theta.numel()])
        self.base = _affine(weights[0], base)
        if not theta.numel():
            self.theta = None
        elif head == "base":
            self.theta = nn.Parameter(theta.repeat(1, 1))
        else:
            self.theta = _affine(weights[1] / self.scale, theta)

    def forward(self, features: Tensor | None) -> tuple[Tensor, Tensor]:
        """The numbers of base and flow.

        Args:
            features: (B, F).

        Returns:
            Base (B, 2 D) and theta (B, P), of the weights' dtype; theta (1, P) where all data points share it.

        Raises:
            InputError: no features, of another F or number of axes, of another dtype (but under autocast) or device.
        """
        if features is None:
            raise InputError(f"an amortized posterior needs features (B, {self.base.in_features}), got None")
        head = self.base
        weight = head.weight
        shapes.check_input("posterior", features, weight)
        dtype = weight.dtype  # autocast gives bfloat16, too coarse for a log-determinant
        base = head(features).to(dtype)
        if isinstance(self.theta, nn.Linear):
            return base, self.theta(features * self.scale).to(dtype)
        return base, base[:, :0] if self.theta is None else self.theta


def source(
    base: Tensor,
    theta: Tensor,
    features: int | None = None,
    *,
    points: int = 1,
    terms: int = 1,
    head: Head = "scaled",
) -> Free | Amortized:
    """Make the source of a posterior's numbers.

    Args:
        base: (W,), start of the base's numbers.
        theta: (P,), start of the others; may be empty.
        features: F, width of the encoder's features; None for a free posterior.
        points: number of rows of a free posterior's numbers, B or 1.
        terms: how many parts of theta add up in z (`Amortized`).
        head: how features give theta (`Amortized`).

    Returns:
        A module that takes features (B, F), or None, and gives base (B or 1, W) and theta (B or 1, P).
    """
    return Free(base, theta, points) if features is None else Amortized(base, theta, features, terms, head)


def _affine(weight: Tensor, bias: Tensor) -> nn.Linear:
    """A linear layer with this weight (outputs, inputs) and bias (outputs,) at the start."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    layer.weight, layer.bias = nn.Parameter(weight.clone()), nn.Parameter(bias.clone())
    return layer
