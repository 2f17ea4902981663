"""The table that all records make together: one row a cell."""

import math
import os
from pathlib import Path
from typing import Any

import pandas as pd

from nfbench.foundation.errors import InputError
from nfbench.records.cells import Record
from nfbench.records.store import records
from nfbench.records.training_words import words
from nfbench.specification.choices import REFERENCE


def results(root: str | Path = "results") -> pd.DataFrame:
    """One row a cell: configuration, facts, status and every metric with its standard error (``_se``), in nats.

    The column `source` tells a user's ``own`` records under `root` from the ``reference`` ones under `root`/reference.

    Raises:
        InputError: `root` is not a folder.
    """
    root = Path(root)
    if not os.path.isdir(root):  # noqa: PTH112  as above
        raise InputError(f"no results folder {str(root)!r}; expected what 'nfbench run' wrote")
    rows = [row(record, "own") for record in records(root)]
    rows += [row(record, REFERENCE) for record in records(root / REFERENCE)]
    frame = pd.DataFrame(rows, columns=None if rows else list(_COLUMNS))
    if rows:
        rest = [name for name in frame.columns if name not in _COLUMNS]
        frame = frame[[*_COLUMNS, *rest]].sort_values(["source", "experiment", "profile", "order", "seed"])
    return frame.reset_index(drop=True)


_COLUMNS = (
    *("experiment", "profile", "target", "family", "label", "K", "seed", "status"),
    *("free_energy", "kl", "forward_kl", "nll", "seconds"),
    *("free_energy_se", "kl_se", "forward_kl_se", "nll_se"),
    *("source", "recipe", "posterior", "target_label", "cite", "num_params", "log_z", "order", "message", "id"),
    *("training", "updates", "importance_draws", "long_draws", "long_points"),
)


def row(record: Record, source: str) -> dict[str, Any]:
    """One record as a row of the table."""
    cell, facts = record.cell, record.facts
    values: dict[str, Any] = dict.fromkeys(_COLUMNS)
    values |= {name: math.nan for name in _COLUMNS[8:17]}
    values |= {"experiment": cell.experiment, "profile": cell.profile, "target": cell.target, "seed": cell.seed}
    values |= {"posterior": cell.posterior, "recipe": cell.recipe, "data": cell.data}
    values |= {name: getattr(cell.evaluation, name) for name in ("importance_draws", "long_draws", "long_points")}
    if cell.training:
        told = words(cell.training, data=cell.data is not None)
        values |= {"training": told, "updates": cell.training.updates}
    values |= facts.model_dump(exclude={"dim", "year", "target_cite"})
    values |= {"status": record.status, "message": record.message, "seconds": record.seconds}
    values |= {"source": source, "id": record.id, "finished": record.finished}
    for name, metric in record.metrics.items():
        values[name] = metric.value
        values[f"{name}_se"] = math.nan if metric.se is None else metric.se
    return values
