"""Pareto-smoothed importance sampling: smoothed weights and their diagnosis; arviz-stats does the fit."""

import math

import numpy as np
from numpy.typing import NDArray

UNRELIABLE = 0.7  # above it the mean of the weights cannot be trusted at any practical number of draws

_FEWEST = 25  # draws: a fifth of them are the tail, which needs five
_MANY = 225  # draws: above it the tail is 3 sqrt(S) draws
RESOLUTION = 1e-9  # weights in float64 that differ by less, relatively, differ by rounding
_LEAST = 1e-300


def khat(log_weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fit a generalised Pareto distribution to each row's largest weights and return its shape k-hat.

    Weights have finite moments below order 1 / k; up to 0.7 their mean converges usefully (Vehtari et al. 2024, Pareto
    Smoothed Importance Sampling, arXiv:1507.02646; tail and prior as there: 3 sqrt(S) draws, at most S / 5).

    Args:
        log_weights: ln w in nats, shape (B, S).

    Returns:
        k-hat, shape (B,). NaN where a weight is NaN or infinite, where all are zero, and for fewer than 25 draws; -inf
        where the tail's weights are all equal, as an exact posterior's are; inf where a quarter of the tail vanishes
        beside the largest weight, or is one number and the rest is not.

    >>> pareto = -0.5 * np.log(np.random.default_rng(0).random((1, 10_000)))  # ln u^-k for k = 0.5
    >>> bool(abs(khat(pareto)[0] - 0.5) < 0.3)
    True
    """
    return np.array([_khat(row) for row in log_weights.astype(np.float64)])


def khat_threshold(draws: int) -> float:
    """The k-hat up to which an estimate from so many draws can be trusted, min(1 - 1 / log10 S, 0.7).

    Vehtari et al. 2024, Pareto Smoothed Importance Sampling, arXiv:1507.02646, section 3.2.4: a smaller sample needs
    lighter tails.

    Args:
        draws: S, more than 10.

    Returns:
        A number below 0.7.

    >>> round(khat_threshold(200), 2), khat_threshold(10_000)
    (0.57, 0.7)
    """
    return min(1 - 1 / math.log10(draws), UNRELIABLE)


def smoothed(log_weights: NDArray[np.float64], resolution: float = RESOLUTION) -> tuple[NDArray[np.float64], float]:
    """Replace the largest weights by quantiles of the generalised Pareto distribution that is fitted to them.

    Args:
        log_weights: ln w in nats, shape (S,).
        resolution: nats below which they differ by rounding.

    Returns:
        The smoothed ln w, shape (S,), on the scale of the raw ones; and k-hat, as `khat` gives it. The weights are the
        raw ones where k-hat is not finite, so that there is no tail to smooth.

    >>> weights, shape = smoothed(np.zeros(100))
    >>> float(weights.max()), shape
    (0.0, -inf)
    """
    raw = log_weights.astype(np.float64)
    shape = _khat(raw, resolution)
    if not np.isfinite(shape):
        return raw, shape
    from arviz_stats.base import array_stats

    normalised, _ = array_stats.psislw(-raw)
    smallest = int(np.argmin(np.where(np.isfinite(raw), raw, np.inf)))  # never in the tail, so only rescaled
    return normalised + (raw[smallest] - normalised[smallest]), shape


def _khat(log_weight: NDArray[np.float64], resolution: float = RESOLUTION) -> float:
    top, num = log_weight.max(), len(log_weight)
    if num < _FEWEST or not np.isfinite(top):
        return np.nan
    tail = int(3 * num**0.5) if num > _MANY else num // 5
    ordered = np.sort(log_weight)[-tail - 1 :]
    if top - ordered[0] < resolution:
        return -np.inf
    weight = np.exp(ordered - top)
    # Such a fit would divide by zero, and arviz-stats 0.8 would return a small k-hat.
    return np.inf if weight[tail // 4] - weight[0] < _LEAST else _fit(log_weight)


def _fit(log_weight: NDArray[np.float64]) -> float:
    # Imported here, as it takes a second that only long estimates need to spend.
    from arviz_stats.base import array_stats

    _, shape = array_stats.psislw(-log_weight)  # it is written for leave-one-out, whose weights are 1 / p
    return float(shape)
