"""How likely a run of one posterior is better than a run of another, averaged over targets."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import scipy
from numpy.typing import NDArray

from nfbench.analysis.interquartile import Interval
from nfbench.analysis.summary import FEWEST, LEVEL
from nfbench.specification.choices import Over

Array = NDArray[np.float64]
_LEAST = 1e-9  # of a probability, where an end of an interval is looked for


def improvement(runs: Sequence[Array], base: Sequence[Array], over: Over = "fixed") -> Interval:
    """P(improvement): the probability that a run is better than one of the base, equal ones counted half.

    It is the Mann-Whitney statistic U / (n m) of each target, averaged over targets (Agarwal et al. 2021, NeurIPS 34).
    The interval holds the probabilities that its value does not contradict, with the variance that U has under each of
    them (method 5 of Newcombe 2006, Statistics in Medicine 25). Unlike a bootstrap's, it does not shrink to a
    point where all runs of one side are better. Where the targets are random, it is not narrower than Student's
    interval of the targets' probabilities.

    Args:
        runs: scores of each target (n,), lower ones better.
        base: scores of the base on the same targets (m,).
        over: whether the targets are ``fixed`` or ``random``.

    Returns:
        The probability; without an interval where a side has fewer than `FEWEST` runs on a target.

    >>> improvement([np.array([1.0, 2.0, 3.0])], [np.array([4.0, 5.0, 6.0])]).value
    1.0
    """
    parts = _parts(runs, base)
    value = float(parts.mean())
    sizes = [(len(mine), len(theirs)) for mine, theirs in zip(runs, base, strict=True)]
    if min(map(min, sizes)) < FEWEST:
        return Interval(value)
    low, high = _ends(value, sizes)
    if over == "random":
        spread = float(parts.std(ddof=1)) / math.sqrt(len(parts))
        half = float(scipy.stats.t.ppf((1 + LEVEL) / 2, len(parts) - 1)) * spread
        low, high = min(low, max(value - half, 0.0)), max(high, min(value + half, 1.0))
    return Interval(value, low, high)


def share(runs: Sequence[Array], base: Sequence[Array]) -> float:
    """The value of `improvement` alone, without its interval.

    Args:
        runs: scores of each target (n,), lower ones better.
        base: scores of the base on the same targets (m,).

    Returns:
        The probability.

    >>> share([np.array([1.0, 4.0])], [np.array([2.0, 3.0])])
    0.5
    """
    return float(_parts(runs, base).mean())


def _parts(runs: Sequence[Array], base: Sequence[Array]) -> Array:
    """The share of better pairs on each target (T,)."""
    return np.array([_better(mine, theirs) for mine, theirs in zip(runs, base, strict=True)])


def _better(mine: Array, theirs: Array) -> float:
    """The share of pairs in which the first is lower, equal ones counted half."""
    lower, equal = mine[:, None] < theirs, mine[:, None] == theirs
    return float(lower.mean() + equal.mean() / 2)


def _ends(value: float, sizes: Sequence[tuple[int, int]]) -> tuple[float, float]:
    """The least and the largest probability whose mean statistic lies within the normal quantile of `value`."""
    normal = float(scipy.stats.norm.ppf((1 + LEVEL) / 2))

    def apart(probability: float) -> float:
        variance = sum(_variance(probability, *size) for size in sizes) / len(sizes) ** 2
        return (value - probability) ** 2 - normal**2 * variance

    low = 0.0 if value <= _LEAST else _root(apart, 0.0, value - _LEAST)
    high = 1.0 if value >= 1 - _LEAST else _root(apart, 1.0, value + _LEAST)
    return low, high


def _root(function: Callable[[float], float], outer: float, inner: float) -> float:
    """Where a function, which is positive at the outer end and negative at the inner one, is 0."""
    return float(scipy.optimize.brentq(function, outer, inner))


def _variance(probability: float, n: int, m: int) -> float:
    """Of U / (n m) where the runs of both sides have exponential distributions with this probability."""
    p, pairs = probability, (n + m) / 2 - 1
    return p * (1 - p) * (1 + pairs * ((1 - p) / (2 - p) + p / (1 + p))) / (n * m)
