"""The table that all records make together: one row a cell."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from nfbench.records.cells import Record
from nfbench.records.training_words import words
from nfbench.specification.spec import Spec, parse

_COLUMNS = (
    *("experiment", "profile", "target", "family", "label", "K", "seed", "status"),
    *("free_energy", "kl", "forward_kl", "nll", "seconds"),
    *("free_energy_se", "kl_se", "forward_kl_se", "nll_se"),
    *("source", "recipe", "posterior", "target_label", "cite", "num_params", "log_z", "order", "message", "id"),
    *("training", "updates", "importance_draws", "long_draws", "long_points"),
)
_LAST = ("data", "finished")  # behind the usual columns, before metrics that only some records have
_NUMBERS = _COLUMNS[8:17]  # NaN where a record has no such metric


def frame_of(records: Mapping[tuple[str, str], Record]) -> pd.DataFrame:
    """The records as a table, sorted by source, experiment, profile, the experiment's order and seed.

    Args:
        records: by source (``own`` or ``reference``) and id.

    Returns:
        One row a record: configuration, facts, status, seconds, and every metric in nats (unless its name says
        otherwise) with its Monte-Carlo standard error in the column ``<metric>_se``. The usual columns are there
        even where there is no record. Where the records hold several versions of a family's or target's own code, each
        has rows of its own: its specs end in ``source=`` and 8 digits of the code's sha256, its label says so too.
    """
    rows = [_row(record, source) for (source, _), record in records.items()]
    _tell_sources_apart(rows, list(records.values()))
    frame = pd.DataFrame(rows, columns=None if rows else [*_COLUMNS, *_LAST])
    if rows:
        more = [name for name in frame.columns if name not in _COLUMNS]
        frame = frame[[*_COLUMNS, *more]].sort_values(["source", "experiment", "profile", "order", "seed"])
    return frame.reset_index(drop=True)


def _row(record: Record, source: str) -> dict[str, Any]:
    """One record as a row of the table."""
    cell, facts = record.cell, record.facts
    row: dict[str, Any] = dict.fromkeys(_COLUMNS)
    row |= dict.fromkeys(_NUMBERS, math.nan)
    row |= {"experiment": cell.experiment, "profile": cell.profile, "target": cell.target, "seed": cell.seed}
    row |= {"posterior": cell.posterior, "recipe": cell.recipe, "data": cell.data}
    row |= {name: getattr(cell.evaluation, name) for name in ("importance_draws", "long_draws", "long_points")}
    if cell.training:
        row |= {"training": words(cell.training, data=cell.data is not None), "updates": cell.training.updates}
    row |= facts.model_dump(exclude={"dim", "year", "target_cite"})
    row |= {"status": record.status, "message": record.message, "seconds": record.seconds}
    row |= {"source": source, "id": record.id, "finished": record.finished}
    for name, metric in record.metrics.items():
        row[name] = metric.value
        row[f"{name}_se"] = math.nan if metric.se is None else metric.se
    return row


def _tell_sources_apart(rows: list[dict[str, Any]], records: list[Record]) -> None:
    """Give the rows of a posterior, or a target, names of their own for each version of its code among the records."""
    for kind, columns in (("posterior", ("posterior", "family")), ("target", ("target",))):
        codes = [(record.cell.sources or {}).get(kind, "unknown")[:8] for record in records]
        names = [parse(row[kind]).name for row in rows]
        versions: dict[str, set[str]] = {}
        for name, code in zip(names, codes, strict=True):
            versions.setdefault(name, set()).add(code)
        label = "label" if kind == "posterior" else "target_label"
        for row, name, code in zip(rows, names, codes, strict=True):
            if len(versions[name]) > 1:
                row.update({column: _with_source(row[column], code) for column in columns})
                row[label] = f"{row[label]} (source {code})"


def _with_source(spec: str, code: str) -> str:
    parsed = parse(spec)
    return str(Spec(parsed.name, (*parsed.options, ("source", code))))
