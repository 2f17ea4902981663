"""Estimates of ln p(x) from importance weights: functions of ln w = ln p(x, z) - ln q(z|x), in nats."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from nfbench.foundation.numerics import log_mean_exp


class Estimate(NamedTuple):
    """A Monte-Carlo estimate for each data point.

    Attributes:
        value: the estimates, shape (..., B).
        variance: their variances over draws, the same shape.
    """

    value: Tensor
    variance: Tensor

    def over_data(self) -> tuple[Tensor, Tensor]:
        """The mean over data points.

        Returns:
            The mean, shape (...), and its standard error over draws, the data being fixed.
        """
        return self.value.mean(-1), self.variance.sum(-1).sqrt() / self.variance.shape[-1]


def join(estimates: Iterable[Estimate]) -> Estimate:
    """Concatenate estimates of disjoint data points.

    Args:
        estimates: each of shape (..., b).

    Returns:
        One estimate of all data points, shape (..., B), in order.
    """
    values, variances = zip(*estimates, strict=True)
    return Estimate(torch.cat(values, -1), torch.cat(variances, -1))


def bound(log_weight: Tensor) -> Estimate:
    """Estimate the free energy F = -E[ln w] of each data point.

    Args:
        log_weight: ln w in nats, shape (S, B).

    Returns:
        F in nats, shape (B,).
    """
    return Estimate(-log_weight.mean(0), log_weight.var(0) / len(log_weight))


def nll(log_weight: Tensor) -> Estimate:
    """Estimate -ln p(x) of each data point by -ln mean w, which is too large in expectation (Burda et al. 2016, eq. 8).

    Args:
        log_weight: ln w in nats, shape (S, B).

    Returns:
        Nats, shape (B,). The variance is the delta method's, var w / (S mean^2 w).
    """
    weight = _scaled(log_weight)
    variance = weight.var(0) / weight.mean(0).square() / len(weight)
    return Estimate(-log_mean_exp(log_weight, 0), variance)


def ess(log_weight: Tensor) -> Estimate:
    """Estimate the effective sample size of each data point's weights, (sum w)^2 / sum w^2 (Kong 1992).

    Args:
        log_weight: ln w in nats, shape (S, B).

    Returns:
        Numbers of draws from 1 to S, shape (B,); the variance is the delta method's.

    >>> import torch
    >>> ess(torch.zeros(4, 1)).value  # equal weights
    tensor([4.])
    """
    weight, num = _scaled(log_weight), len(log_weight)
    first, second = weight.mean(0), weight.square().mean(0)
    slope = first / second
    influence = 2 * slope * (weight - first) - slope.square() * (weight.square() - second)
    return Estimate(num * first * slope, num * influence.var(0))


def lengths(draws: int) -> list[int]:
    """The numbers of draws at which a curve has points: 1, 2, 5, 10, 20, 50 and so on, and `draws` itself.

    Args:
        draws: S, the largest of them.

    Returns:
        The J numbers, ascending.

    >>> lengths(30)
    [1, 2, 5, 10, 20, 30]
    """
    decades = (10**e for e in range(len(str(draws))))
    round_numbers = {digit * decade for decade in decades for digit in (1, 2, 5)}
    return sorted({length for length in round_numbers if length <= draws} | {draws})


def curve(log_weight: Tensor) -> Estimate:
    """Estimate -ln p(x) from fewer draws, at each of the J `lengths(S)`.

    Each point is the mean of `nll` over all disjoint blocks of so many draws, an incomplete last block left out: it has
    the expectation of one block's estimate with less noise. The variance is that of the blocks over their number; of a
    single block the delta method's. At one draw the curve is F, at S draws `nll`.

    Args:
        log_weight: ln w in nats, shape (S, B).

    Returns:
        Nats, shape (J, B).
    """
    points = [_blocks(log_weight, length) for length in lengths(len(log_weight))]
    return Estimate(*(torch.stack(parts) for parts in zip(*points, strict=True)))


def _blocks(log_weight: Tensor, length: int) -> Estimate:
    """The mean of `nll` over disjoint blocks of `length` draws, shape (B,)."""
    num = len(log_weight) // length
    if num == 1:
        return nll(log_weight[:length])
    blocks = -log_mean_exp(log_weight[: num * length].reshape(num, length, -1), 1)
    return Estimate(blocks.mean(0), blocks.var(0) / num)


def _scaled(log_weight: Tensor) -> Tensor:
    """Weights divided by the largest weight of their data point, shape (S, B)."""
    weight: Tensor = (log_weight - log_weight.amax(0)).exp()
    return weight
