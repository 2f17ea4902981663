"""All records under one folder, each file read once: the records, the table that they make, their curves and arrays."""

import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from nfbench.foundation.checks import brief, instance
from nfbench.foundation.errors import InputError
from nfbench.foundation.files import dangling_link
from nfbench.records.cells import Record
from nfbench.records.frame import Rows
from nfbench.records.listing import Records
from nfbench.records.store import arrays, path
from nfbench.records.timings import Timing, timings
from nfbench.records.verdicts import StoredVerdict, maps_of, newest, verdicts
from nfbench.specification.choices import REFERENCE, TIMING

OWN = "own"  # the source of records that lie directly under the root; those of its folder `reference` have its name
SOURCES = (OWN, REFERENCE)
Row = pd.Series | Mapping[Any, Any]  # of a table of records: it names at least `source` and `id`


class StoredResults:
    """The records under a results folder, read from disk when first asked for and then remembered.

    A user's own records lie directly under `root`, those that came with the package under ``root/reference``. The
    two are told apart by their *source*, ``own`` or ``reference``; one id can have a record of each.

    Attributes:
        root: the folder.

    Raises:
        InputError: `root` is not a path, or no folder.
    """

    def __init__(self, root: str | os.PathLike[str] = "results") -> None:
        """Name a folder of records; nothing is read yet.

        Args:
            root: the folder that ``nfbench run`` and ``nfbench time`` wrote to.

        Raises:
            InputError: not a path, or no folder.
        """
        if not isinstance(root, str | os.PathLike):
            raise InputError(f"results folder {brief(root)}: expected a path, as text or as a pathlib.Path")
        self.root = Path(root)
        if not os.path.isdir(self.root):  # noqa: PTH112  Path.is_dir raises in a folder that cannot be read
            link = f" ({link})" if (link := dangling_link(self.root)) else ""
            expected = "expected what 'nfbench run' wrote, or 'nfbench time'"
            raise InputError(f"no results folder {str(root)!r}{link}; {expected}")
        self._whole: Self | None = None  # of narrowed results: those that they are a part of
        self._ids: frozenset[str] = frozenset()  # and the ids of that part

    @property
    def records(self) -> Mapping[tuple[str, str], Record]:
        """The records of cells by source and id; a file that cannot be read is named in a warning and left out.

        Of many records, as many as fit into some ten MiB stay in memory; the others are read when they are asked for.
        """
        return self._some

    @cached_property
    def _some(self) -> Records:
        return self._all if self._whole is None else self._whole._some.only(self._ids)

    @cached_property
    def _all(self) -> Records:
        return Records(self.root, {source: self.folder(source) for source in SOURCES})

    @property
    def rows(self) -> Rows:
        """What is tabled of every record."""
        return self._some.rows

    @cached_property
    def timing_records(self) -> dict[tuple[str, str], Timing]:
        """The records of timings by source and id; a file that cannot be read is named in a warning and left out."""
        if self._whole is not None:
            return {key: timing for key, timing in self._whole.timing_records.items() if key[1] in self._ids}
        return {(source, timing.id): timing for source in SOURCES for timing in timings(self.folder(source))}

    @cached_property
    def verdicts(self) -> dict[tuple[str, str | None], StoredVerdict]:
        """What ``nfbench verify`` found of families, by canonical spec and by library with its version.

        A user's own verdict goes before one that came with the package. A file that cannot be read is named in a
        warning and left out.
        """
        if self._whole is not None:
            return self._whole.verdicts
        return newest(verdicts(self.folder(REFERENCE))) | newest(verdicts(self.folder(OWN)))

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row a cell: configuration, facts, status and every metric with its standard error (``_se``), in nats.

        The column `source` tells a user's ``own`` records from the ``reference`` ones. `refuted` is there where
        ``nfbench verify`` refuted a posterior among them, and says of which (`StoredVerdict.refuted`). It is made once:
        change a copy.
        """
        frame = self.rows.frame()
        refuted = {maps_of(each.examined.posterior, each.label) for each in self.verdicts.values() if each.refuted}
        if not refuted:
            return frame
        names = list(zip(frame["posterior"], frame["label"], strict=True))
        wrong = {both for both in set(names) if maps_of(*both) in refuted}
        return frame.assign(refuted=[both in wrong for both in names]) if wrong else frame

    def record(self, row_or_id: Row | str) -> Record:
        """The stored outcome of one cell.

        Args:
            row_or_id: a row of `frame`, or an id; where an id has an own and a reference record, the own one is meant.

        Returns:
            The record of that source and id.

        Raises:
            InputError: there is no such record.
        """
        return self.records[self._key(row_or_id)]

    def curves(self, row_or_id: Row | str) -> dict[str, list[float | None]]:
        """The training curves of one cell, all of one length; ``step`` is their abscissa, in updates.

        Args:
            row_or_id: a row of `frame`, or an id; see `record`.

        Returns:
            Values by name; a value that was not finite is None. Empty where no curve is stored.

        Raises:
            InputError: there is no such record.
        """
        return self._some.curves(self._key(row_or_id))

    def arrays(self, row_or_id: Row | str) -> dict[str, np.ndarray]:
        """The arrays stored beside a record, read from disk at every call; empty where there are none.

        Args:
            row_or_id: a row of `frame`, or an id; see `record`.

        Returns:
            The arrays by name, such as images and values of single data points.

        Raises:
            InputError: there is no such record, or its arrays cannot be read; the message names the file.
        """
        source, identity = self._key(row_or_id)
        record = self.records[source, identity]
        return arrays(self.folder(source), record.cell.experiment, identity, record.arrays)

    def folder(self, source: str) -> Path:
        """Where the records of a source lie.

        Args:
            source: ``own`` or ``reference``.

        Returns:
            `root`, or its folder ``reference``.
        """
        return self.root / REFERENCE if source == REFERENCE else self.root

    def file(self, row: Row) -> Path:
        """The JSON file of a record.

        Args:
            row: of `frame`, or of a table of timings, which has no column `experiment`.

        Returns:
            Its path; the file need not exist.
        """
        return path(self.folder(row["source"]), str(row.get("experiment", TIMING)), str(row["id"]))

    def narrowed(self, ids: Iterable[str]) -> Self:
        """The results of some records only; nothing is read again.

        Args:
            ids: of cells or of timings; an id without a record adds nothing.

        Returns:
            Results with the same root that hold those records only.

        Raises:
            InputError: `ids` is one text, not a collection of them.
        """
        if isinstance(ids, str):
            raise InputError(f"ids {ids!r}: expected a collection of ids, such as [{ids!r}]")
        try:
            texts = list(ids)
        except TypeError:
            raise InputError(f"ids {brief(ids)}: expected a collection of ids") from None
        for text in texts:
            instance("results", "ids", text, str, "ids as text")
        part = type(self)(self.root)
        part._whole, part._ids = self, frozenset(texts)
        return part

    def __len__(self) -> int:
        """How many records of cells there are."""
        return len(self.records)

    def __bool__(self) -> bool:
        """True even where there is no record."""
        return True

    def __repr__(self) -> str:
        counts = self.frame["experiment"].value_counts(sort=False).sort_index()
        parts = [f"{count} of {experiment}" for experiment, count in counts.items()]
        parts += [f"{len(self.timing_records)} timings"] if self.timing_records else []
        number = f"{len(self)} record{'' if len(self) == 1 else 's'}"
        return f"<{type(self).__name__} {str(self.root)!r}: {number}{': ' if parts else ''}{', '.join(parts)}>"

    def _key(self, row_or_id: Row | str) -> tuple[str, str]:
        """Source and id of a record that exists."""
        if isinstance(row_or_id, str):
            keys = [(source, row_or_id) for source in SOURCES]
        elif isinstance(row_or_id, pd.Series | Mapping) and {"source", "id"} <= set(row_or_id.keys()):
            keys = [(str(row_or_id["source"]), str(row_or_id["id"]))]
        else:
            raise InputError(f"record {brief(row_or_id)}: expected a row of the results' frame, or an id as text")
        for key in keys:
            if key in self.records:
                return key
        raise InputError(
            f"no record {keys[0][1]!r} among the {len(self)} under {str(self.root)!r}; "
            "expected a row of the results' frame, or an id of its column 'id'"
        )
