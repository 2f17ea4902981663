"""What stored results say: means with intervals over seeds, paired differences, and checks.

A *block* is what may stand in one table: one source, experiment, profile, recipe and data. A *configuration* is a
block's target and posterior; its cells differ in seed only. No mean goes over more than a configuration's seeds.
"""

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from nfbench.analysis.blocks import BLOCK, CONFIGURATION, FACTS, OUTCOMES, SETTINGS, groups, metrics, where

LEVEL = 0.95
FEWEST = 3  # values that make an interval
Seeds = dict[int, tuple[float, float, str]]  # seed -> value, its Monte-Carlo error (NaN: unknown), id of the record


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval, in the unit of the values; what too few values leave open is None, never NaN.

    Attributes:
        n: number of values.
        mean: of the values; None without any.
        sd: their standard deviation, with n - 1 in the denominator; None for fewer than two values.
        se: standard error of the mean, the larger one of sd / sqrt(n) and its Monte-Carlo error; of one value its
            Monte-Carlo error, None where that is not known.
        low: lower end of the interval of the mean at `LEVEL`; None for fewer than `FEWEST` values.
        high: upper end.
        least: the smallest value; with `largest` it says all of two values.
        largest: the largest value.
    """

    n: int
    mean: float | None = None
    sd: float | None = None
    se: float | None = None
    low: float | None = None
    high: float | None = None
    least: float | None = None
    largest: float | None = None


PARTS = tuple(field.name for field in fields(Estimate) if field.name != "mean")


def estimate(values: Iterable[float], errors: Iterable[float] | None = None) -> Estimate:
    """Mean, standard deviation, standard error and interval at `LEVEL`.

    Half the interval's width is the larger one of t sd / sqrt(n), with Student's t of n - 1 degrees of freedom, and
    z sqrt(mean(errors^2) / n), with the normal quantile z. The spread over seeds contains their Monte-Carlo error, but
    the spread of a few seeds can be small by chance, and their mean is then still not known better than the draws of
    each allow. Two values make no interval: with one degree of freedom t is 12.7.

    Args:
        values: (n,), such as a metric over seeds; those that are not finite do not count.
        errors: (n,), Monte-Carlo standard errors of the values, independent of each other; NaN where one has none.

    Returns:
        The estimate from the finite values.

    >>> estimate([1.0, 2.0, 3.0, float("nan")]).mean, estimate([1.0]).low
    (2.0, None)
    >>> round(estimate([1.0, 1.0, 1.0], [0.3, 0.3, 0.3]).high, 3)  # 1 + 1.96 * 0.3 / sqrt(3)
    1.339
    """
    sample = np.asarray(list(values), dtype=float)
    variances = np.full(len(sample), np.nan) if errors is None else np.asarray(list(errors), dtype=float) ** 2
    finite = np.isfinite(sample)
    sample, variances = sample[finite], variances[finite]
    n, known = len(sample), variances[np.isfinite(variances)]
    if not n:
        return Estimate(0)
    monte_carlo = math.sqrt(float(known.mean()) / n) if len(known) else None
    mean, least, largest = float(sample.mean()), float(sample.min()), float(sample.max())
    if n == 1:
        return Estimate(1, mean, se=monte_carlo, least=least, largest=largest)
    sd = float(sample.std(ddof=1))
    se = max(sd / math.sqrt(n), monte_carlo or 0.0)
    if n < FEWEST:
        return Estimate(n, mean, sd, se, least=least, largest=largest)
    student, normal = stats.t.ppf((1 + LEVEL) / 2, n - 1), stats.norm.ppf((1 + LEVEL) / 2)
    half = float(max(student * sd / math.sqrt(n), normal * (monte_carlo or 0.0)))
    return Estimate(n, mean, sd, se, mean - half, mean + half, least, largest)


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds of every metric.

    Args:
        frame: a table of records.

    Returns:
        One row a configuration, sorted by block and, within it, by the experiment's order: facts, counts of outcomes,
        and for each metric m the columns m, m_n, m_sd, m_se, m_low, m_high, m_least and m_largest, as of an `Estimate`.
    """
    names = metrics(frame)
    rows = [_summarise(cells, names) for _, cells in groups(frame, CONFIGURATION)]
    table = pd.DataFrame(rows)
    return table.sort_values([*BLOCK, "order"], kind="stable").reset_index(drop=True) if rows else table


def _summarise(cells: pd.DataFrame, names: list[str]) -> dict[str, Any]:
    done = cells[cells["status"] == "done"]
    first = (done if len(done) else cells).iloc[0]
    row: dict[str, Any] = {name: first[name] for name in (*CONFIGURATION, *FACTS, *SETTINGS)}
    row |= {"seeds": len(cells)} | {outcome: int((cells["status"] == outcome).sum()) for outcome in OUTCOMES}
    row |= {"seconds": float(done["seconds"].mean()) if len(done) else None}
    for name in names:
        over_seeds = over(done, name)
        row |= {name: over_seeds.mean} | {f"{name}_{part}": getattr(over_seeds, part) for part in PARTS}
    return row


