"""What a folder's records came to, without their curves, so that two folders of any size can be compared."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

from nfbench.foundation.errors import InputError
from nfbench.foundation.files import entries
from nfbench.records.cells import Facts, Metric, Record, Status
from nfbench.records.store import SUFFIX, files, read
from nfbench.specification.choices import REFERENCE, TIMING
from nfbench.specification.config import Cell

_NUMBERS = {"status", "metrics", "curves"}


class Outcome(NamedTuple):
    """A record without its curves.

    Attributes:
        cell: that was run.
        facts: what the registries said of it.
        status: how it ended.
        metrics: by name, in nats unless the name says otherwise.
        numbers: sha256 of status, metrics and curves.
        arrays: sha256 of each array by name; None where the record is of before there were digests.
        seconds: that it took.
        training_seconds: of the training alone; None where that is not known.
        provenance: when, where and by which code it was made.
        digest: of the record; None where it is of before there were digests.
    """

    cell: Cell
    facts: Facts
    status: Status
    metrics: Mapping[str, Metric]
    numbers: str
    arrays: Mapping[str, str] | None
    seconds: float
    training_seconds: float | None
    provenance: Mapping[str, Any]
    digest: str | None

    @classmethod
    def of(cls, record: Record) -> Self:
        """The outcome that a record stores.

        Args:
            record: of a cell.

        Returns:
            It, without curves.
        """
        return cls(
            cell=record.cell,
            facts=record.facts,
            status=record.status,
            metrics=record.metrics,
            numbers=hashlib.sha256(record.model_dump_json(include=_NUMBERS).encode()).hexdigest(),
            arrays=record.arrays,
            seconds=record.seconds,
            training_seconds=record.training_seconds,
            provenance=record.provenance,
            digest=record.digest,
        )

    def equals(self, another: Self) -> bool:
        """Whether two outcomes have the same numbers bit by bit, whenever, where and by which version they were made.

        Args:
            another: outcome.

        Returns:
            True for equal status, metrics and curves, and equal arrays where both records have digests of them.
        """
        known = self.arrays is not None and another.arrays is not None
        return self.numbers == another.numbers and (not known or self.arrays == another.arrays)


class Outcomes(NamedTuple):
    """The outcomes of a folder.

    Attributes:
        by_id: of its records.
        faults: of each file that is no record, one line that names it.
        damaged: the ids that these files' names have.
        timings: number of the folder's records of timings, which are not read.
    """

    by_id: dict[str, Outcome]
    faults: list[str]
    damaged: set[str]
    timings: int = 0


def outcomes(root: Path) -> Outcomes:
    """Read the records directly under a root.

    Args:
        root: folder of the records; those in its folder ``reference`` are not meant.

    Returns:
        All that can be read, and what is to be said of the others.

    Raises:
        InputError: no folder, or one without records.
    """
    if not root.is_dir():
        raise InputError(f"no results folder {str(root)!r}; expected what 'nfbench run' wrote")
    timed = sum(file.suffix == SUFFIX for file in entries(root / TIMING))
    every = Outcomes({}, [], set(), timed)
    for experiment, entry in files(root):
        if experiment == REFERENCE:
            continue
        file = root / experiment / entry.name
        try:
            record = read(file)
        except InputError as error:
            every.faults.append(str(error))
            every.damaged.add(file.stem)
        else:
            every.by_id[record.id] = Outcome.of(record)
    if not every.by_id and not every.faults:
        there = root / REFERENCE
        hint = f"; did you mean {str(there)!r}?" if there.is_dir() else ""
        raise InputError(f"no records directly under {str(root)!r}{hint}; expected what 'nfbench run' wrote")
    return every
