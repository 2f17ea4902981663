"""The records under a folder: each file read once, or not at all where an index has what is tabled of it."""

import copy
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from nfbench.foundation.files import read as read_file
from nfbench.foundation.garbage import uncollected
from nfbench.records import index
from nfbench.records.cells import Record
from nfbench.records.index import Index, Signature
from nfbench.records.proof import MOST_BYTES
from nfbench.records.store import SUFFIX, files, path, read
from nfbench.records.tabling import tabled

_KEPT = 1000  # records in memory at once

Key = tuple[str, str]  # source and id
Curves = dict[str, list[float | None]]


class Records(Mapping[Key, Record]):
    """Records by source and id. What is tabled of them is in memory; they themselves are read when they are asked for.

    A file that cannot be read, or is not what its name says, is named in a warning and left out. The first `_KEPT` of
    the records that had to be read to be tabled stay in memory.

    Args:
        root: the folder of results, under which the index is filed.
        folders: of the records, by source.

    Attributes:
        rows: what is tabled of them.
    """

    def __init__(self, root: Path, folders: Mapping[str, Path]) -> None:
        self._folders = folders
        with uncollected():
            listed = [*_listed(folders)]
            keys = [(source, experiment, file.name.removesuffix(SUFFIX)) for source, experiment, file in listed]
            signatures = [*map(_signature, (file for *_, file in listed))]
            known = index.load(root)
            rows = known.rows(keys, signatures) if known else [None] * len(keys)
            files = [(listed[place][0], Path(listed[place][2])) for place, row in enumerate(rows) if row is None]
            new, is_record, self._kept = tabled(files, _KEPT)
            reads = iter(is_record)
            there = [place for place, row in enumerate(rows) if row is not None or next(reads)]
            # By source and id the experiment, and what the file was like when it was read.
            self._files = {(keys[place][0], keys[place][2]): (keys[place][1], signatures[place]) for place in there}
            self.rows = new.mixed_with(*_from_index(known, [rows[place] for place in there])) if known else new
            if len(new) >= index.WORTH:
                index.save(root, self.rows.columns, [signatures[place] for place in there])

    def only(self, ids: frozenset[str]) -> "Records":
        """The records of some ids.

        Args:
            ids: of the records.

        Returns:
            Those of them that there are.
        """
        part = copy.copy(self)
        part.rows = self.rows.of(ids)
        part._files = {key: file for key, file in self._files.items() if key[1] in ids}
        return part

    def curves(self, key: Key) -> Curves:
        """The training curves of a record, without reading the rest of it where its file is the one that was tabled.

        Args:
            key: source and id.

        Returns:
            Values by name, as the record has them.

        Raises:
            KeyError: there is no such record.
            InputError: its file was removed or damaged since.
        """
        experiment, signature = self._files[key]
        file = path(self._folders[key[0]], experiment, key[1])
        if key in self._kept or signature is None or _signature(file) != signature:
            return self[key].curves
        stored = from_json(read_file(file, MOST_BYTES, "record"))["curves"]
        return {name: [None if value is None else float(value) for value in curve] for name, curve in stored.items()}

    def __getitem__(self, key: Key) -> Record:
        """The record, read again where it was not kept.

        Raises:
            KeyError: there is none.
            InputError: its file was removed or changed since.
        """
        experiment, _ = self._files[key]
        return self._kept[key] if key in self._kept else read(path(self._folders[key[0]], experiment, key[1]))

    def __contains__(self, key: object) -> bool:
        return key in self._files

    def __iter__(self) -> Iterator[Key]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def _from_index(known: Index, rows: Sequence[int | None]) -> tuple[dict[str, list[Any]], list[int]]:
    """The columns of the rows that an index has, and where these stand among all."""
    places = [place for place, row in enumerate(rows) if row is not None]
    return known.columns([row for row in rows if row is not None]), places


def _listed(folders: Mapping[str, Path]) -> Iterator[tuple[str, str, "os.DirEntry[str]"]]:
    """Source, experiment and entry of every file."""
    for source, folder in folders.items():
        yield from [(source, experiment, file) for experiment, file in files(folder)]


def _signature(file: "os.DirEntry[str] | Path") -> Signature | None:
    """What a file is like now; None where that cannot be told."""
    try:
        return Signature.of(file.stat())
    except OSError:
        return None
