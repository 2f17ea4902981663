"""The table that all records make together: one row a cell."""

import itertools
import json
import math
from collections.abc import Container, Mapping, Sequence
from typing import Any

import pandas as pd

from nfbench.records.cells import Facts, Record
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
_KINDS = {"posterior": ("posterior", "family"), "target": ("target",)}  # and the columns that are specs of it
_HIDDEN = ("_provenance", "_target_cite", "_posterior_source", "_target_source", "_metrics")  # not for users
# Columns where a record has them, in this order.
_SOMETIMES = (*Facts.later, "variation", "origin_target", "origin_recipe", "training_seconds")
_NUMBERS = _COLUMNS[8:17]  # NaN where a record has no such metric


class Rows:
    """What is tabled of many records, taken one record at a time, so that they need not be in memory together.

    Each column is a list; equal texts are one object.
    """

    def __init__(self) -> None:
        self.columns: dict[str, list[Any]] = {name: [] for name in (*_COLUMNS, *_LAST, *_HIDDEN)}
        self._texts: dict[str, str] = {}

    def add(self, record: Record, source: str) -> None:
        """Append a record.

        Args:
            record: the outcome of a cell.
            source: ``own`` or ``reference``.
        """
        row = _row(record, source)
        for name in row:
            if name not in self.columns:  # a metric that no earlier record has
                self.columns[name] = [math.nan] * len(self)
        for name, values in self.columns.items():
            value = row.get(name, math.nan)
            values.append(self._texts.setdefault(value, value) if isinstance(value, str) else value)

    def mixed_with(self, columns: Mapping[str, list[Any]], places: Sequence[int]) -> "Rows":
        """These rows and some that were tabled before, as if all had been added one after the other.

        Args:
            columns: (n,) each, the columns of the others.
            places: (n,), where the others stand among all rows, in ascending order; these fill the gaps in their order.

        Returns:
            All rows.
        """
        number, taken = len(self) + len(places), set(places)
        gaps = [place for place in range(number) if place not in taken]

        def column(name: str) -> list[Any]:
            if not gaps and name in columns:
                return columns[name]
            values = [math.nan] * number
            for source, where in ((self.columns, gaps), (columns, places)):
                for place, value in zip(where, source.get(name, ()), strict=False):
                    values[place] = value
            return values

        mixed = Rows()
        # What only some records have, in the order in which records first have it.
        there = [map(_present, column(name)) for name in _SOMETIMES]
        kinds = dict.fromkeys(zip(*there, column("_metrics"), strict=True))
        names = [
            each for *some, metrics in kinds for each in (*itertools.compress(_SOMETIMES, some), *_with_errors(metrics))
        ]
        mixed.columns = {name: column(name) for name in dict.fromkeys([*mixed.columns, *names])}
        return mixed

    def __len__(self) -> int:
        return len(self.columns["id"])

    def of(self, ids: Container[str]) -> "Rows":
        """The rows of some records.

        Args:
            ids: of the records.

        Returns:
            Those rows, without the metrics that none of them has.
        """
        part = Rows()
        places = [place for place, identity in enumerate(self.columns["id"]) if identity in ids]
        chosen = {name: [values[place] for place in places] for name, values in self.columns.items()}
        usual = part.columns.keys()
        part.columns = {name: values for name, values in chosen.items() if name in usual or any(map(_present, values))}
        return part

    def frame(self) -> pd.DataFrame:
        """The rows as a table, sorted by source, experiment, profile, the experiment's order and seed.

        Returns:
            One row a record: configuration, facts, status, seconds, and every metric in nats (unless its name says
            otherwise) with its Monte-Carlo standard error in the column ``<metric>_se``. The usual columns are there
            even where there is no record. Where the records hold several versions of a family's or target's own code,
            each has rows of its own: its specs end in ``source=`` and 8 digits of the code's sha256, its label says so.
        """
        frame = pd.DataFrame(self.columns)
        if len(self):
            _tell_sources_apart(frame)
            frame = frame.sort_values(["source", "experiment", "profile", "order", "seed"])
        return frame.drop(columns=[*_HIDDEN]).reset_index(drop=True)


def _with_errors(metrics: str) -> list[str]:
    """The columns of metrics, `"kl,nll" -> ["kl", "kl_se", "nll", "nll_se"]`."""
    return [each for metric in metrics.split(",") if metric for each in (metric, f"{metric}_se")]


def _present(value: Any) -> bool:
    return value is not None and value == value  # NaN differs from itself


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
    row |= {"_provenance": json.dumps(record.provenance, sort_keys=True), "_target_cite": facts.target_cite}
    row["_metrics"] = ",".join(record.metrics)
    row |= {f"_{kind}_source": (cell.sources or {}).get(kind, "unknown")[:8] for kind in _KINDS}
    row["_posterior_source"] = cell.library or row["_posterior_source"]
    some: dict[str, Any] = {"variation": cell.variation}
    some |= {f"origin_{name}": value for name, value in cell.origin or ()}
    some["training_seconds"] = record.training_seconds
    row |= {name: value for name, value in some.items() if value is not None}
    for name, metric in record.metrics.items():
        row[name] = metric.value
        row[f"{name}_se"] = math.nan if metric.se is None else metric.se
    return row


def _tell_sources_apart(frame: pd.DataFrame) -> None:
    """Give the rows of a posterior, or a target, names of their own for each version of its code among the records."""
    for kind, columns in _KINDS.items():
        label = "label" if kind == "posterior" else "target_label"
        codes = frame[f"_{kind}_source"]
        names = {spec: parse(spec).name for spec in frame[kind].unique()}
        several = codes.groupby(frame[kind].map(names)).transform("nunique") > 1
        if several.any():
            for column in columns:
                specs = zip(frame.loc[several, column], codes[several], strict=True)
                frame.loc[several, column] = [_with_source(spec, code) for spec, code in specs]
            frame.loc[several, label] += " (source " + codes[several] + ")"


def _with_source(spec: str, code: str) -> str:
    parsed = parse(spec)
    return str(Spec(parsed.name, (*parsed.options, ("source", code))))
