"""What stored results say: means with intervals over seeds, paired differences, and checks.

A *block* is what may stand in one table: one source, experiment, profile, recipe and data. A *configuration* is a
block's target and posterior; its cells differ in seed only. No mean goes over more than a configuration's seeds.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from functools import cache
from operator import attrgetter
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from nfbench.analysis.blocks import BLOCK, CONFIGURATION, FACTS, OUTCOMES, SETTINGS, metrics, places

LEVEL = 0.95
FEWEST = 3  # values that make an interval


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
_parts = attrgetter("mean", *PARTS)


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
    sample = _array(values)
    finite = np.isfinite(sample)
    sample = sample[finite]
    n = len(sample)
    if not n:
        return Estimate(0)
    monte_carlo = None if errors is None else _monte_carlo(_array(errors)[finite])
    mean, least, largest = _sum(sample) / n, float(np.minimum.reduce(sample)), float(np.maximum.reduce(sample))
    if n == 1:
        return Estimate(1, mean, se=monte_carlo, least=least, largest=largest)
    sd = math.sqrt(_sum((sample - mean) ** 2) / (n - 1))
    se = max(sd / math.sqrt(n), monte_carlo or 0.0)
    if n < FEWEST:
        return Estimate(n, mean, sd, se, least=least, largest=largest)
    half = float(max(_student(n - 1) * sd / math.sqrt(n), _student(None) * (monte_carlo or 0.0)))
    return Estimate(n, mean, sd, se, mean - half, mean + half, least, largest)


def _monte_carlo(errors: np.ndarray) -> float | None:
    """The Monte-Carlo error of a mean, from the known errors of all of its values."""
    known = errors[np.isfinite(errors)]
    return math.sqrt(_sum(known**2) / len(known) / len(errors)) if len(known) else None


def _sum(values: np.ndarray) -> float:
    """As ``values.sum()``, which takes four times as long for a few values."""
    return float(np.add.reduce(values))


def _array(values: Iterable[float]) -> np.ndarray:
    return np.asarray(values if isinstance(values, np.ndarray) else list(values), dtype=float)


@cache
def _student(freedom: int | None) -> Any:
    """The quantile that ends an interval at `LEVEL`, of Student's t; None: of the normal distribution."""
    upper = (1 + LEVEL) / 2
    return special.ndtri(upper) if freedom is None else special.stdtrit(freedom, upper)


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds of every metric.

    Args:
        frame: a table of records.

    Returns:
        One row a configuration, sorted by block and, within it, by the experiment's order: facts, ``variation`` where
        any record is of one, counts of outcomes, and for each metric m the columns m, m_n, m_sd, m_se, m_low, m_high,
        m_least and m_largest, as of an `Estimate`.
    """
    rows = list(_summaries(frame, metrics(frame)))
    table = pd.DataFrame(rows)
    return table.sort_values([*BLOCK, "order"], kind="stable").reset_index(drop=True) if rows else table


def _summaries(frame: pd.DataFrame, names: list[str]) -> Iterator[dict[str, Any]]:
    """A row for each configuration; columns are taken out of the table once, not once a configuration."""
    facts = {name: frame[name].tolist() for name in (*CONFIGURATION, *FACTS, *SETTINGS)}
    facts |= {name: frame[name].tolist() for name in ("variation",) if name in frame}
    status, seconds = frame["status"].to_numpy(dtype=object), frame["seconds"].to_numpy(dtype=float)
    values = {name: frame[name].to_numpy(dtype=float) for name in names}
    errors = {name: frame[f"{name}_se"].to_numpy(dtype=float) for name in names}
    is_done = status == "done"
    columns = {name: (name, *(f"{name}_{part}" for part in PARTS)) for name in names}
    for cells in places(frame, CONFIGURATION):
        ends = status[cells].tolist()
        done = cells[is_done[cells]]
        first = done[0] if len(done) else cells[0]
        row: dict[str, Any] = {name: column[first] for name, column in facts.items()}
        row |= {"seeds": len(cells)} | {outcome: ends.count(outcome) for outcome in OUTCOMES}
        row |= {"seconds": _sum(seconds[done]) / len(done) if len(done) else None}
        for name in names:
            over_seeds = estimate(values[name][done], errors[name][done])
            row.update(zip(columns[name], _parts(over_seeds), strict=True))
        yield row


def over(cells: pd.DataFrame, metric: str) -> Estimate:
    """The mean of a metric over cells, with an interval that is never narrower than their Monte-Carlo error.

    Args:
        cells: the done cells of one configuration.
        metric: its name.

    Returns:
        The estimate from the cells that have a value.
    """
    return estimate(cells[metric], cells[f"{metric}_se"].astype(float))


def curve_bands(curves: Iterable[dict[str, list[float | None]]], name: str = "free_energy") -> pd.DataFrame:
    """Median and the 10 % and 90 % quantiles over seeds of a training curve.

    Args:
        curves: of each seed, by name; ``step`` is the abscissa.
        name: of the curve.

    Returns:
        Columns step, n (seeds that have a value there), median, low and high.
    """
    points = [np.array([curve["step"], curve[name]], dtype=float) for curve in curves]
    values = pd.DataFrame(np.concatenate(points, axis=1).T, columns=["step", "value"]).dropna().groupby("step")["value"]
    quantiles = {
        "n": values.size(),
        "median": values.median(),
        "low": values.quantile(0.1),
        "high": values.quantile(0.9),
    }
    return pd.DataFrame(quantiles).reset_index()
