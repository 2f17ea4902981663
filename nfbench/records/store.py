"""Files of records: one JSON file for the outcome of each cell, with its arrays beside it.

Layout: ``<root>/<experiment>/<id>.json``, with arrays (density images, per-example values) in ``<id>.npz`` beside it.
Arrays are written first, so that a record whose file is there is whole.

What stands in a record's place is never lost: a torn, foreign or edited file is renamed to ``<id>.json.damaged`` before
the cell's new record is written; one that cannot be read, or that a newer nfbench wrote, is refused in one line.
"""

import io
import os
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from nfbench.foundation.errors import InputError
from nfbench.foundation.files import AbsentError, UnreadableError, replace, scan
from nfbench.foundation.files import read as read_file
from nfbench.records.cells import FINISHED, Record
from nfbench.records.proof import check_arrays, digest_of_array, make_room, parse, refused, sealed
from nfbench.specification.choices import CHOICES, TIMING
from nfbench.specification.config import Cell

SUFFIX = ".json"  # of a record's file
DIFFERS = ".differs"  # behind the name of a second outcome of a finished cell, with other numbers
MOST_ARRAY_BYTES = 2**30  # of a file of arrays, packed or unpacked


def path(root: Path, experiment: str, identity: str) -> Path:
    """Where a cell's record lies.

    Args:
        root: folder of the records.
        experiment: name of its folder.
        identity: the record's id, a hash of its cell.

    Returns:
        ``<root>/<experiment>/<identity>.json``; the file need not exist.
    """
    return root / experiment / f"{identity}{SUFFIX}"


def arrays(
    root: Path, experiment: str, identity: str, digests: Mapping[str, str] | None = None
) -> dict[str, np.ndarray]:
    """The arrays stored beside a record; empty where there are none.

    Args:
        root: folder of the records.
        experiment: name of its folder.
        identity: the record's id.
        digests: sha256 of each array by name, as the record has them; None: it has none, and nothing is compared.

    Returns:
        The arrays by name.

    Raises:
        InputError: torn, foreign, too large, or not those of the record; the message names the file.
    """
    return arrays_in(path(root, experiment, identity).with_suffix(".npz"), digests)


def arrays_beside(file: Path) -> Path:
    """Where the arrays of a record lie.

    >>> arrays_beside(Path("0123.json")).name, arrays_beside(Path("0123.json.differs-2")).name
    ('0123.npz', '0123.npz.differs-2')

    Args:
        file: of the record, which may be a second outcome.

    Returns:
        The file of its arrays; it need not exist.
    """
    stem, end = file.name.split(SUFFIX, 1)
    return file.with_name(f"{stem}.npz{end}")


