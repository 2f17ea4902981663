"""What importance weights say of ln p(x): functions of ln w = ln p(x, z) - ln q(z|x), in nats."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from nfbench.foundation.numerics import log_mean_exp


class Estimate(NamedTuple):
    """A number of each data point, `(..., B)`, and the variance that the draws give it."""

    value: Tensor
    variance: Tensor

    def over_data(self) -> tuple[Tensor, Tensor]:
        """`-> (...), (...)`: the mean over the data and its standard error, the draws' alone, the data being fixed."""
        return self.value.mean(-1), self.variance.sum(-1).sqrt() / self.variance.shape[-1]


def join(estimates: Iterable[Estimate]) -> Estimate:
    """One estimate of all data points."""
    values, variances = zip(*estimates, strict=True)
    return Estimate(torch.cat(values, -1), torch.cat(variances, -1))


def bound(log_weight: Tensor) -> Estimate:
    """`ln w (S, B) -> (B,)`: F = -mean ln w."""
    return Estimate(-log_weight.mean(0), log_weight.var(0) / len(log_weight))


def nll(log_weight: Tensor) -> Estimate:
    """`ln w (S, B) -> (B,)`: -ln mean w, an estimate of -ln p(x) that is too large in expectation (Burda et al. 2016).

    The variance is the delta method's, var w / (S mean^2 w).
    """
    weight = _scaled(log_weight)
    variance = weight.var(0) / weight.mean(0).square() / len(weight)
    return Estimate(-log_mean_exp(log_weight, 0), variance)


def ess(log_weight: Tensor) -> Estimate:
    """`ln w (S, B) -> (B,)`: effective sample size (sum w)^2 / sum w^2, from 1 to S; variance by the delta method."""
    weight, num = _scaled(log_weight), len(log_weight)
    first, second = weight.mean(0), weight.square().mean(0)
    slope = first / second
    influence = 2 * slope * (weight - first) - slope.square() * (weight.square() - second)
    return Estimate(num * first * slope, num * influence.var(0))


def lengths(draws: int) -> list[int]:
    """Numbers of draws at which a curve has points: 1, 2, 5, 10, 20, 50 and so on, and `draws` itself.

    >>> lengths(30)
    [1, 2, 5, 10, 20, 30]
    """
    decades = (10**e for e in range(len(str(draws))))
    found = {digit * decade for decade in decades for digit in (1, 2, 5)}
    return sorted({length for length in found if length <= draws} | {draws})


def curve(log_weight: Tensor) -> Estimate:
    """`ln w (S, B) -> (J, B)`: -ln p(x) as estimated from fewer draws, at each of the J `lengths(S)`.

    The mean over all disjoint blocks of so many draws, what is left over at the end dropped: it has the expectation of
    one block's estimate with less noise. The variance is that of the blocks over their number; of a single block the
    delta method's. At one draw it is F, at S draws `nll`.
    """
    points = [_blocks(log_weight, length) for length in lengths(len(log_weight))]
    return Estimate(*(torch.stack(parts) for parts in zip(*points, strict=True)))


def _blocks(log_weight: Tensor, length: int) -> Estimate:
    num = len(log_weight) // length
    if num == 1:
        return nll(log_weight[:length])
    blocks = -log_mean_exp(log_weight[: num * length].reshape(num, length, -1), 1)
    return Estimate(blocks.mean(0), blocks.var(0) / num)


def _scaled(log_weight: Tensor) -> Tensor:
    """Weights over the largest of their data point."""
    weight: Tensor = (log_weight - log_weight.amax(0)).exp()
    return weight
