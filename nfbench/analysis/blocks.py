"""Blocks of records: which rows may stand in one table, and how they are chosen."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from nfbench.records.glossary import ordered

BLOCK = ("source", "experiment", "profile", "recipe", "data")
CONFIGURATION = (*BLOCK, "target", "posterior")
FACTS = ("target_label", "family", "label", "K", "num_params", "log_z", "order")
SETTINGS = ("training", "updates", "importance_draws", "long_draws", "long_points")
OUTCOMES = ("done", "diverged", "failed", "interrupted")
DIVERGENCES = ("kl", "forward_kl", "box_kl")
RANKING = ("kl", "box_kl", "nll", "free_energy", "entropy")  # the first that is there ranks the seeds


def metrics(frame: pd.DataFrame) -> list[str]:
    """The metrics that any row of `frame` has, in the glossary's order."""
    return ordered([str(name) for name in frame if f"{name}_se" in frame and frame[name].notna().any()])


def blocks(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The blocks of `frame`, each as its rows."""
    if len(frame):
        yield from (rows for _, rows in groups(frame, BLOCK, sort=True))


def groups(
    frame: pd.DataFrame, names: Sequence[str], *, sort: bool = False
) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """The rows of `frame` that agree in the columns `names`, with what they agree in; a missing value is None.

    pandas calls a missing value of a key NaN, whatever its column holds: a table made of such keys has a column of
    numbers where `frame` has one of texts, and can no longer be joined to it.
    """
    for key, rows in frame.groupby(list(names), dropna=False, sort=sort):
        values: dict[str, Any] = dict(zip(names, key, strict=True))
        yield {name: None if pd.isna(value) else value for name, value in values.items()}, rows


def where(frame: pd.DataFrame, values: dict[str, Any]) -> pd.DataFrame:
    """The rows that have these values; a missing one equals a missing one."""
    keep = pd.Series(data=True, index=frame.index)
    for name, value in values.items():
        keep &= frame[name].isna() if pd.isna(value) else frame[name] == value
    return frame[keep]


def median_seeds(frame: pd.DataFrame) -> pd.DataFrame:
    """Of every configuration the done cell whose ranking metric is the (lower) median over seeds, as its row."""
    chosen = []
    for _, cells in groups(frame, CONFIGURATION):
        done = cells[cells["status"] == "done"]
        metric = next((name for name in RANKING if name in done and done[name].notna().any()), None)
        if metric:
            ranked = done[done[metric].notna()].sort_values([metric, "seed"])
            chosen.append(ranked.iloc[(len(ranked) - 1) // 2].name)
    return frame.loc[chosen]
