"""Who beats whom on each target: paired tests over seeds against one posterior, corrected for their number."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray

from nfbench.analysis.blocks import CONFIGURATION, FACTS, Block, groups
from nfbench.analysis.differences import paired
from nfbench.analysis.improvement import improvement
from nfbench.analysis.power import needed_seeds
from nfbench.analysis.refuted import check_trusted, trusted
from nfbench.analysis.rope import signed_rank
from nfbench.analysis.scores import Scores, scores
from nfbench.analysis.summary import LEVEL, Estimate
from nfbench.foundation.names import unknown
from nfbench.specification.spec import parse

Array = NDArray[np.float64]
MARGIN = 0.05  # nats: differences that are smaller are of no practical use
BETTER, WORSE, WITHIN, UNDECIDED = "better", "worse", "within the margin", "undecided"


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for their number by Holm's step-down method (1979, Scandinavian Journal of Statistics 6).

    Args:
        p_values: of one family of tests; NaN for a test that was not made, which does not count.

    Returns:
        The adjusted values in the same order.

    >>> holm([0.01, 0.04, float("nan"), 0.03])
    [0.03, 0.06, nan, 0.06]
    """
    values = np.asarray(p_values, dtype=float)
    order = [int(place) for place in np.argsort(values, kind="stable") if not math.isnan(values[place])]
    factors = np.arange(len(order), 0, -1)
    adjusted = np.full(len(values), np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * values[order]), 1.0)
    return [float(value) for value in adjusted]


def less(left: Array, right: Array) -> Array:
    """The differences of scores, in which two runs that diverged are equal.

    Args:
        left: (n,), infinite where a run diverged.
        right: (n,), likewise.

    Returns:
        (n,).
    """
    with np.errstate(invalid="ignore"):
        return np.where(left == right, 0.0, left - right)


def signed_rank_test(differences: Array) -> float:
    """The two-sided p-value of Wilcoxon's signed-rank test, which infinite differences may enter.

    Args:
        differences: (n,).

    Returns:
        The p-value; 1 where there is no difference.
    """
    return float(scipy.stats.wilcoxon(differences, zero_method="zsplit").pvalue) if differences.any() else 1.0


def paired_test(differences: Array, difference: Estimate) -> float:
    """The two-sided p-value of a paired comparison over seeds.

    Without divergence it is the t-test whose interval the tables show. With a seed that diverged on one side there is
    no mean: then it is Wilcoxon's signed-rank test, in which such a seed has the highest rank.

    Args:
        differences: (n,) of the scores by seed, infinite where one side diverged, 0 where both did.
        difference: the mean difference of the seeds that are done, with its standard error.

    Returns:
        The p-value; NaN for fewer than two seeds.
    """
    if len(differences) < 2:
        return math.nan
    if np.isinf(differences).any():
        return signed_rank_test(differences)
    if difference.mean is None or difference.se is None or difference.n < 2:
        return math.nan
    if difference.se == 0:
        return float(difference.mean == 0)
    return 2 * float(scipy.stats.t.sf(abs(difference.mean) / difference.se, difference.n - 1))


def baselines(block: Block, against: str) -> dict[str, str]:
    """The posterior that each other one is compared with.

    Args:
        block: the records of a table.
        against: a posterior's spec; a family's spec without K means its member of equal K, or its only one.

    Returns:
        By posterior its baseline; no entry for one that is the baseline itself, or that has none of its depth.

    Raises:
        InputError: the block has no such posterior or family.
    """
    known = block.rows[["posterior", "family", "K"]].drop_duplicates()
    wanted = str(parse(against))
    if (known["posterior"] == wanted).any():
        return {str(name): wanted for name in known["posterior"] if name != wanted}
    members = known[known["family"] == wanted].set_index("K")["posterior"].to_dict()
    if not members:
        names = dict.fromkeys([*known["family"], *known["posterior"]])
        raise unknown("posterior", against, names, place=f" in the records of {block.experiment}")
    only = next(iter(members.values())) if len(members) == 1 else None
    others = known[known["family"] != wanted]
    pairs = ((str(row.posterior), members.get(row.K, only)) for row in others.itertuples())
    return {posterior: str(base) for posterior, base in pairs if base is not None}


