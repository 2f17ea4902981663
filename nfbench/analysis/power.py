"""Seeds that a paired comparison needs to see a difference of a given size."""

import functools
import math

import numpy as np
import scipy

from nfbench.analysis.summary import LEVEL

POWER = 0.8  # probability that a difference as large as the margin is found
MOST_SEEDS = 10_000


@functools.lru_cache(maxsize=4096)
def needed_seeds(sd: float, n: int, margin: float, comparisons: int = 1) -> int | None:
    """Seeds with which a paired t-test finds a difference as large as the margin with probability `POWER`.

    The spread is known from n seeds only. Taken for the truth, it promises too much: of three seeds it is often too
    small by chance. So the probability is an average over what n seeds leave open about it (Julious & Owen 2006,
    Pharmaceutical Statistics 5): N seeds suffice where margin sqrt(N) / sd is the 80 % quantile of a noncentral t
    with n - 1 degrees of freedom, whose noncentrality is the critical t of the test with N - 1.

    Args:
        sd: standard deviation of the differences over n seeds, in nats.
        n: how many seeds that is; at least 2.
        margin: the difference that is to be found, in nats.
        comparisons: with so many tests in a table, each is made at 5 % / comparisons, as Holm's first one is.

    Returns:
        The least such number, at least 3; None where `MOST_SEEDS` do not suffice.

    >>> needed_seeds(0.05, 5, 0.05), needed_seeds(0.05, 100, 0.05), needed_seeds(0.05, 2, 0.05)
    (15, 10, 62)
    """

    def suffices(seeds: int) -> bool:
        critical = scipy.stats.t.ppf(1 - (1 - LEVEL) / 2 / comparisons, seeds - 1)
        return bool(margin * math.sqrt(seeds) >= sd * _quantile(n - 1, critical))

    low, high = 2, 3
    while not suffices(high):
        low, high = high, 2 * high
        if low > MOST_SEEDS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if suffices(middle) else (middle, high)
    return high if high <= MOST_SEEDS else None


def _quantile(freedom: int, noncentrality: float) -> float:
    """The quantile of a noncentral t at `POWER`; scipy's own search fails far out, so its distribution is inverted."""
    value = float(scipy.stats.nct.ppf(POWER, freedom, noncentrality))
    if np.isfinite(value) and value > 0:
        return value
    return noncentrality / math.sqrt(float(scipy.stats.chi2.ppf(1 - POWER, freedom)) / freedom)
