"""Which posterior is the best over all targets: ranks, interquartile means, and who is better than whom."""

import itertools
import math
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray

from nfbench.analysis.blocks import FACTS, Block
from nfbench.analysis.comparison import holm, less, signed_rank_test
from nfbench.analysis.improvement import improvement, share
from nfbench.analysis.interquartile import check_over, interquartile
from nfbench.analysis.refuted import check_trusted
from nfbench.analysis.scores import Scores, scores
from nfbench.analysis.summary import LEVEL
from nfbench.foundation.names import unknown
from nfbench.specification.choices import Over

Array = NDArray[np.float64]


class Pairs(NamedTuple):
    """The pairwise tests of posteriors over all targets.

    Attributes:
        posteriors: M specs, by mean rank.
        ranks: (M,) mean ranks, 1 for the best; equal runs share their ranks.
        p: (M, M) p-values, adjusted by Holm's method over all pairs; 1 on the diagonal.
        each: (M, R) the ranks within each of R blocks: pairs of a target and a seed (random targets: targets).
    """

    posteriors: tuple[str, ...]
    ranks: Array
    p: Array
    each: Array

    @property
    def blocks(self) -> int:
        """How many blocks the ranks are over."""
        return int(self.each.shape[1])


def pairwise(every: Scores, over: Over = "fixed") -> Pairs:
    """Compare every posterior with every other by Wilcoxon's signed-rank test.

    Fixed targets: a test is over all pairs of a target and a seed. Without a difference each is as likely above as
    below 0, whatever the target, so that they may be taken together. Random targets: over the targets' means, of which
    there must be many. The picture of Demšar (2006, JMLR 7) joins posteriors by a critical difference of ranks that
    depends on which others are compared; here they are joined by these tests (Benavoli et al. 2016, JMLR 17).

    Args:
        every: scores of posteriors that have a run on every target.
        over: see `nfbench.analysis.interquartile.check_over`.

    Returns:
        Ranks and adjusted p-values, the best rank first; ranks are NaN where no seed is common to all.
    """
    runs = every.together() if over == "fixed" else _means(every)
    each = np.asarray(scipy.stats.rankdata(runs, axis=0))
    ranks = each.mean(axis=1) if runs.shape[1] else np.full(len(runs), np.nan)
    order = np.argsort(ranks, kind="stable")
    runs, places = runs[order], list(itertools.combinations(range(len(order)), 2))
    adjusted = holm([signed_rank_test(less(runs[i], runs[j])) for i, j in places])
    p = np.ones((len(order), len(order)))
    for (i, j), value in zip(places, adjusted, strict=True):
        p[i, j] = p[j, i] = 1.0 if math.isnan(value) else value
    return Pairs(tuple(every.posteriors[place] for place in order), ranks[order], p, each[order])


def wins(every: Scores) -> Array:
    """How likely a run of each posterior is better than a run of each other one, averaged over targets.

    Args:
        every: scores of posteriors that have a run on every target.

    Returns:
        (M, M) P(improvement) of the row over the column (`nfbench.analysis.improvement.improvement`), in the order of
        the scores; 0.5 on the diagonal.
    """
    runs = [every.runs(posterior) for posterior in every.posteriors]
    shares = np.full((len(runs), len(runs)), 0.5)
    for i, j in itertools.combinations(range(len(runs)), 2):
        shares[i, j] = share(runs[i], runs[j])
        shares[j, i] = 1 - shares[i, j]
    return shares


def _means(every: Scores) -> Array:
    """(M, T) means over the seeds of each target."""
    return np.array([[runs.mean() for runs in every.runs(posterior)] for posterior in every.posteriors])


def overall(block: Block, metric: str, over: str = "fixed", against: str | None = None) -> pd.DataFrame:
    """Rank the posteriors of a block over its targets.

    Args:
        block: the records of a table.
        metric: its name; low or high values of it are the better ones.
        over: ``fixed`` for these targets, ``random`` for others like them.
        against: a posterior's spec, which the others are compared with; None: the first of the ranking.

    Returns:
        One row a posterior that has a run on every target, sorted by mean rank: ``posterior``, `FACTS`, ``rank`` (mean
        over targets and seeds), ``iqm`` with ``iqm_low`` and ``iqm_high`` (interquartile mean of the excess, in the
        metric's unit), ``runs``, ``diverged``, ``base``, ``improvement`` with its ends (over the base; None for the
        base itself) and ``p_holm`` (of the difference to the base, adjusted over all pairs of posteriors).

    Raises:
        InputError: `over` is wrong or impossible, or no posterior is named as `against` says.
    """
    every = scores(block, metric).everywhere()
    over = check_over(over, len(every.targets))
    pairs = pairwise(every, over)
    if against is not None and against not in pairs.posteriors:
        check_trusted(block, against)
        raise unknown("posterior", against, pairs.posteriors, place=f" in the ranking of {block.experiment}")
    base = against or next(iter(pairs.posteriors), "")
    rows = []
    for place, posterior in enumerate(pairs.posteriors):
        runs = every.runs(posterior)
        mean = interquartile(runs, over)
        better = improvement(runs, every.runs(base), over) if posterior != base else None
        facts = block.rows[block.rows["posterior"] == posterior].iloc[0]
        rows.append(
            {"posterior": posterior}
            | {name: facts[name] for name in FACTS if name not in ("target_label", "log_z", "order")}
            | {"rank": float(pairs.ranks[place]), "iqm": mean.value, "iqm_low": mean.low, "iqm_high": mean.high}
            | {"runs": sum(map(len, runs)), "diverged": int(sum(np.isinf(part).sum() for part in runs)), "base": base}
            | {"improvement": better.value if better else None}
            | {"improvement_low": better.low if better else None, "improvement_high": better.high if better else None}
            | {"p_holm": float(pairs.p[place, pairs.posteriors.index(base)]) if better else None}
        )
    return pd.DataFrame(rows)


def left_out(block: Block, metric: str) -> list[str]:
    """The posteriors of a block that a ranking leaves out, as they have no run on some target.

    Args:
        block: the records of a table.
        metric: its name.

    Returns:
        Their specs, in the order of the records.
    """
    every = scores(block, metric)
    there = set(every.everywhere().posteriors)
    return [posterior for posterior in every.posteriors if posterior not in there]


def joined(pairs: Pairs) -> list[tuple[int, int]]:
    """Groups of posteriors next to each other in rank, no two of which differ by a pairwise test at 5 %.

    Args:
        pairs: of `pairwise`.

    Returns:
        First and last place of each group of at least two, none inside another.
    """
    groups: list[tuple[int, int]] = []
    for first in range(len(pairs.posteriors)):
        last = first
        while last + 1 < len(pairs.posteriors) and (pairs.p[first : last + 1, last + 1] >= 1 - LEVEL).all():
            last += 1
        if last > first and not (groups and groups[-1][1] >= last):
            groups.append((first, last))
    return groups