def arrays_in(file: Path, digests: Mapping[str, str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of a file.

    Args:
        file: where they lie; it need not exist.
        digests: sha256 of each array by name, as their record has them; None: it has none, and nothing is compared.

    Returns:
        The arrays by name.

    Raises:
        InputError: torn, foreign, too large, or not those of the record; the message names the file.
    """
    try:
        stored = _unpacked(file)
    except AbsentError:
        stored = {}
    if digests is not None:
        check_arrays(file, stored, digests)
    return stored


def fits(file: Path, record: Record) -> bool:
    """Whether a file holds the arrays of a record.

    Args:
        file: of arrays; it need not exist.
        record: of a cell.

    Returns:
        False where it is damaged, or holds those of another record.
    """
    try:
        arrays_in(file, record.arrays)
    except InputError:
        return False
    return True


def with_proof(record: Record, images: Mapping[str, np.ndarray] | None = None) -> Record:
    """A record with its digest and those of the arrays that are to be stored beside it.

    Args:
        record: the outcome of a cell.
        images: the arrays by name.

    Returns:
        The record as `write` stores it, and as `read` reads it.
    """
    digests = {name: digest_of_array(np.asarray(array)) for name, array in (images or {}).items()}
    return sealed(record, arrays=digests)


def write(root: Path, record: Record, images: Mapping[str, np.ndarray] | None = None) -> Path:
    """Store a record, and its arrays before it, each by an atomic rename that outlasts a loss of power.

    Args:
        root: folder of the records.
        record: the outcome of a cell.
        images: arrays to store beside it, by name.

    Returns:
        The file of the record.

    Raises:
        InputError: the folder cannot be written, or a file that cannot be read or is newer has the record's place.
    """
    file = path(root, record.cell.experiment, record.id)
    beside = file.with_suffix(".npz")
    make_room(file, read)
    if images:
        replace(beside, packed(images))
    replace(file, text_of(with_proof(record, images)))
    if not images:
        beside.unlink(missing_ok=True)  # of an earlier outcome of the cell
    return file


def text_of(record: Record) -> bytes:
    """A record as its file has it.

    Args:
        record: the outcome of a cell.

    Returns:
        JSON with a line end.
    """
    return (record.model_dump_json(indent=1) + "\n").encode()


def packed(images: Mapping[str, np.ndarray]) -> bytes:
    """Arrays as their file has them.

    Args:
        images: the arrays by name.

    Returns:
        A compressed archive of numpy's.
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **dict(images))
    return buffer.getvalue()


def read(file: Path, place: Path | None = None) -> Record:
    """Read and validate one record.

    Args:
        file: ``<root>/<experiment>/<id>.json``.
        place: where it belongs, while it has another name; None: where it is.

    Returns:
        The record, whose id is the hash of its cell.

    Raises:
        UnreadableError: not there, not to be read, or of a newer schema; the message names the file.
        InputError: torn, foreign, edited, renamed or moved; the message names the file.
    """
    record, place = parse(file, Record, "record"), place or file
    if record.id != place.stem or record.id != record.cell.id:
        raise InputError(f"{file} is not the record that its name says: its configuration hashes to {record.cell.id}")
    if record.cell.experiment != place.parent.name:
        raise InputError(f"{file} does not lie where it belongs: it is a record of {record.cell.experiment!r}")
    return record


def finished(root: Path, cell: Cell, *, tell: bool = True) -> bool:
    """Whether a cell has an outcome that a second run would only repeat.

    Args:
        root: folder of the records.
        cell: the cell that is looked for.
        tell: warn of a damaged record, or of damaged arrays beside it.

    Returns:
        True for the outcomes in `FINISHED`; False where there is no record, or a damaged one or one beside which its
        arrays are damaged.

    Raises:
        UnreadableError: what stands in the record's place cannot be read or is newer, so that it cannot be replaced.
    """
    file = path(root, cell.experiment, cell.id)
    kept = f"its file will be kept as {file.name}.damaged, and "
    try:
        record = read(file)
        kept = ""  # where only its arrays are damaged
        if record.status in FINISHED and record.arrays:
            arrays(root, cell.experiment, cell.id, record.arrays)
        return record.status in FINISHED
    except AbsentError:
        return False
    except UnreadableError as error:
        raise refused(error) from None
    except InputError as error:
        if tell:
            warnings.warn(f"{error}; {kept}it will be run again", stacklevel=2)
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
    for experiment, entry in files(root):
        try:
            yield read(root / experiment / entry.name)
        except InputError as error:
            warnings.warn(f"{error}; skipped", stacklevel=2)


def files(root: Path) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    """All files that should be records directly under a root; a folder that cannot be read is named in a warning.

    Args:
        root: folder of the records; its folder ``timing`` is left out.

    Yields:
        The folder's name, which is that of the experiment, and the file's entry, in the order of both names.

    Raises:
        InputError: the root cannot be read.
    """
    for folder in (entry.name for entry in scan(root) if entry.name not in (CHOICES, TIMING)):
        try:
            yield from [(folder, entry) for entry in scan(root / folder) if entry.name[1:].endswith(SUFFIX)]
        except InputError as error:
            warnings.warn(f"{error}; skipped", stacklevel=2)


def _unpacked(file: Path) -> dict[str, np.ndarray]:
    content = io.BytesIO(read_file(file, MOST_ARRAY_BYTES, "arrays"))
    try:
        with zipfile.ZipFile(content) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > MOST_ARRAY_BYTES:
            raise ValueError(f"{size:,} bytes unpacked; expected at most {MOST_ARRAY_BYTES:,}")
        with np.load(content, allow_pickle=False) as stored:
            return {key: stored[key] for key in stored.files}
    except Exception as error:  # a damaged archive can raise almost anything
        reason = " ".join(str(error).split())
        raise InputError(f"cannot read arrays {file}: {type(error).__name__}: {reason}") from None
