"""Sources of a flow's numbers: learned themselves, or put out by a head on an encoder's features."""

import math

import torch
from torch import Tensor, nn

from nfbench.foundation.errors import InputError
from nfbench.kernels import shapes


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
        head = self.base
        weight = head.weight
        shapes.check_input("posterior", features, weight)
        dtype = weight.dtype  # autocast gives bfloat16, too coarse for a log-determinant
        base = head(features).to(dtype)
        return base, base[:, :0] if self.theta is None else self.theta(features * self.scale).to(dtype)


def _affine(weight: Tensor, bias: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    layer.weight, layer.bias = nn.Parameter(weight.clone()), nn.Parameter(bias.clone())
    return layer
