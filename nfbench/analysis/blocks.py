"""Blocks of records: which rows may stand in one table, what they have in common, and which seed is shown of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd

from nfbench.records.glossary import BEST, BEST_SHOWN, ordered

BLOCK = ("source", "experiment", "profile", "recipe", "data")
CONFIGURATION = (*BLOCK, "target", "posterior")
FACTS = ("target_label", "family", "label", "K", "num_params", "log_z", "order")
SETTINGS = ("training", "updates", "importance_draws", "long_draws", "long_points")
OUTCOMES = ("done", "diverged", "failed", "interrupted")
DIVERGENCES = ("kl", "forward_kl", "box_kl")
RANKING = ("kl", "box_kl", "nll", "free_energy", "entropy")  # the first that is there ranks the seeds


def configuration_key(row: dict[Any, Any]) -> tuple[str, ...]:
    """A row's configuration as text, to find it again.

    Args:
        row: of a table of records, or of a summary.

    Returns:
        The values of `CONFIGURATION`; a missing one is empty.
    """
    return tuple("" if pd.isna(row[name]) else str(row[name]) for name in CONFIGURATION)


def variation(row: Mapping[Any, Any] | pd.Series) -> str:
    """Which variation of its experiment a row is of.

    Args:
        row: of a table of records, or of a summary.

    Returns:
        Its name; empty for the grid as it is.
    """
    return "" if pd.isna(name := row.get("variation")) else str(name)


def check_one(rows: pd.DataFrame, columns: Sequence[str]) -> None:
    """Refuse rows that are not of one block.

    Args:
        rows: of a table of records or of timings.
        columns: in which the rows of a block agree.

    Raises:
        ValueError: there is no row, or the rows are of several blocks.
    """
    if rows[list(columns)].drop_duplicates().shape[0] != 1:
        raise ValueError(f"one block has one {', '.join(columns)}; got {len(rows)} rows of another number of them")


@dataclass(frozen=True, eq=False)
class Block:
    """Records that may stand in one table, with what all of them have in common.

    Attributes:
        rows: of a table of records, one a cell.
        source: ``own`` or ``reference``.
        experiment: its name.
        profile: name of the budget.
        recipe: hash of profile, training and evaluation.
        data: the protocol of the data with its sha256; None for a target without data.
        training: in words; None where nothing is trained.
        updates: of the training; None where nothing is trained.
        importance_draws: S of the estimates of -ln p(x).
        long_draws: S of the long estimate of -ln p(x); None where there is none.
        long_points: data points of the long estimate; None: all.
    """

    rows: pd.DataFrame
    source: str
    experiment: str
    profile: str
    recipe: str
    data: str | None
    training: str | None
    updates: int | None
    importance_draws: int | None
    long_draws: int | None
    long_points: int | None

    @classmethod
    def of(cls, rows: pd.DataFrame) -> Self:
        """The block of these rows.

        Args:
            rows: of a table of records, at least one.

        Returns:
            The rows as a block, with what they have in common.

        Raises:
            ValueError: there is no row, or the rows are of several blocks.
        """
        check_one(rows, BLOCK)
        common: dict[str, Any] = {}
        for name in (*BLOCK, *SETTINGS):
            value: Any = rows[name].iloc[0]
            common[name] = None if pd.isna(value) else value if isinstance(value, str) else int(value)
        return cls(rows, **common)

    @property
    def title(self) -> str:
        """Experiment, profile, source and variation, for the head of a table or the start of a sentence."""
        title = f"{self.experiment}, profile {self.profile}, {self.source} records"
        return f"{title}, {self.variation}" if self.variation else title

    @property
    def variation(self) -> str:
        """As of `variation`."""
        return variation(self.rows.iloc[0])

    @property
    def protocol(self) -> str:
        """Which records these are and how they were made, for the end of a caption."""
        parts = [f"{self.source.capitalize()} records", f"profile {self.profile}", f"recipe {self.recipe}"]
        parts += [] if self.updates is None else [f"{self.updates:,} updates"]
        seeds = self.seeds(self.done)
        parts += [f"{seeds} of each posterior"] if seeds else []
        return ", ".join([*parts, *([] if self.data is None else [f"data {self.data}"])])

    @property
    def done(self) -> pd.DataFrame:
        """The rows of cells that are done."""
        return self.rows[self.rows["status"] == "done"]

    @staticmethod
    def seeds(rows: pd.DataFrame) -> str:
        """How many of these rows a target and posterior have, fewest to most, as text.

        Args:
            rows: of a table of records.

        Returns:
            Such as ``5 seeds``, or ``2 to 5 seeds`` where numbers differ; empty without rows.
        """
        counts = sorted(set(rows.groupby(["target", "posterior"]).size()))
        if not counts:
            return ""
        number = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(counts[0])
        return f"{number} seed{'' if counts[-1] == 1 else 's'}"

    @property
    def auxiliary(self) -> list[str]:
        """The families whose ln q is that of auxiliary variables too."""
        return self._families_with("auxiliary", value=True)

    @property
    def without_density(self) -> list[str]:
        """The families without a density at points: those with auxiliary variables, and flows without an inverse."""
        return sorted({*self.auxiliary, *self._families_with("has_density", value=False)})

    def _families_with(self, fact: str, *, value: bool) -> list[str]:
        if fact not in self.rows:  # a column where any record says so
            return []
        return sorted(set(self.rows.loc[self.rows[fact].isin([value]), "family"]))

    def has(self, metric: str) -> bool:
        """Whether any record has a value of the metric.

        Args:
            metric: its name, a column of the rows where any record has it.

        Returns:
            True where at least one row has a value.
        """
        return metric in self.rows and bool(self.rows[metric].notna().any())

    def ranking(self) -> str:
        """The metric that ranks the seeds.

        Returns:
            Name of the first metric of `RANKING` that any record has.

        Raises:
            StopIteration: no cell has one.
        """
        return next(metric for metric in RANKING if self.has(metric))

    def by_target(self) -> Iterator[tuple[str, Self]]:
        """Split the block by target, in the order of the rows.

        Yields:
            The target's spec, and the part of the block with this target.
        """
        for target, rows in self.rows.groupby("target", sort=False):
            yield str(target), replace(self, rows=rows)


def metrics(frame: pd.DataFrame) -> list[str]:
    """The metrics that any row of a table of records has, in the glossary's order.

    Args:
        frame: a table of records.

    Returns:
        Names of columns with at least one value and with a column ``<name>_se`` beside them; of the metrics of the
        parameters that were best on validation data those in `BEST_SHOWN`.
    """
    names = [str(name) for name in frame if f"{name}_se" in frame and frame[name].notna().any()]
    return ordered([name for name in names if not name.startswith(BEST) or name in BEST_SHOWN])


def blocks(frame: pd.DataFrame) -> Iterator[Block]:
    """The blocks of a table of records, sorted by source, experiment, profile, recipe and data.

    Args:
        frame: a table of records.

    Yields:
        Each block; none of an empty table.
    """
    if len(frame):
        yield from (Block.of(rows) for _, rows in groups(frame, BLOCK, sort=True))


def groups(
    frame: pd.DataFrame, names: Sequence[str], *, sort: bool = False
) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Split a table by the values of some columns.

    pandas calls a missing value of a key NaN, whatever its column holds: a table made of such keys has a column of
    numbers where `frame` has one of texts, and can no longer be joined to it. Here a missing value is None.

    Args:
        frame: any table.
        names: of the columns.
        sort: by their values; else in the order of the rows.

    Yields:
        The values by column, and the rows that have them.
    """
    for key, rows in frame.groupby(list(names), dropna=False, sort=sort):
        values: dict[str, Any] = dict(zip(names, key, strict=True))
        yield {name: None if pd.isna(value) else value for name, value in values.items()}, rows


