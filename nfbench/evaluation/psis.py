"""Pareto-smoothed importance sampling's diagnosis of weights; arviz-stats does the fit."""

import numpy as np
from numpy.typing import NDArray

UNRELIABLE = 0.7  # above it the mean of the weights cannot be trusted at any practical number of draws

_FEWEST = 25  # draws: a fifth of them are the tail, which needs five
_MANY = 225  # draws: from here on 3 sqrt(S) of them are the tail
_RESOLUTION = 1e-9  # weights that differ by less, relatively, differ by rounding
_LEAST = 1e-300


def khat(log_weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """`ln w (B, S) -> k-hat (B,)`: shape of the generalised Pareto distribution fitted to each row's largest weights.

    Weights have finite moments below order 1 / k; up to 0.7 their mean converges usefully (Vehtari et al. 2024, Pareto
    Smoothed Importance Sampling, arXiv:1507.02646; tail and prior as there: 3 sqrt(S) draws, at most S / 5).

    NaN where a weight is NaN or infinite, where all are zero, and for fewer than 25 draws; -inf where the tail's
    weights are all equal, as an exact posterior's are; inf where a quarter of the tail is nothing beside the largest.
    """
    return np.array([_khat(row) for row in log_weights.astype(np.float64)])


def _khat(log_weight: NDArray[np.float64]) -> float:
    top, num = log_weight.max(), len(log_weight)
    if num < _FEWEST or not np.isfinite(top):
        return np.nan
    tail = int(3 * num**0.5) if num > _MANY else num // 5
    ordered = np.sort(log_weight)[-tail - 1 :]
    if top - ordered[0] < _RESOLUTION:
        return -np.inf
    weight = np.exp(ordered - top)
    # There the fit would divide by zero, and arviz-stats 0.8 says that all is well.
    return np.inf if weight[tail // 4] - weight[0] < _LEAST else _fit(log_weight)


def _fit(log_weight: NDArray[np.float64]) -> float:
    # Here, for its import takes a second that only a long estimate has to spend.
    from arviz_stats.base import array_stats

    _, found = array_stats.psislw(-log_weight)  # it is written for leave-one-out, whose weights are 1 / p
    return float(found)
