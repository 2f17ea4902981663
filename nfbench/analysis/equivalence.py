"""Whether our mean is the paper's: an equivalence test, whether its verdict stands, and how many seeds it takes."""

import functools
import math
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from nfbench.analysis.summary import LEVEL, Estimate

Array = NDArray[np.float64]

REPRODUCED, LOWER, HIGHER, UNDECIDED = "reproduced", "lower than the paper's", "higher than the paper's", "undecided"
STANDS = 0.8  # share of repetitions that must agree with a verdict
_REPETITIONS = 2000
_SEEDS = (3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 70, 100, 150, 200, 300, 500, 1000)


class Verdict(NamedTuple):
    """Outcome of an equivalence test.

    Attributes:
        verdict: ``reproduced``, ``lower than the paper's``, ``higher than the paper's``, ``undecided`` or ``not
            tested``; in the tables of `published.compare` also ``not comparable`` or ``baseline``.
        p_value: the larger one of the two one-sided tests; None where nothing is tested.
        low: lower end of the 95 % interval of ours less theirs, in the metric's unit; None where nothing is tested.
        high: upper end, likewise.
        stands: share of repetitions with as many other seeds that would come to the verdict of the test.
        tested: what the test alone says, whether it stands or not.
        needed: seeds with which a verdict would be expected to stand; None where there is one, or where no number of
            seeds would do because the paper's own error is too large.
    """

    verdict: str
    p_value: float | None = None
    low: float | None = None
    high: float | None = None
    stands: float | None = None
    tested: str | None = None
    needed: int | None = None

    @property
    def words(self) -> str:
        """The verdict for a table, with the number of seeds that would decide."""
        if self.verdict != UNDECIDED:
            return self.verdict
        return UNDECIDED + (f", about {self.needed} seeds needed" if self.needed else ", whatever the seeds")


@functools.lru_cache(maxsize=1024)
def equivalence(ours: Estimate, theirs: float, their_se: float, margin: float) -> Verdict:
    """Test whether our mean is within a margin of theirs by two one-sided t-tests (TOST), each at 1 - LEVEL = 5 %.

    The test is Schuirmann's (1987, J. Pharmacokinet. Biopharm. 15). Standard errors add in quadrature; the degrees of
    freedom are those of Welch (1947) and Satterthwaite (1946), with `their_se` taken as known. A mean that is not shown
    to be equivalent is *lower* or *higher* if the two-sided interval of the deviation excludes 0, else *undecided*.

    A verdict that other seeds would not confirm is none: 2,000 repetitions of the whole experiment are drawn, with the
    seeds' mean and spread from what the seeds at hand say of them (Student's t and chi-square), and where fewer than
    `STANDS` of them come to the same verdict, it is *undecided*.

    Args:
        ours: mean and standard error over seeds.
        theirs: the published value, in the unit of ours.
        their_se: its standard error.
        margin: two results are equivalent where they differ by less.

    Returns:
        The verdict, with p-value and interval; ``not tested`` where ours is no mean over at least two values.
    """
    if ours.mean is None or ours.se is None or ours.n < 2:
        return Verdict("not tested")
    one = np.ones(1)
    verdicts, p_values, half = _tests(one * ours.mean - theirs, one * ours.se, ours.n, their_se, margin)
    deviation, tested = ours.mean - theirs, str(verdicts[0])
    stands = _agreeing(ours, deviation, their_se, margin, tested)
    verdict = tested if stands >= STANDS else UNDECIDED
    needed = _needed(ours, deviation, their_se, margin) if verdict == UNDECIDED else None
    ends = deviation - float(half[0]), deviation + float(half[0])
    return Verdict(verdict, float(p_values[0]), *ends, stands, tested, needed)


def _tests(
    deviation: Array, se: Array, n: int, their_se: float, margin: float
) -> tuple[NDArray[np.str_], Array, Array]:
    """Verdicts, p-values and half the intervals of many experiments, from deviations and errors of means (R,)."""
    total = np.hypot(se, their_se)
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = np.where(se > 0, (n - 1) * (total / se) ** 4, np.inf)
        distance = (margin - np.abs(deviation)) / total
    half = scipy.stats.t.ppf((1 + LEVEL) / 2, freedom) * total
    inside = np.where(margin > np.abs(deviation), 0.0, 1.0)  # p where nothing is uncertain
    p_values = np.where(total > 0, scipy.stats.t.sf(distance, freedom), inside)
    apart = np.where(deviation + half < 0, LOWER, np.where(deviation - half > 0, HIGHER, UNDECIDED))
    return np.where(p_values < 1 - LEVEL, REPRODUCED, apart), p_values, half


def _agreeing(ours: Estimate, deviation: float, their_se: float, margin: float, verdict: str) -> float:
    """Share of repetitions with as many seeds that come to a verdict, from the predictive distribution."""
    n, random = ours.n, np.random.default_rng(0)
    spread = _sd(ours) * np.sqrt((n - 1) / random.chisquare(n - 1, _REPETITIONS))
    true = deviation + spread / math.sqrt(n) * random.standard_normal(_REPETITIONS)
    repeated = _repeated(random, true, spread, n, _monte_carlo(ours, n), their_se, margin)
    return float((repeated == verdict).mean())


def _needed(ours: Estimate, deviation: float, their_se: float, margin: float) -> int | None:
    """The fewest seeds with which some verdict stands, if mean and spread are what they are at hand."""
    true, spread = np.full(_REPETITIONS, deviation), np.full(_REPETITIONS, _sd(ours))
    for n in (n for n in _SEEDS if n > ours.n):
        random = np.random.default_rng(0)
        repeated = _repeated(random, true, spread, n, _monte_carlo(ours, n), their_se, margin)
        if any((repeated == verdict).mean() >= STANDS for verdict in (REPRODUCED, LOWER, HIGHER)):
            return n
    return None


def _repeated(
    random: np.random.Generator, true: Array, spread: Array, n: int, least: float, their_se: float, margin: float
) -> NDArray[np.str_]:
    """The verdicts of repetitions (R,): n seeds around a true deviation with a spread, errors at least `least`."""
    means = true + spread / math.sqrt(n) * random.standard_normal(len(true))
    errors = spread * np.sqrt(random.chisquare(n - 1, len(true)) / (n - 1) / n)
    verdicts, _, _ = _tests(means, np.maximum(errors, least), n, their_se, margin)
    return verdicts


def _monte_carlo(ours: Estimate, n: int) -> float:
    """The error of a mean over n seeds that is due to their draws, where that is what bounds it; else 0."""
    assert ours.se is not None
    return ours.se * math.sqrt(ours.n / n) if ours.se > _sd(ours) / math.sqrt(ours.n) else 0.0


def _sd(ours: Estimate) -> float:
    assert ours.se is not None
    return ours.se * math.sqrt(ours.n) if ours.sd is None else ours.sd