def places(frame: pd.DataFrame, names: Sequence[str], *, sort: bool = False) -> Iterator[np.ndarray]:
    """Where the rows of each group are: as `groups`, for tables of so many groups that their rows take long to copy.

    Args:
        frame: any table.
        names: of the columns in whose values the rows of a group agree; a missing value agrees with a missing one.
        sort: by their values; else in the order of the first rows of the groups.

    Yields:
        Positions of the rows of a group, in ascending order.
    """
    if frame.empty:
        return
    numbers = frame.groupby(list(names), dropna=False, sort=sort).ngroup().to_numpy()
    order = np.argsort(numbers, kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1)


def where(frame: pd.DataFrame, values: dict[str, Any]) -> pd.DataFrame:
    """The rows of a table that have certain values; a missing value matches a missing one.

    Args:
        frame: any table.
        values: by column.

    Returns:
        The matching rows of `frame`, in its order.
    """
    matches = pd.Series(data=True, index=frame.index)
    for name, value in values.items():
        matches &= frame[name].isna() if pd.isna(value) else frame[name] == value
    return frame[matches]


def median_seeds(frame: pd.DataFrame) -> pd.DataFrame:
    """Choose from every configuration the done cell with the median of the metric that ranks its seeds.

    Args:
        frame: a table of records.

    Returns:
        One row of `frame` a configuration; of an even number of seeds the lower of the two in the middle. A
        configuration without any value has none.
    """
    done = frame[frame["status"] == "done"]
    ranked = {name: done[name].to_numpy(dtype=float) for name in RANKING if name in done}
    seeds = done["seed"].to_numpy()
    chosen = []
    for cells in places(done, CONFIGURATION):
        known = (cells[~np.isnan(values[cells])] for values in ranked.values())
        for values, those in zip(ranked.values(), known, strict=True):
            if len(those):
                order = np.lexsort((seeds[those], values[those]))
                chosen.append(those[order[(len(those) - 1) // 2]])
                break
    return done.iloc[chosen]
