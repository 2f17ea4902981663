"""The interquartile mean of runs over targets, with an interval that also holds for a few seeds."""

import math
from collections.abc import Sequence
from typing import NamedTuple, get_args

import numpy as np
import scipy
from numpy.typing import NDArray

from nfbench.analysis.summary import FEWEST, LEVEL
from nfbench.foundation.errors import InputError
from nfbench.specification.choices import Over

Array = NDArray[np.float64]
FEWEST_TARGETS = 5  # that can stand for others
_TRIMMED = 0.25  # share of runs that is left out at each end
_REPETITIONS = 2000


class Interval(NamedTuple):
    """An estimate with its 95 % interval.

    Attributes:
        value: the estimate.
        low: lower end; None where the runs allow no interval.
        high: upper end; None likewise.
    """

    value: float
    low: float | None = None
    high: float | None = None


def check_over(over: str, targets: int) -> Over:
    """What an interval is to hold for.

    Args:
        over: ``fixed`` for these targets, ``random`` for others like them.
        targets: how many there are.

    Returns:
        The word.

    Raises:
        InputError: another word, or fewer random targets than `FEWEST_TARGETS`.
    """
    if over not in get_args(Over):
        raise InputError(f"targets {over!r}: expected fixed (these targets) or random (others like them)")
    if over == "random" and targets < FEWEST_TARGETS:
        raise InputError(f"targets 'random': {targets} cannot stand for others; expected at least {FEWEST_TARGETS}")
    return "fixed" if over == "fixed" else "random"


def interquartile_mean(runs: Sequence[Array]) -> float:
    """The mean of all runs without the lowest and the highest quarter of them.

    Args:
        runs: of each target (n,); an infinite one is worse than any.

    Returns:
        The mean, infinite where more than a quarter of the runs are.

    >>> interquartile_mean([np.array([1.0, 2.0, 3.0, np.inf])])
    2.5
    """
    return float(_trimmed(np.concatenate(runs)))


def interquartile(runs: Sequence[Array], over: Over = "fixed") -> Interval:
    """The interquartile mean over targets and seeds with its interval (Agarwal et al. 2021, NeurIPS 34).

    The spread of the mean is that of a bootstrap: over the seeds of each target where the targets are fixed, over whole
    targets with all their seeds where they are random. A bootstrap of n values is too narrow by sqrt((n - 1) / n), and
    its quantiles know nothing of Student's t: with three seeds they cover the truth in 70 to 88 % of cases. So the
    interval is the mean ± t s, with s the bootstrap's standard deviation without that fault, and the degrees of freedom
    of Welch and Satterthwaite, from each target's part in s^2; targets less one where they are random.

    Args:
        runs: of each target (n,), at least one each.
        over: see `check_over`.

    Returns:
        The mean; without an interval where a target has fewer than `FEWEST` runs, or where the mean is infinite in
        some repetition.
    """
    value = interquartile_mean(runs)
    if not math.isfinite(value) or min(map(len, runs)) < FEWEST:
        return Interval(value)
    random = np.random.default_rng(0)
    drawn = _by_seed(runs, random) if over == "fixed" else _by_target(runs, random)
    means = _trimmed(drawn)
    if not np.isfinite(means).all():
        return Interval(value)
    count = float(np.mean([len(one) for one in runs])) if over == "fixed" else len(runs)
    freedom = _freedom(runs) if over == "fixed" else len(runs) - 1
    spread = float(means.std(ddof=1)) * math.sqrt(count / (count - 1))
    half = float(scipy.stats.t.ppf((1 + LEVEL) / 2, freedom)) * spread
    return Interval(value, value - half, value + half)


def _trimmed(values: Array) -> Array:
    """Means over the last axis without a quarter at each end; infinite values do not warn."""
    size = values.shape[-1]
    cut = int(_TRIMMED * size)
    middle: Array = np.sort(values, axis=-1)[..., cut : size - cut].mean(axis=-1)
    return middle


def _by_seed(runs: Sequence[Array], random: np.random.Generator) -> Array:
    """(repetitions, runs): the runs of each target drawn anew from themselves."""
    parts = [each[random.integers(len(each), size=(_REPETITIONS, len(each)))] for each in runs]
    return np.concatenate(parts, axis=1)


def _by_target(runs: Sequence[Array], random: np.random.Generator) -> Array:
    """(repetitions, runs): targets drawn anew with all their runs, of as many seeds as every target has."""
    seeds = min(map(len, runs))
    equal = np.stack([each[:seeds] for each in runs])
    drawn = equal[random.integers(len(runs), size=(_REPETITIONS, len(runs)))]
    return drawn.reshape(_REPETITIONS, -1)


def _freedom(runs: Sequence[Array]) -> float:
    """Degrees of freedom of the spread over seeds: those of a sum of the targets' variances, outer runs pulled in."""
    every = np.sort(np.concatenate(runs))
    cut = int(_TRIMMED * len(every))
    low, high = every[cut], every[len(every) - cut - 1]
    parts = [(len(each), len(each) * float(np.clip(each, low, high).var(ddof=1))) for each in runs]
    total = sum(part for _, part in parts)
    if not total > 0:
        return 1.0
    return total**2 / sum(part**2 / (count - 1) for count, part in parts)
