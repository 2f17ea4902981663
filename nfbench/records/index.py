"""An index of a folder's records: what is tabled of each of them, so that a second look reads only what changed.

It lies in the user's cache, is derived from the records and may be deleted at any time. A row of it stands for a file
with the same name, size, times and inode, whose content was proven when the row was made. An index of another folder
or by another version of the code is not used, and neither is a damaged one.
"""

import contextlib
import hashlib
import io
import json
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from os import stat_result
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pydantic

import nfbench.foundation
import nfbench.specification
from nfbench.foundation.errors import InputError
from nfbench.foundation.files import entries, read, replace
from nfbench.foundation.settings import cache_folder

WORTH = 2000  # records that had to be read, below which no index is written: to read them takes less than a second
_MOST_BYTES = 2**31  # of an index
_SETTLED = 2 * 10**9  # ns after which a second change gives a file another time, on any file system
_SUFFIX = ".index"
_BITS = 2**63 - 1  # those of a number that are compared
_NO_FILE = (-1, -1, -1, -1)


class Signature(NamedTuple):
    """What tells that a file has not changed.

    Attributes:
        size: in bytes.
        modified: ns since 1970, which whoever changes a file can set.
        changed: ns since 1970, which only the system sets.
        inode: of the file, 63 bits; a file that takes another one's place has its own.
    """

    size: int
    modified: int
    changed: int
    inode: int

    @classmethod
    def of(cls, status: stat_result) -> Self:
        """The signature of a file.

        Args:
            status: what the system says of it.

        Returns:
            Size, times and inode.
        """
        return cls(status.st_size, status.st_mtime_ns & _BITS, status.st_ctime_ns & _BITS, status.st_ino & _BITS)

    def settled(self) -> bool:
        """Whether a later change must give the file another signature: the times of a file system have coarse steps.

        Returns:
            False within two seconds of the last change, and where the file system's clock is ahead of ours.
        """
        return self.changed < time.time_ns() - _SETTLED


class Index:
    """What an earlier call tabled of the records under a folder.

    Args:
        signatures: (n, 4), of the files.
        columns: (n,) each, what is tabled of them: floats as they are, all else as numbers of values.
        values: of each column that is not of floats, the distinct values.
    """

    def __init__(
        self, signatures: np.ndarray, columns: Mapping[str, np.ndarray], values: Mapping[str, list[Any]]
    ) -> None:
        self._signatures = signatures
        self._columns, self._values = columns, values
        keys = zip(*(self._decoded(name, None) for name in ("source", "experiment", "id")), strict=True)
        self._rows = {key: row for row, key in enumerate(keys)}

    def rows(self, keys: Sequence[tuple[str, str, str]], signatures: Sequence[Signature | None]) -> list[int | None]:
        """Which rows are those of files.

        Args:
            keys: (n,), source, experiment and id of each.
            signatures: (n,), of the files as they are now; None where that cannot be told.

        Returns:
            (n,), numbers of the rows; None where there is none, or the file has changed since.
        """
        if not (self._rows and keys):
            return [None] * len(keys)
        rows = np.array([self._rows.get(key, -1) for key in keys])
        now = np.array([signature or _NO_FILE for signature in signatures], np.int64)
        known = (rows >= 0) & (self._signatures[rows] == now).all(axis=1)
        return [row if is_known else None for row, is_known in zip(rows.tolist(), known.tolist(), strict=True)]

    def columns(self, rows: Sequence[int]) -> dict[str, list[Any]]:
        """Some of the rows.

        Args:
            rows: their numbers.

        Returns:
            By name of the column one value a row, equal to those that `save` was given.
        """
        numbers = np.asarray(rows, dtype=int)
        chosen = None if np.array_equal(numbers, np.arange(len(self._rows))) else numbers
        return {name: self._decoded(name, chosen) for name in self._columns}

    def _decoded(self, name: str, rows: np.ndarray | None) -> list[Any]:
        column = self._columns[name] if rows is None else self._columns[name][rows]
        listed: list[Any] = column.tolist()
        return [*map(self._values[name].__getitem__, listed)] if name in self._values else listed


