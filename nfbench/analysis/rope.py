"""The Bayesian signed-rank test with a region of practical equivalence, in nats."""

import functools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_PRIOR = 0.5  # weight of a difference of 0 that is added to those at hand
_DRAWS = 20_000
_LARGE = 1e12  # in place of an infinite difference


class Posterior(NamedTuple):
    """Where a difference lies; the three probabilities add up to 1.

    Attributes:
        below: that it is below minus the margin.
        within: that it is within the margin around 0.
        above: that it is above the margin.
    """

    below: float
    within: float
    above: float


def signed_rank(differences: Iterable[float], margin: float) -> Posterior:
    """The Bayesian counterpart of Wilcoxon's signed-rank test (Benavoli et al. 2017, JMLR 18).

    A distribution of differences is drawn from a Dirichlet process: each difference gets a random weight, and so does
    a difference of 0, which stands for what was believed before. The weights of two differences are given to where
    their mean lies: below -margin, within the margin, or above it. Counted is how often each has the most.

    Args:
        differences: (n,) by seed, in nats; one that is infinite lies beyond any margin.
        margin: in nats.

    Returns:
        The probabilities, from 20,000 draws with a fixed seed: their Monte-Carlo error is at most 0.004.

    >>> signed_rank([0.2, 0.3, 0.25, 0.2, 0.3], 0.05).above > 0.95
    True
    """
    values = np.clip(np.array([0.0, *differences]), -_LARGE, _LARGE)
    means = (values[:, None] + values) / 2
    weights = _weights(len(values) - 1)
    sides = (means < -margin).astype(float), (means > margin).astype(float)
    below, above = ((weights @ side * weights).sum(axis=1) for side in sides)
    shares = np.stack([below, 1 - below - above, above], axis=1)
    counts = np.bincount(shares.argmax(axis=1), minlength=3) / _DRAWS
    return Posterior(*(float(count) for count in counts))


@functools.lru_cache(maxsize=8)
def _weights(n: int) -> NDArray[np.float64]:
    """(draws, 1 + n): weights of the difference of 0 and of n differences, the same for all comparisons of n."""
    weights: NDArray[np.float64] = np.random.default_rng(0).dirichlet([_PRIOR, *[1.0] * n], size=_DRAWS)
    return weights
