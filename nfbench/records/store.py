"""Files of records: one JSON file for the outcome of each cell, with its arrays beside it.

Layout: ``<root>/<experiment>/<id>.json``, with arrays (density images, per-example values) in ``<id>.npz`` beside it.
"""

import io
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from nfbench.foundation.errors import InputError
from nfbench.foundation.files import entries, replace
from nfbench.records.cells import FINISHED, Record
from nfbench.specification.choices import TIMING
from nfbench.specification.config import Cell


def path(root: Path, experiment: str, identity: str) -> Path:
    """Where a cell's record lies.

    Args:
        root: folder of the records.
        experiment: name of its folder.
        identity: the record's id, a hash of its cell.

    Returns:
        ``<root>/<experiment>/<identity>.json``; the file need not exist.
    """
    return root / experiment / f"{identity}.json"


def arrays(root: Path, experiment: str, identity: str) -> dict[str, np.ndarray]:
    """The arrays stored beside a record; empty where there are none.

    Args:
        root: folder of the records.
        experiment: name of its folder.
        identity: the record's id.

    Returns:
        The arrays by name.

    Raises:
        InputError: torn or foreign; the message names the file.
    """
    file = path(root, experiment, identity).with_suffix(".npz")
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as stored:
            return {key: stored[key] for key in stored.files}
    except FileNotFoundError:
        return {}
    except Exception as error:  # a damaged archive can raise almost anything
        raise InputError(f"cannot read arrays {file}: {type(error).__name__}: {error}") from None


def write(root: Path, record: Record, images: Mapping[str, np.ndarray] | None = None) -> Path:
    """Store a record, and its arrays before it, each by an atomic rename.

    Args:
        root: folder of the records.
        record: the outcome of a cell.
        images: arrays to store beside it, by name.

    Returns:
        The file of the record.

    Raises:
        InputError: the folder cannot be written.
    """
    file = path(root, record.cell.experiment, record.id)
    if images:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **dict(images))
        replace(file.with_suffix(".npz"), buffer.getvalue())
    replace(file, (record.model_dump_json(indent=1) + "\n").encode())
    return file


def read(file: Path) -> Record:
    """Read and validate one record.

    Args:
        file: ``<root>/<experiment>/<id>.json``.

    Returns:
        The record, whose id is the hash of its cell.

    Raises:
        InputError: torn, foreign, of another schema, renamed or moved; the message names the file.
    """
    try:
        record = Record.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read record {file}: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "content"
        got = f", got {first['input']!r}" if isinstance(first["input"], int | float) else ""
        raise InputError(f"{file} is not a record of schema 1: {where}: {first['msg']}{got}") from None
    if record.id != file.stem or record.id != record.cell.id:
        raise InputError(f"{file} is not the record that its name says: its configuration hashes to {record.cell.id}")
    if record.cell.experiment != file.parent.name:
        raise InputError(f"{file} does not lie where it belongs: it is a record of {record.cell.experiment!r}")
    return record


def finished(root: Path, cell: Cell) -> bool:
    """Whether a cell has an outcome that a second run would only repeat.

    Args:
        root: folder of the records.
        cell: the cell that is looked for.

    Returns:
        True for the outcomes in `FINISHED`; False where there is no record or it cannot be read, which a warning tells.
    """
    file = path(root, cell.experiment, cell.id)
    if not os.path.exists(file):  # noqa: PTH110  Path.exists raises in a folder that cannot be read
        return False
    try:
        return read(file).status in FINISHED
    except InputError as error:
        warnings.warn(f"{error}; it will be run again", stacklevel=2)
        return False


def records(root: Path) -> Iterator[Record]:
    """All readable records directly under a root (not its reference folder); the rest is named in a warning.

    Args:
        root: folder of the records; its folder ``timing`` is left out.

    Yields:
        Each record, in the order of experiments and ids.

    Raises:
        InputError: the root cannot be read.
    """
    for file in _files(root):
        try:
            yield read(file)
        except InputError as error:
            warnings.warn(f"{error}; skipped", stacklevel=2)


def _files(root: Path) -> Iterator[Path]:
    for folder in (folder for folder in entries(root) if folder.name != TIMING):
        try:
            yield from (file for file in entries(folder) if file.suffix == ".json")
        except InputError as error:
            warnings.warn(f"{error}; skipped", stacklevel=2)
