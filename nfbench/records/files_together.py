"""Files that belong together, such as an outcome and its weights, stored under names that nothing else has."""

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from nfbench.foundation.errors import InputError
from nfbench.foundation.files import AbsentError, entries, flush_folder, make_folder, read
from nfbench.foundation.first import part_of, second_names, take_name

_MOST_BYTES = 2**32  # of a file
_SECOND = re.compile(r"(?P<name>[^.].*?)(?P<end>\.differs(?:-\d+)?)?")

Together = Mapping[str, bytes]  # contents by the names that they shall have; the first is that of the outcome


class Kept(NamedTuple):
    """Where files that belong together are now.

    Attributes:
        end: of all their names; empty where they have their own.
        is_new: whether any of them was not there before.
    """

    end: str
    is_new: bool


def read_together(files: Sequence[Path], kind: str, *, as_json: bool = False) -> Together:
    """Read files that belong together.

    Args:
        files: the first is the outcome; names of second outcomes end in ``.differs`` and the like.
        kind: what the outcome is called in messages.
        as_json: whether it is checked to be a JSON object.

    Returns:
        Contents by names without that end.

    Raises:
        InputError: a file cannot be read, or the first one is no JSON object.
    """
    contents = {place_of(file).name: read(file, _MOST_BYTES, kind) for file in files}
    if as_json:
        try:
            is_object = isinstance(json.loads(contents[place_of(files[0]).name]), dict)
        except ValueError:
            is_object = False
        if not is_object:
            raise InputError(f"{files[0]} is not an {kind}: expected a JSON object")
    return contents


def keep_together(together: Together, folder: Path, end: str) -> Kept:
    """Store files under their names if none of them is there with another content, else all under second names.

    Args:
        together: contents by name.
        folder: made where it is missing.
        end: behind their names where another content has one of them, such as ``.differs``; with a number for a third.

    Returns:
        The end of their names, and whether they are new. The same files are kept once, however often they come.

    Raises:
        UnreadableError: a file that has one of the names cannot be read.
        InputError: the folder cannot be written.
    """
    taken = len(entries(folder))
    first = folder / next(iter(together))
    ends = [name.name.removeprefix(first.name) for name in (first, *second_names(first, end, taken))]
    for each in ends:
        missing = _missing(together, folder, each)
        if missing is not None and _named(missing, folder, each):
            return Kept(each, bool(missing))
    raise InputError(f"cannot write {first}: others change it all the time; expected one user of this folder")


def _missing(together: Together, folder: Path, end: str) -> list[tuple[str, bytes]] | None:
    """Those that are not there yet, the outcome last; None where another content has one of the names."""
    missing = []
    for name, content in together.items():
        try:
            if read(folder / f"{name}{end}", _MOST_BYTES) != content:
                return None
        except AbsentError:
            missing.append((name, content))
    return missing[::-1]


def _named(contents: Sequence[tuple[str, bytes]], folder: Path, end: str) -> bool:
    """Give each its name; False where somebody else was faster."""
    try:
        make_folder(folder)
        with contextlib.ExitStack() as stack:
            files = [folder / f"{name}{end}" for name, _ in contents]
            contents_of = (content for _, content in contents)
            parts = [stack.enter_context(part_of(file, each)) for file, each in zip(files, contents_of, strict=True)]
            done = all(take_name(part, file) for part, file in zip(parts, files, strict=True))
        flush_folder(folder)
        return done
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}") from None


def place_of(file: Path) -> Path:
    """The name that a file has where no second outcome lies beside it.

    Args:
        file: whose name may end in ``.differs`` and the like.

    Returns:
        Its path without that end.
    """
    match = _SECOND.fullmatch(file.name)
    return file.with_name(match["name"]) if match else file
