"""What stored results say: means with intervals over seeds, paired differences, and checks.

A *block* is what may stand in one table: one source, experiment, profile, recipe and data. A *configuration* is a
block's target and posterior; its cells differ in seed only. No mean goes over more than a configuration's seeds.
"""

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from nfbench.analysis.blocks import BLOCK, CONFIGURATION, FACTS, OUTCOMES, SETTINGS, groups, metrics, where

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean with its t-interval, in the unit of the values; what too few values leave open is None, never NaN.

    Attributes:
        n: number of values.
        mean: of the values; None without any.
        sd: their standard deviation, with n - 1 in the denominator; None for fewer than two values, as are the others.
        se: standard error of the mean, sd / sqrt(n).
        low: lower end of Student's t-interval of the mean at `LEVEL`.
        high: upper end.
    """

    n: int
    mean: float | None = None
    sd: float | None = None
    se: float | None = None
    low: float | None = None
    high: float | None = None


def estimate(values: Iterable[float]) -> Estimate:
    """Mean, standard deviation, standard error and t-interval at `LEVEL`.

    Args:
        values: (n,), such as a metric over seeds; those that are not finite do not count.

    Returns:
        The estimate from the finite values.

    >>> estimate([1.0, 2.0, 3.0, float("nan")]).mean, estimate([1.0]).low
    (2.0, None)
    """
    sample = np.asarray(list(values), dtype=float)
    sample = sample[np.isfinite(sample)]
    n = len(sample)
    if n < 2:
        return Estimate(n, float(sample[0]) if n else None)
    mean, sd = float(sample.mean()), float(sample.std(ddof=1))
    se = sd / math.sqrt(n)
    half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) * se
    return Estimate(n, mean, sd, se, mean - half, mean + half)


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds of every metric.

    Args:
        frame: a table of records.

    Returns:
        One row a configuration, sorted by block and, within it, by the experiment's order: facts, counts of outcomes,
        and for each metric m the columns m, m_n, m_sd, m_se, m_low and m_high. With one seed m_se is that cell's
        Monte-Carlo standard error.
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
        over_seeds = estimate(done[name])
        row |= {name: over_seeds.mean} | {
            f"{name}_{part}": getattr(over_seeds, part) for part in ("n", "sd", "se", "low", "high")
        }
        if over_seeds.n == 1:
            row[f"{name}_se"] = done.loc[done[name].notna(), f"{name}_se"].iloc[0]  # the Monte-Carlo error of one cell
    return row


def paired(left: pd.DataFrame, right: pd.DataFrame, metric: str) -> Estimate:
    """The difference `left` - `right` of two configurations over the seeds that are done in both.

    Args:
        left: the cells of one configuration.
        right: the cells of another.
        metric: name of the metric that is subtracted.

    Returns:
        The mean difference with its t-interval; `n` counts the seeds that both have.
    """
    sides = [cells[cells["status"] == "done"].set_index("seed")[metric] for cells in (left, right)]
    assert all(side.index.is_unique for side in sides), "a configuration has one cell a seed"
    both = pd.concat(sides, axis=1, join="inner", keys=["left", "right"])
    return estimate(both["left"] - both["right"])


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
            mine, stored = (estimate(side.loc[side["status"] == "done", metric]) for side in (own, reference))
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
