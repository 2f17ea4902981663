"""By how much variations of an experiment move its metrics, and which of them comes closest to a paper's values."""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from nfbench.analysis.differences import paired
from nfbench.analysis.summary import Estimate, over
from nfbench.published.schema import Published
from nfbench.specification.spec import parse

METRICS = ("free_energy", "gap", "nll")  # what a variation is told by
_MOST = 4  # variations that are added up

Point = tuple[str, str]  # a posterior's spec and a metric


@dataclass(frozen=True)
class Move:
    """What one variation does to one posterior.

    Attributes:
        variation: its name; empty for the grid as it is.
        row: of a table of records, the first of the configuration.
        values: mean over seeds by metric.
        moves: by metric the difference to the grid as it is, paired by seed; empty for that grid itself.
        changes: what is another than in the grid, options of the target and parts of the training.
    """

    variation: str
    row: Mapping[Any, Any]
    values: dict[str, Estimate]
    moves: dict[str, Estimate]
    changes: frozenset[str]


def grid(rows: pd.DataFrame) -> pd.DataFrame:
    """The records of the grid as it is.

    Args:
        rows: of a table of records.

    Returns:
        Those of no variation.
    """
    return rows[rows["variation"].isna()] if "variation" in rows else rows


def moves(rows: pd.DataFrame) -> list[Move]:
    """Compare every variation with the grid as it is, posterior by posterior.

    Args:
        rows: records of one experiment, profile and source.

    Returns:
        The grid's own configurations first, then each variation's, in the experiment's order; a variation of a
        posterior that the grid lacks has no differences.
    """
    done = rows[rows["status"] == "done"].assign(variation=rows["variation"].fillna("") if "variation" in rows else "")
    base = {str(name): cells for name, cells in done[done["variation"] == ""].groupby("posterior", sort=False)}
    found = []
    for (variation, posterior), cells in done.groupby(["variation", "posterior"], sort=False):
        known = [name for name in METRICS if name in cells and cells[name].notna().any()]
        against = base.get(str(posterior)) if variation else None
        differences = {} if against is None else {name: paired(cells, against, name) for name in known}
        values = {name: over(cells, name) for name in known}
        row = cells.iloc[0].to_dict()
        changes = frozenset() if against is None else _changes(row, against.iloc[0].to_dict())
        found.append(Move(str(variation), row, values, differences, changes))
    return sorted(found, key=lambda move: move.variation != "")


def expected(found: list[Move], source: Published) -> dict[Point, float]:
    """The published values of the grid's configurations.

    Args:
        found: of `moves`.
        source: published values that are compared as they are.

    Returns:
        Nats by posterior and metric, where there is one.
    """
    values = {}
    for move, metric in itertools.product(found, METRICS):
        family, depth = str(move.row["family"]), int(move.row["K"])
        value = source.value(str(move.row["target"]), family, depth, metric)
        if value is not None:
            values[str(move.row["posterior"]), metric] = value.value
    return values


def distance(values: Mapping[Point, float], published: Mapping[Point, float]) -> float:
    """The root of the mean squared difference to published values.

    Args:
        values: of ours by posterior and metric.
        published: as of `expected`.

    Returns:
        Nats; NaN unless each published value has one of ours beside it.
    """
    if not published or not set(published) <= set(values):
        return math.nan
    return float(np.sqrt(np.mean([(values[point] - value) ** 2 for point, value in published.items()])))


def reached(found: list[Move], variation: str) -> dict[Point, float]:
    """What a variation reached, with the grid's own values where it makes no difference.

    Args:
        found: of `moves`.
        variation: its name; empty for the grid as it is.

    Returns:
        Nats by posterior and metric.
    """
    values: dict[Point, float] = {}
    for move in found:
        if move.variation in ("", variation):
            means = {(str(move.row["posterior"]), name): each.mean for name, each in move.values.items()}
            values |= {point: mean for point, mean in means.items() if mean is not None}
    return values


def added(found: list[Move]) -> Iterator[tuple[tuple[str, ...], dict[Point, float]]]:
    """What variations that change different things would reach together if their differences added up.

    Args:
        found: of `moves`.

    Yields:
        Names of two to four variations, and nats by posterior and metric.
    """
    base = reached(found, "")
    changes = {move.variation: move.changes for move in found if move.changes}
    shifts = {
        name: {point: value - base[point] for point, value in reached(found, name).items() if point in base}
        for name in changes
    }
    for number in range(2, _MOST + 1):
        for together in itertools.combinations(changes, number):
            if len(frozenset.union(*(changes[name] for name in together))) == sum(
                len(changes[name]) for name in together
            ):
                yield (
                    together,
                    {point: value + sum(shifts[name][point] for name in together) for point, value in base.items()},
                )


def _changes(row: Mapping[Any, Any], base: Mapping[Any, Any]) -> frozenset[str]:
    """Options of the target that differ, and places in the words of the training."""
    ours, theirs = (dict(parse(str(each["target"])).options) for each in (row, base))
    options = {key for key in {*ours, *theirs} if ours.get(key) != theirs.get(key)}
    words = itertools.zip_longest(*(str(each["training"]).split(", ") for each in (row, base)))
    return frozenset(options | {f"training {place}" for place, (mine, other) in enumerate(words) if mine != other})
