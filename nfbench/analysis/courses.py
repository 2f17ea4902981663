"""How good a posterior is after how many seconds of training: at its end, and at a time that is the same for all."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from nfbench.analysis.blocks import Block

QUALITIES = ("kl", "box_kl", "nll", "free_energy")  # the first that a target has is shown
Curves = Callable[[Any], dict[str, list[float | None]]]


class Course(NamedTuple):
    """The training of one posterior on one target, medians over its seeds.

    Attributes:
        row: of a table of records, that of the first seed.
        seconds: of a seed's training.
        end: the metric after the last update, in nats.
        same: an estimate at the time that is the same for all: the bound of the training draws there plus ln Z; `end`
            where the training was over by then, NaN where the curve does not say it.
    """

    row: pd.Series
    seconds: float
    end: float
    same: float


class Race(NamedTuple):
    """All posteriors on one target.

    Attributes:
        metric: what `Course.end` is.
        time: seconds, the median of all trainings.
        courses: the fastest first.
    """

    metric: str
    time: float
    courses: list[Course]


def races(block: Block, curves: Curves, qualities: Sequence[str] = QUALITIES) -> Iterator[Race]:
    """The posteriors of each target of a block whose records say how long trainings took.

    Args:
        block: the records that are shown.
        curves: row -> the curves of its training.
        qualities: names of metrics, of which the first that a target has is shown.

    Yields:
        A race for each target; none where records do not keep the seconds.
    """
    if "training_seconds" not in block.rows:
        return
    for _, rows in block.done.groupby("target", sort=False):
        metric = next((name for name in qualities if name in rows and rows[name].notna().any()), None)
        rows = rows[rows["training_seconds"].notna() & (rows["training_seconds"] > 0)]
        if metric is None or rows.empty:
            continue
        time = float(rows.groupby("posterior")["training_seconds"].median().median())
        courses = [_course(part, metric, time, curves) for _, part in rows.groupby("posterior", sort=False)]
        yield Race(metric, time, sorted(courses, key=lambda course: course.seconds))


def _course(rows: pd.DataFrame, metric: str, time: float, curves: Curves) -> Course:
    row, seconds, end = rows.iloc[0], float(rows["training_seconds"].median()), float(rows[metric].median())
    same = end
    if seconds > time:
        shift = float(row["log_z"]) if metric == "kl" else 0.0 if metric == "free_energy" else float("nan")
        same = shift + float(np.median([_at(curves(each), time / seconds) for _, each in rows.iterrows()]))
    return Course(row, seconds, end, same)


def _at(curve: dict[str, list[float | None]], part: float) -> float:
    """F on the training draws after a part of all updates; NaN where it was not finite or there is no curve."""
    steps, values = curve.get("step") or [], curve.get("free_energy") or []
    if not steps:
        return float("nan")
    place = int(np.argmin([abs((step or 0.0) / (steps[-1] or 1.0) - part) for step in steps]))
    value = values[place]
    return float("nan") if value is None else value