def load(root: Path) -> Index | None:
    """The index of a folder.

    Args:
        root: folder of the records.

    Returns:
        What `save` stored last; None where there is nothing, or nothing that can be used. A damaged one is told in a
        warning.
    """
    file = _file(root)
    if file is None:
        return None
    try:
        line, _, content = read(file, _MOST_BYTES, "index").partition(b"\n")
        head = json.loads(line)
        if head["code"] != _code():
            return None
        is_sound = head == _head(head["root"], _code(), content)
        arrays = _arrays(content) if is_sound else {}
    except InputError:
        return None
    except Exception:  # a damaged file can raise almost anything
        is_sound = False
    if not is_sound:
        warnings.warn(f"{file} is damaged: every record is read, and it is made again", stacklevel=2)
    if not is_sound or head["root"] != str(root.resolve()):
        return None
    facts = json.loads(arrays["facts"].tobytes())
    columns = {name: arrays[f"column {number}"] for number, name in enumerate(facts["names"])}
    values = {name: [_hashable(value) for value in listed] for name, listed in facts["values"].items()}
    return Index(arrays["signatures"], columns, values)


def save(root: Path, columns: Mapping[str, Sequence[Any]], signatures: Sequence[Signature | None]) -> None:
    """Store the index of a folder, whole or not at all; where the user's cache cannot be written there is none.

    Args:
        root: folder of the records.
        columns: (n,) each, what is tabled of the records by name of the column: text, numbers, pairs of them or None.
        signatures: (n,), of their files, taken before each was read; None where that could not be done.
    """
    file = _file(root)
    if file is None:
        return
    settled = [(row, signature) for row, signature in enumerate(signatures) if signature and signature.settled()]
    rows = [row for row, _ in settled]
    arrays = {"signatures": np.array([signature for _, signature in settled], np.int64).reshape(-1, 4)}
    values: dict[str, list[Any]] = {}
    for number, (name, column) in enumerate(columns.items()):
        arrays[f"column {number}"], distinct = _coded([column[row] for row in rows])
        if distinct is not None:
            values[name] = distinct
    facts = json.dumps({"names": list(columns), "values": values})
    arrays["facts"] = np.frombuffer(facts.encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    content = buffer.getvalue()
    with contextlib.suppress(InputError):
        replace(file, json.dumps(_head(str(root.resolve()), _code(), content)).encode() + b"\n" + content)
        _forget_removed_folders(file.parent)


def _arrays(content: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def _coded(column: Sequence[Any]) -> tuple[np.ndarray, list[Any] | None]:
    """A column as an array: its floats, or the number of each value among the distinct ones, and these."""
    if all(type(value) is float for value in column):
        return np.array(column, np.float64), None
    numbers: dict[Any, int] = {}
    distinct: list[Any] = []
    coded: list[int] = []
    for value in column:
        key = value if type(value) is str else (repr(value),)  # 1, 1.0 and True are equal, and so are 0.0 and -0.0
        if (number := numbers.setdefault(key, len(distinct))) == len(distinct):
            distinct.append(value)
        coded.append(number)
    return np.array(coded, np.min_scalar_type(len(distinct))), distinct


def _hashable(value: Any) -> Any:
    """JSON has no tuples."""
    return tuple(value) if isinstance(value, list) else value


def _file(root: Path) -> Path | None:
    """Where the index of a folder lies; None for a user without a cache."""
    name = hashlib.sha256(str(root.resolve()).encode(errors="surrogateescape")).hexdigest()[:32]
    file = cache_folder() / "records" / f"{name}{_SUFFIX}"
    return file if file.is_absolute() else None


def _head(root: str, code: str, content: bytes) -> dict[str, str]:
    """The first line of an index: the folder of the records, the digest of the code, and one of all that it says."""
    total = hashlib.sha256(json.dumps([root, code]).encode())
    total.update(content)
    return {"root": root, "code": code, "digest": total.hexdigest()}


@cache
def _code() -> str:
    """A digest of all code that decides what is a record and what is tabled of it."""
    folders = [Path(__file__).parent, *(Path(each.__path__[0]) for each in (nfbench.foundation, nfbench.specification))]
    total = hashlib.sha256(pydantic.VERSION.encode())
    for file in _sources(folders):
        total.update(file.read_bytes())
    return total.hexdigest()


def _sources(folders: Iterable[Path]) -> Iterable[Path]:
    return (file for folder in folders for file in sorted(folder.glob("*.py")))


def _forget_removed_folders(folder: Path) -> None:
    """Remove the indices of folders that are no longer there."""
    for file in entries(folder):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            if file.suffix == _SUFFIX and not Path(_root_of(file)).is_dir():
                file.unlink()


def _root_of(file: Path) -> str:
    with file.open("rb") as stream:
        return str(json.loads(stream.readline(2**16))["root"])
