"""Likelihoods p(x|z), a decoder's last layer: Bernoulli for binary pixels, logit-normal for grey levels in (0, 1)."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional

from nfbench.foundation.numerics import LOG_2PI, inverse_softplus
from nfbench.kernels.layers import bernoulli

_LEAST_VARIANCE = 1e-3  # of logit x under a logit-normal likelihood


class Likelihood(nn.Module, ABC):
    """A density p(x|z) whose parameters are an affine map of the decoder's hidden units.

    Attributes:
        width: how many numbers it holds at once for a draw.
    """

    width: int

    @abstractmethod
    def log_prob(self, units: Tensor, x: Tensor) -> Tensor:
        """Evaluate ln p(x|z) in nats.

        Args:
            units: the decoder's hidden units (S, B, H).
            x: observations (B, pixels).

        Returns:
            (S, B).
        """

    @abstractmethod
    def centre(self, units: Tensor) -> Tensor:
        """The mean of p(x|z), or its median where the mean has no closed form.

        Args:
            units: the decoder's hidden units (..., H).

        Returns:
            (..., pixels).
        """


class Bernoulli(Likelihood):
    """Binary pixels with logits l: ln p(x|z) = sum_i [x_i l_i - softplus(l_i)] = -sum_i softplus((1 - 2 x_i) l_i).

    The logits' bias starts at the log-odds of each pixel in the training images, to which one black and one white image
    are added so that they are finite: a usual choice, not the paper's.

    Args:
        hidden: H, units of the layer before.
        train: training observations `(n, pixels)`.
    """

    def __init__(self, hidden: int, train: Tensor) -> None:
        super().__init__()
        num, self.width = train.shape
        self.logits = nn.Linear(hidden, self.width)
        ones = train.sum(0, dtype=torch.get_default_dtype())
        with torch.no_grad():
            self.logits.bias.copy_(torch.log((ones + 1) / (num - ones + 1)))

    def log_prob(self, units: Tensor, x: Tensor) -> Tensor:
        # Under autocast the logits come in bfloat16, too coarse for a sum over pixels.
        return bernoulli.log_prob(self.logits(units).to(x.dtype), x)

    def centre(self, units: Tensor) -> Tensor:
        return torch.sigmoid(self.logits(units))


class LogitNormal(Likelihood):
    """Grey levels x_i in (0, 1): p(x|z) = prod_i N(logit x_i; mu_i, alpha_i) / (x_i (1 - x_i)) (paper, Sec 6.3).

    The paper does not say whether alpha is a variance or a standard deviation: here it is the variance, and
    alpha = 0.001 + softplus(a), mu and a affine. The least variance keeps the density of pixels that are black or white
    in many patches from growing without bound; between mid-grey levels, logit x moves by 0.016, half the standard
    deviation that it allows. At the start mu and alpha are each pixel's mean and variance in the training observations.
    The mean of x has no closed form: `centre` gives the median, sigmoid(mu).

    Args:
        hidden: H, units of the layer before.
        train: training observations `(n, pixels)`.
    """

    def __init__(self, hidden: int, train: Tensor) -> None:
        super().__init__()
        self.width = 2 * train.shape[1]
        self.numbers = nn.Linear(hidden, self.width)
        logits = torch.logit(train.to(torch.get_default_dtype()))
        spread = (logits.var(0) - _LEAST_VARIANCE).clamp(min=_LEAST_VARIANCE)
        with torch.no_grad():
            self.numbers.bias.copy_(torch.cat([logits.mean(0), inverse_softplus(spread)]))

    def log_prob(self, units: Tensor, x: Tensor) -> Tensor:
        mean, raw = self.numbers(units).to(x.dtype).chunk(2, -1)
        variance = _LEAST_VARIANCE + functional.softplus(raw)
        logit = torch.logit(x)
        # ln x (1 - x) = logsigmoid(l) + logsigmoid(-l) with l = logit x, summed over pixels: (B,).
        jacobian = (functional.logsigmoid(logit) + functional.logsigmoid(-logit)).sum(-1)
        squares = (logit - mean).square() / variance + torch.log(variance)
        log_p: Tensor = -0.5 * (squares.sum(-1) + x.shape[-1] * LOG_2PI) - jacobian
        return log_p

    def centre(self, units: Tensor) -> Tensor:
        return torch.sigmoid(self.numbers(units).chunk(2, -1)[0])


KINDS: dict[str, type[Likelihood]] = {"binary": Bernoulli, "levels": LogitNormal}
