"""How a record proves its content: a digest of all that it says, and one of each array beside it.

The digest finds what was edited, torn, flipped on a disk or put beside the wrong record. It is no signature: who
rewrites the content with its digest is not found out. Records of before there were digests have none, and are read as
they are.
"""

import hashlib
import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import ValidationError
from pydantic_core import from_json

from nfbench.foundation.errors import InputError
from nfbench.foundation.files import AbsentError, UnreadableError, read, replace, set_aside
from nfbench.specification.config import Strict

MOST_BYTES = 2**26  # of a record's JSON
SCHEMA = 1
DIGEST = "digest"  # the field

S = TypeVar("S", bound=Strict)
T = TypeVar("T")


class NewerError(UnreadableError):
    """A record of a schema that only a newer nfbench knows."""


def digest_of(content: Mapping[str, Any]) -> str:
    """The sha256 of what a record says.

    Args:
        content: the record as JSON has it; its own digest does not count.

    Returns:
        64 hexadecimal digits, the same for any order of keys and any layout of the text.
    """
    said = {key: value for key, value in content.items() if key != DIGEST}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def digest_of_array(array: np.ndarray) -> str:
    """The sha256 of an array: its type, shape and numbers.

    Args:
        array: of any shape.

    Returns:
        64 hexadecimal digits.
    """
    total = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def sealed(record: S, **changes: Any) -> S:
    """A record with its digest.

    Args:
        record: with a field ``digest``.
        changes: fields that get other values, before the digest is made.

    Returns:
        The record, of which `parse` will know whether its file still says the same.
    """
    changed = record.model_copy(update=changes)
    return changed.model_copy(update={DIGEST: digest_of(json.loads(changed.model_dump_json()))})


def store_sealed(file: Path, record: Strict) -> None:
    """Store a record with its digest, by an atomic rename.

    Args:
        file: JSON; its folder is made where it is missing.
        record: with a field ``digest``.

    Raises:
        InputError: the folder cannot be written.
    """
    replace(file, (sealed(record).model_dump_json(indent=1) + "\n").encode())


def each_readable(files: Iterable[Path], reader: Callable[[Path], T]) -> Iterator[T]:
    """Read files one after the other; what cannot be read is named in a warning.

    Args:
        files: of records.
        reader: reads one.

    Yields:
        What was read, in the order of the files.
    """
    for file in files:
        try:
            yield reader(file)
        except InputError as error:
            warnings.warn(f"{error}; skipped", stacklevel=2)


def parse(file: Path, model: type[S], kind: str) -> S:
    """Read a record's file: it is a regular one, of a size that records have, of our schema, and says what was stored.

    Args:
        file: JSON.
        model: what it holds.
        kind: what that is called in messages, such as ``record``.

    Returns:
        The record.

    Raises:
        UnreadableError: no file or not to be read, also because a newer nfbench wrote it (`NewerError`); nothing may be
            written over it.
        InputError: torn, foreign or edited.
    """
    stored = read(file, MOST_BYTES, kind)
    try:
        content = from_json(stored)
    except ValueError as error:
        raise InputError(f"{file} is not a {kind} of schema {SCHEMA}: {error}") from None
    version = content.get("schema_version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > SCHEMA:
        raise NewerError(
            f"{file} is not a {kind} of schema {SCHEMA}: schema_version: got {version}; a newer nfbench wrote it"
        )
    try:
        record = _validated(content, stored, model)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "content"
        got = f", got {first['input']!r}" if isinstance(first["input"], int | float) else ""
        reason = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{file} is not a {kind} of schema {SCHEMA}: {where}: {reason}{got}") from None
    said = content.get(DIGEST)
    if said is not None and said != digest_of(content):
        raise InputError(f"{file} was changed after it was stored: its content does not have the digest that it says")
    return record


def _validated(content: Any, stored: bytes, model: type[S]) -> S:
    """A record from its parsed JSON; only where that does not fit from the text, whose errors speak of JSON's types."""
    try:
        return model.model_validate(content)
    except ValidationError:
        return model.model_validate_json(stored)


def check_arrays(file: Path, arrays: Mapping[str, np.ndarray], digests: Mapping[str, str]) -> None:
    """Check that arrays are those that a record was stored with.

    Args:
        file: where they lie, for messages.
        arrays: by name.
        digests: by name what `digest_of_array` gave, as the record keeps them.

    Raises:
        InputError: an array is missing, is another one, or is one too many; the message names it.
    """
    for name in sorted({*arrays, *digests}):
        if name not in digests:
            raise InputError(f"arrays {file} are not those of the record: it has no array {name!r}")
        if name not in arrays or digest_of_array(arrays[name]) != digests[name]:
            fault = "differs" if name in arrays else "is missing"
            raise InputError(f"arrays {file} are not those of the record: {name!r} {fault}")


def make_room(file: Path, reader: Callable[[Path], T]) -> T | None:
    """Rename a damaged record in the place of one that is to be written, and the arrays beside it, to ``.damaged``.

    Args:
        file: where the record is to be written.
        reader: reads a record.

    Returns:
        The record that stands there; None where there is none, or was a damaged one.

    Raises:
        UnreadableError: what stands there cannot be read, or is newer.
        InputError: it cannot be renamed.
    """
    try:
        return reader(file)
    except AbsentError:
        return None
    except UnreadableError as error:
        raise refused(error) from None
    except InputError:
        set_aside_damaged(file)
        return None


def set_aside_damaged(file: Path) -> None:
    """Rename a damaged record, and the arrays beside it, to ``.damaged``.

    Args:
        file: of the record.

    Raises:
        InputError: it cannot be renamed.
    """
    for damaged in (file, file.with_suffix(".npz")):
        if damaged.is_file():
            set_aside(damaged)


def refused(error: UnreadableError) -> UnreadableError:
    """What to say of a file that a record is not written over.

    Args:
        error: why it cannot be read.

    Returns:
        The error to be raised, of one line.
    """
    return UnreadableError(f"{error}; it is not overwritten: expected it elsewhere, or another folder of results")
