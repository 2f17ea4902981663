"""The records under a folder: each file read once, or not at all where an index has what is tabled of it."""

import copy
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic_core import from_json

from nfbench.foundation.errors import InputError
from nfbench.foundation.files import read as read_file
from nfbench.records import index
from nfbench.records.cells import Record
from nfbench.records.frame import Rows
from nfbench.records.index import Signature
from nfbench.records.proof import MOST_BYTES
from nfbench.records.store import SUFFIX, files, path, read

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
        self._kept: dict[Key, Record] = {}
        self._files: dict[Key, tuple[str, Signature | None]] = {}  # experiment, and what the file was like when read
        known, new = index.load(root), Rows()
        rows: list[int] = []  # of the index
        places: list[int] = []  # of these among all records
        for source, experiment, entry in _listed(folders):
            identity, signature = entry.name.removesuffix(SUFFIX), _signature(entry)
            row = known.row((source, experiment, identity), signature) if known and signature else None
            if row is not None:
                rows.append(row)
                places.append(len(self._files))
            elif not self._read(new, source, folders[source] / experiment / entry.name):
                continue
            self._files[source, identity] = experiment, signature
        self.rows = new.mixed_with(known.columns(rows), places) if known and rows else new
        if len(new) >= index.WORTH:
            index.save(root, self.rows.columns, [signature for _, signature in self._files.values()])

    def _read(self, rows: Rows, source: str, file: Path) -> bool:
        """Table a record; False, after a warning, where the file is none."""
        try:
            record = read(file)
        except InputError as error:
            warnings.warn(f"{error}; skipped", stacklevel=2)
            return False
        rows.add(record, source)
        if len(self._kept) < _KEPT:
            self._kept[source, record.id] = record
        return True

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


def _listed(folders: Mapping[str, Path]) -> Iterator[tuple[str, str, "os.DirEntry[str]"]]:
    """Source, experiment and entry of every file."""
    for source, folder in folders.items():
        yield from ((source, *file) for file in files(folder))


def _signature(file: "os.DirEntry[str] | Path") -> Signature | None:
    """What a file is like now; None where that cannot be told."""
    try:
        return Signature.of(file.stat())
    except OSError:
        return None
