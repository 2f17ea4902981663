"""By how much variations of an experiment move its metrics, and which of them comes closest to a paper's values."""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from nfbench.analysis.blocks import CONFIGURATION, Block, blocks, groups, variation
from nfbench.analysis.differences import paired
from nfbench.analysis.summary import Estimate, over
from nfbench.published.schema import Published
from nfbench.specification.spec import parse

METRICS = ("free_energy", "gap", "nll")  # what a variation is told by
_MOST = 4  # variations that are added up

Point = tuple[str, str, str]  # the grid's target, a posterior's spec and a metric


@dataclass(frozen=True)
class Move:
    """What one variation does to one posterior on one target.

    Attributes:
        variation: its name; empty for the grid as it is.
        row: of a table of records, the first of the configuration.
        base: the first row of the configuration of the grid that it differs from, for the grid its own; None where
            that has no records.
        values: mean over seeds by metric; empty where no run is done.
        moves: by metric the difference to the grid as it is, paired by seed; empty for that grid itself.
        changes: what is another than in the grid, options of the target and parts of the training.
        runs: how many there are.
        lost: how many of them are not done.
    """

    variation: str
    row: Mapping[Any, Any]
    base: Mapping[Any, Any] | None
    values: dict[str, Estimate]
    moves: dict[str, Estimate]
    changes: frozenset[str]
    runs: int
    lost: int

    @property
    def place(self) -> tuple[str, str]:
        """Target of the grid, the own one of a record that does not say what it is a variation of, and posterior."""
        return _origin(self.row)[0] or str(self.row["target"]), str(self.row["posterior"])

    def points(self, values: Mapping[str, Estimate]) -> dict[Point, float]:
        """Means at the place of this configuration.

        Args:
            values: by metric.

        Returns:
            Nats by target, posterior and metric.
        """
        return {(*self.place, name): each.mean for name, each in values.items() if each.mean is not None}


def grid(rows: pd.DataFrame) -> pd.DataFrame:
    """The records of the grid as it is.

    Args:
        rows: of a table of records.

    Returns:
        Those of no variation.
    """
    return rows[rows["variation"].isna()] if "variation" in rows else rows


def moves(rows: pd.DataFrame) -> list[Move]:
    """Compare every variation with the grid as it is, target by target and posterior by posterior.

    Args:
        rows: records of one experiment, profile and source.

    Returns:
        The grid's own configurations first, then each variation's, in the experiment's order; one whose configuration
        of the grid has no records has no differences.
    """
    configurations = [(cells.iloc[0].to_dict(), cells) for _, cells in groups(rows, CONFIGURATION)]
    bases = {(*_origin(row), str(row["posterior"])): cells for row, cells in configurations if not variation(row)}
    found = []
    for row, cells in configurations:
        done, name = cells[cells["status"] == "done"], variation(row)
        known = [metric for metric in METRICS if metric in done and done[metric].notna().any()]
        against = bases.get((*_origin(row), str(row["posterior"]))) if name else None
        base = row if not name else None if against is None else against.iloc[0].to_dict()
        differences = {} if against is None else {metric: paired(cells, against, metric) for metric in known}
        found.append(
            Move(
                variation=name,
                row=row,
                base=base,
                values={metric: over(done, metric) for metric in known},
                moves=differences,
                changes=frozenset() if base is None else _changes(row, base),
                runs=len(cells),
                lost=len(cells) - len(done),
            )
        )
    return sorted(found, key=lambda move: move.variation != "")


def by_recipe(rows: pd.DataFrame) -> Iterator[tuple[Block | None, list[Move]]]:
    """The `moves` of each source, profile and recipe of the grid, which has several once its file was changed.

    Args:
        rows: records of one experiment.

    Yields:
        A block of the grid with this recipe, None where it has no records, and what belongs to it; nothing where no
        record is of a variation.
    """
    for _, part in rows.groupby(["source", "profile"], sort=False) if "variation" in rows else ():
        parts: dict[str, list[Move]] = {}
        for move in moves(part):
            parts.setdefault(_origin(move.row)[1], []).append(move)
        known = {str(block.recipe): block for block in blocks(grid(part))}
        for recipe, found in parts.items():
            yield known.get(recipe), found


def expected(found: list[Move], source: Published) -> dict[Point, float]:
    """The published values of the grid's configurations.

    Args:
        found: of `moves`.
        source: published values that are compared as they are.

    Returns:
        Nats by target, posterior and metric, where there is one; none of a posterior that ``nfbench verify`` refuted.
    """
    values = {}
    for move, metric in itertools.product(found, METRICS):
        family, depth = str(move.row["family"]), int(move.row["K"])
        value = source.value(str(move.row["target"]), family, depth, metric)
        if value is not None and not move.row.get("refuted", False):
            values[*move.place, metric] = value.value
    return values


def distance(values: Mapping[Point, float], published: Mapping[Point, float]) -> float:
    """The root of the mean squared difference to published values.

    Args:
        values: of ours by target, posterior and metric.
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
        Nats by target, posterior and metric; nothing of a configuration of which no run is done.
    """
    values: dict[Point, float] = {}
    for own in dict.fromkeys(("", variation)):
        moved = [move for move in found if move.variation == own]
        places = {move.place for move in moved}
        values = {point: value for point, value in values.items() if point[:2] not in places}
        values |= {point: value for move in moved for point, value in move.points(move.values).items()}
    return values


def added(found: list[Move]) -> Iterator[tuple[tuple[str, ...], dict[Point, float]]]:
    """What variations that change different things would reach together if their differences added up.

    Args:
        found: of `moves`.

    Yields:
        Names of two to four variations, and nats by target, posterior and metric.
    """
    base, changes = reached(found, ""), dict[str, frozenset[str]]()
    for move in found:
        if move.changes:
            changes[move.variation] = changes.get(move.variation, frozenset()) | move.changes
    shifts = {
        name: {point: value - base[point] for point, value in reached(found, name).items() if point in base}
        for name in changes
    }
    for number in range(2, _MOST + 1):
        for together in itertools.combinations(changes, number):
            apart = sum(len(changes[name]) for name in together)
            if len(frozenset.union(*(changes[name] for name in together))) == apart:
                whole = [point for point in base if all(point in shifts[name] for name in together)]
                yield together, {point: base[point] + sum(shifts[name][point] for name in together) for point in whole}


def _origin(row: Mapping[Any, Any]) -> tuple[str, str]:
    """Target and recipe of the grid that a configuration is of or varies; empty texts where a record does not say."""
    prefix = "origin_" if variation(row) else ""
    target, recipe = (row.get(f"{prefix}{name}") for name in ("target", "recipe"))
    return "" if pd.isna(target) else str(target), "" if pd.isna(recipe) else str(recipe)


def _options(row: Mapping[Any, Any], base: Mapping[Any, Any]) -> set[str]:
    """The options of the targets that differ."""
    ours, theirs = (dict(parse(str(each["target"])).options) for each in (row, base))
    return {key for key in {*ours, *theirs} if ours.get(key) != theirs.get(key)}


def _changes(row: Mapping[Any, Any], base: Mapping[Any, Any]) -> frozenset[str]:
    """Options of the target that differ, and places in the words of the training."""
    words = itertools.zip_longest(*(str(each["training"]).split(", ") for each in (row, base)))
    places = {f"training {place}" for place, (mine, other) in enumerate(words) if mine != other}
    return frozenset(_options(row, base) | places)