def comparisons(block: Block, metric: str, against: str, margin: float = MARGIN) -> pd.DataFrame:
    """Every configuration that ``nfbench verify`` did not refute against a baseline on the same target, seed by seed.

    Args:
        block: the records of a table.
        metric: its name; low or high values of it are the better ones.
        against: as of `baselines`.
        margin: the difference, in the metric's unit, that matters.

    Returns:
        One row a target and posterior: the columns of `CONFIGURATION`, of `FACTS` and of an `Estimate` (the difference,
        baseline subtracted), and ``base``, ``pairs`` (seeds of both, diverged ones too), ``diverged`` of them on some
        side, ``p``, ``p_holm`` (over all rows), ``p_within`` (the larger p-value of two one-sided t-tests that the
        difference lies within the margin), ``improvement`` with ``improvement_low`` and ``improvement_high``,
        ``prob_better``, ``prob_within``, ``prob_worse`` (Bayesian signed-rank test), ``needed`` (seeds to find a
        difference as large as the margin) and ``verdict``.

    Raises:
        InputError: as of `baselines`, or the baseline was refuted.
    """
    check_trusted(block, str(parse(against)))
    block = trusted(block)
    base_of, every = baselines(block, against), scores(block, metric)
    bases = block.rows[block.rows["posterior"].isin(set(base_of.values()))]
    base_cells = {(str(name), str(on)): cells for (name, on), cells in bases.groupby(["posterior", "target"])}
    rows = [
        _compared(names, cells, base_cells, every, base_of[str(names["posterior"])], margin)
        for names, cells in groups(block.rows, CONFIGURATION)
        if str(names["posterior"]) in base_of
    ]
    table = pd.DataFrame([row for row in rows if row is not None])
    if table.empty:
        return table
    table["p_holm"] = holm(table["p"].tolist())
    tests = int(table["p"].notna().sum())
    table["needed"] = [_needed(row, margin, tests) for row in table.to_dict("records")]
    table["needed"] = table["needed"].astype("Int64")
    table["verdict"] = [_verdict(row, every.sign) for row in table.to_dict("records")]
    return table


def _compared(
    names: dict[str, Any],
    cells: pd.DataFrame,
    base_cells: dict[tuple[str, str], pd.DataFrame],
    every: Scores,
    base: str,
    margin: float,
) -> dict[str, Any] | None:
    """One row; None where the baseline has no record of the target."""
    theirs = base_cells.get((base, str(names["target"])))
    if theirs is None:
        return None
    target = every.targets.index(names["target"])
    mine, other = (every.values[every.posteriors.index(name), target] for name in (names["posterior"], base))
    both = ~np.isnan(mine) & ~np.isnan(other)
    differences = less(mine[both], other[both])
    difference = paired(cells, theirs, every.metric)
    mine_runs, their_runs = mine[~np.isnan(mine)], other[~np.isnan(other)]
    better = improvement([mine_runs], [their_runs]) if len(mine_runs) and len(their_runs) else None
    rope = signed_rank(differences, margin) if len(differences) > 1 else None
    return {
        **names,
        **{str(name): value for name, value in cells[list(FACTS)].iloc[0].items()},
        **vars(difference),
        "base": base,
        "pairs": int(both.sum()),
        "diverged": int((np.isinf(mine[both]) | np.isinf(other[both])).sum()),
        "p": paired_test(differences, difference),
        "p_within": _within(difference, margin) if np.isfinite(differences).all() else math.nan,
        "improvement": better.value if better else math.nan,
        "improvement_low": better.low if better else None,
        "improvement_high": better.high if better else None,
        "prob_better": rope.below if rope else math.nan,
        "prob_within": rope.within if rope else math.nan,
        "prob_worse": rope.above if rope else math.nan,
    }


def _within(difference: Estimate, margin: float) -> float:
    """The larger p-value of two one-sided t-tests (Schuirmann 1987); NaN for fewer than two seeds."""
    if difference.mean is None or difference.se is None or difference.n < 2:
        return math.nan
    room = margin - abs(difference.mean)
    if difference.se == 0:
        return float(room <= 0)
    return float(scipy.stats.t.sf(room / difference.se, difference.n - 1))


def _needed(row: dict[Any, Any], margin: float, tests: int) -> int | None:
    if row["n"] < 2 or pd.isna(row["sd"]) or row["diverged"]:
        return None
    spread = max(row["sd"], row["se"] * math.sqrt(row["n"]))
    return needed_seeds(float(spread), int(row["n"]), margin, tests) if spread > 0 else 3


def _verdict(row: dict[Any, Any], sign: float) -> str:
    """What the tests say; where they leave it open, how many seeds would decide."""
    if row["p_holm"] < 1 - LEVEL:
        lower = row["prob_better"] > row["prob_worse"] if row["diverged"] else sign * row["mean"] < 0
        small = f", {WITHIN}" if row["p_within"] < 1 - LEVEL else ""
        return (BETTER if lower else WORSE) + small
    if row["p_within"] < 1 - LEVEL:
        return WITHIN
    if row["diverged"]:
        return f"{UNDECIDED}: {row['diverged']} of {row['pairs']} seeds diverged"
    needed = row["needed"]
    if row["pairs"] < 2:
        return f"{row['pairs']} seed{'' if row['pairs'] == 1 else 's'} cannot decide this"
    many = "more than 10,000" if pd.isna(needed) else f"about {needed:,}"
    if row["pairs"] == 2:
        return f"2 seeds cannot decide this: {many} needed"
    return UNDECIDED if not pd.isna(needed) and needed <= row["pairs"] else f"{UNDECIDED}: {many} seeds needed"