def over(cells: pd.DataFrame, metric: str) -> Estimate:
    """The mean of a metric over cells, with an interval that is never narrower than their Monte-Carlo error.

    Args:
        cells: the done cells of one configuration.
        metric: its name.

    Returns:
        The estimate from the cells that have a value.
    """
    return estimate(cells[metric], cells[f"{metric}_se"].astype(float))


def by_seed(cells: pd.DataFrame, metric: str) -> Seeds:
    """The values of a metric over the seeds of a configuration.

    Args:
        cells: of one configuration.
        metric: its name.

    Returns:
        Of the cells that are done.
    """
    done = cells[cells["status"] == "done"]
    errors = done[f"{metric}_se"].astype(float)
    found = dict(zip(done["seed"], zip(done[metric], errors, done["id"], strict=True), strict=True))
    assert len(found) == len(done), "a configuration has one cell a seed"
    return found


def difference(left: Seeds, right: Seeds) -> Estimate:
    """The difference `left` - `right` of two configurations over the seeds that both have.

    The Monte-Carlo error of a difference is taken as that of independent draws, which is at least what it is where
    both sides have some of their draws in common. Records of one id have all of them in common, and none.

    Args:
        left: values of one configuration.
        right: values of another.

    Returns:
        The mean difference with its interval; `n` counts the seeds that both have.
    """
    both = [(left[seed], right[seed]) for seed in left if seed in right]
    errors = [0.0 if mine[2] == theirs[2] else math.hypot(mine[1], theirs[1]) for mine, theirs in both]
    return estimate([mine[0] - theirs[0] for mine, theirs in both], errors)


def paired(left: pd.DataFrame, right: pd.DataFrame, metric: str) -> Estimate:
    """The difference `left` - `right` of two configurations over the seeds that are done in both.

    Args:
        left: the cells of one configuration.
        right: the cells of another.
        metric: name of the metric that is subtracted.

    Returns:
        As of `difference`.
    """
    return difference(by_seed(left, metric), by_seed(right, metric))


def depth_steps(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Paired differences between consecutive K of a family, deeper less shallower.

    Args:
        frame: a table of records.
        metric: name of the metric that is subtracted.

    Returns:
        One row a step: block, target, family, `K_from`, `K_to`, and the columns of an `Estimate`.
    """
    rows = []
    for names, cells in groups(frame, [*BLOCK, "target", "family"], sort=True):
        depths = sorted(cells["K"].unique())
        for shallow, deep in itertools.pairwise(depths):
            step = paired(cells[cells["K"] == deep], cells[cells["K"] == shallow], metric)
            rows.append(names | {"K_from": shallow, "K_to": deep, **vars(step)})
    return pd.DataFrame(rows)


def against(frame: pd.DataFrame, metric: str, family: str, K: int | None = None) -> pd.DataFrame:
    """Paired differences of every configuration to a baseline of the same block and target.

    Args:
        frame: a table of records.
        metric: name of the metric that is subtracted.
        family: the baseline's canonical spec without K.
        K: the baseline's depth; None compares at equal depth.

    Returns:
        One row for each configuration that has a baseline beside it: the columns of `CONFIGURATION` and of an
        `Estimate`.
    """
    rows = []
    for names, cells in groups(frame, CONFIGURATION):
        same = where(frame, {name: names[name] for name in (*BLOCK, "target")})
        depth = cells["K"].iloc[0] if K is None else K
        base = same[(same["family"] == family) & (same["K"] == depth)]
        if len(base):
            rows.append(names | vars(paired(cells, base, metric)))
    return pd.DataFrame(rows)


def beside(frame: pd.DataFrame) -> pd.DataFrame:
    """Own and reference results of equal configuration.

    Args:
        frame: a table of records.

    Returns:
        One row a configuration and metric, with three estimates: `own`, `reference` and their `paired` difference.
    """
    shared = [name for name in CONFIGURATION if name != "source"]
    rows = []
    for agreed, cells in groups(frame, shared):
        own, reference = cells[cells["source"] == "own"], cells[cells["source"] == "reference"]
        if own.empty or reference.empty:
            continue
        names = agreed | {name: cells.iloc[0][name] for name in FACTS}
        for metric in metrics(cells):
            mine, stored = (over(side[side["status"] == "done"], metric) for side in (own, reference))
            rows.append(
                names | {"metric": metric, "own": mine, "reference": stored, "paired": paired(own, reference, metric)}
            )
    return pd.DataFrame(rows)


def curve_bands(curves: Iterable[dict[str, list[float | None]]], name: str = "free_energy") -> pd.DataFrame:
    """Median and the 10 % and 90 % quantiles over seeds of a training curve.

    Args:
        curves: of each seed, by name; ``step`` is the abscissa.
        name: of the curve.

    Returns:
        Columns step, n (seeds that have a value there), median, low and high.
    """
    parts = [pd.DataFrame({"step": curve["step"], "value": curve[name]}, dtype=float) for curve in curves]
    values = pd.concat(parts).dropna().groupby("step")["value"]
    quantiles = {
        "n": values.size(),
        "median": values.median(),
        "low": values.quantile(0.1),
        "high": values.quantile(0.9),
    }
    return pd.DataFrame(quantiles).reset_index()
