"""Paired differences between configurations, seed by seed, so that what both share cancels."""

import itertools
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from nfbench.analysis.blocks import BLOCK, CONFIGURATION, FACTS, groups, metrics, places
from nfbench.analysis.summary import Estimate, estimate, over

Seeds = dict[int, tuple[float, float, str]]  # seed -> value, its Monte-Carlo error (NaN: unknown), id of the record


class SeedValues:
    """The values of a metric by seed, of any rows of a table; its columns are taken out of it once.

    Args:
        frame: a table of records.
        metric: its name.
    """

    def __init__(self, frame: pd.DataFrame, metric: str) -> None:
        self._done = (frame["status"] == "done").tolist()
        errors = frame[f"{metric}_se"].astype(float).tolist()
        self._values = list(zip(frame[metric].tolist(), errors, frame["id"].tolist(), strict=True))
        self._seeds = frame["seed"].tolist()

    def of(self, rows: Iterable[int]) -> Seeds:
        """The values of the rows that are done.

        Args:
            rows: positions of the rows of one configuration.

        Returns:
            By seed.
        """
        done = [row for row in rows if self._done[row]]
        seeds = {self._seeds[row]: self._values[row] for row in done}
        assert len(seeds) == len(done), "a configuration has one cell a seed"
        return seeds


class _Keys:
    """The values of some columns of a table, by name, of any of its rows; a missing one is None."""

    def __init__(self, frame: pd.DataFrame, names: Iterable[str]) -> None:
        self._columns = {name: frame[name].astype(object).where(frame[name].notna(), None).tolist() for name in names}

    def of(self, row: int) -> dict[str, Any]:
        return {name: column[row] for name, column in self._columns.items()}


def by_seed(cells: pd.DataFrame, metric: str) -> Seeds:
    """The values of a metric over the seeds of a configuration.

    Args:
        cells: of one configuration.
        metric: its name.

    Returns:
        Of the cells that are done.
    """
    return SeedValues(cells, metric).of(range(len(cells)))


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
    columns, values = [*BLOCK, "target", "family"], SeedValues(frame, metric)
    keys, depths = _Keys(frame, columns), frame["K"].tolist()
    rows = []
    for cells in places(frame, columns, sort=True):
        by_depth: dict[int, list[int]] = {}
        for cell in cells:
            by_depth.setdefault(depths[cell], []).append(cell)
        seeds = {depth: values.of(by_depth[depth]) for depth in sorted(by_depth)}
        for shallow, deep in itertools.pairwise(seeds):
            step = difference(seeds[deep], seeds[shallow])
            rows.append(keys.of(cells[0]) | {"K_from": shallow, "K_to": deep, **vars(step)})
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
    values, keys = SeedValues(frame, metric), _Keys(frame, CONFIGURATION)
    depths, shared = frame["K"].tolist(), _Keys(frame, [*BLOCK, "target"])
    bases: dict[tuple[Any, ...], list[int]] = {}
    for place in np.flatnonzero(frame["family"] == family).tolist():
        bases.setdefault((*shared.of(place).values(), depths[place]), []).append(place)
    rows = []
    for cells in places(frame, CONFIGURATION):
        depth = depths[cells[0]] if K is None else K
        if base := bases.get((*shared.of(cells[0]).values(), depth)):
            rows.append(keys.of(cells[0]) | vars(difference(values.of(cells), values.of(base))))
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
        names = agreed | {name: cells.iloc[0][name] for name in (*FACTS, *({"variation"} & {*cells}))}
        for metric in metrics(cells):
            mine, stored = (over(side[side["status"] == "done"], metric) for side in (own, reference))
            rows.append(
                names | {"metric": metric, "own": mine, "reference": stored, "paired": paired(own, reference, metric)}
            )
    return pd.DataFrame(rows)
