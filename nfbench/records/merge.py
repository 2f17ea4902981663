"""Several folders of results become one: what is equal is stored once, what differs is kept beside and named.

Nothing in the folders that are read is changed, and nothing that is finished is written over: records are published as
a run publishes them (`nfbench.records.publish`), timings and the outcomes of ``nfbench choose`` by the same rule.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from nfbench.foundation.errors import InputError
from nfbench.foundation.files import AbsentError, UnreadableError, check_writable, entries
from nfbench.records import rechecks, timings, verdicts
from nfbench.records.cells import FINISHED, Record
from nfbench.records.files_together import Together, keep_together, place_of, read_together
from nfbench.records.proof import make_room
from nfbench.records.publish import publish, same_numbers
from nfbench.records.store import DIFFERS, arrays_beside, arrays_in, fits, path, read
from nfbench.specification.choices import CHOICES, PLANS, RECHECKS, REFERENCE, TIMING, VERDICTS

Kind = Literal["new", "equal", "differs", "unfinished", "damaged", "unreadable", "no place", "left"]
NAMED: tuple[Kind, ...] = ("differs", "damaged", "unreadable", "no place")  # what somebody has to look at

_OUTCOMES = ("record", "timing", "recheck", "verdict", "choice")
_BESIDE = {RECHECKS: ("recheck", rechecks.SUFFIX), VERDICTS: ("verdict", verdicts.SUFFIX)}  # folder: kind and ending
_READERS: dict[str, tuple[Callable[[Path, Path], Any], str]] = {  # by kind what checks a file, and its name in messages
    "timing": (timings.read, "timing record"),
    "recheck": (rechecks.read, "recheck"),
    "verdict": (verdicts.read, "verdict"),
}
_RECORD = re.compile(r"(?P<name>[^.].*?\.json)(?P<end>\.differs(?:-\d+)?)?")
_ARRAYS = re.compile(r"(?P<name>[^.].*?)\.npz(?P<end>\.differs(?:-\d+)?)?")
_CHOICE = re.compile(r"(?P<name>[^.].*?)(?:-seed\d+\.safetensors|\.json)(?P<end>\.differs(?:-\d+)?)?")


class Merged(NamedTuple):
    """What became of a file.

    Attributes:
        file: that was read, or left unread.
        kind: ``new``, it is stored now; ``equal``, it was there already; ``differs``, another finished outcome of the
            cell is there, and this one is kept beside it; ``unfinished``, it gives way to what is there; ``damaged``,
            torn, foreign, edited or moved; ``unreadable``, not to be read, or of a newer nfbench; ``no place``, what
            stands in its place cannot be read; ``left``, no outcome of anything.
        reason: why, in a clause; empty for most new and equal files.
        place: where its content is now; None where it was not taken.
    """

    file: Path
    kind: Kind
    reason: str = ""
    place: Path | None = None


class _Source(NamedTuple):
    """A file of a folder of results, or several that belong together.

    Attributes:
        files: the first of them is named.
        into: the root under which their content is to lie.
        kind: one of `_OUTCOMES`, or a clause that says why they are left.
    """

    files: list[Path]
    into: Path
    kind: str


def merge(folders: Sequence[Path], into: Path) -> list[Merged]:
    """Store the records, timings, rechecks, verdicts and choices of several folders in one.

    Args:
        folders: of results; what lies in their folder ``reference`` goes into that of `into`.
        into: folder of results, made where it is missing; what it holds already comes first.

    Returns:
        One entry for each file, in the order of folders and names; arrays and weights go with their record.

    Raises:
        InputError: a folder that is none, holds nothing or contains `into`, or `into` cannot be written.
    """
    listed = [source for folder in folders for source in _checked(folder, into)]
    check_writable(into)
    return [_merged(source) for source in listed]


def _checked(folder: Path, into: Path) -> list[_Source]:
    """What a folder holds, if it can be merged."""
    if not folder.is_dir():
        raise InputError(f"merge: no folder {str(folder)!r}; expected a folder of results")
    if into.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"merge: {str(into)!r} lies in {str(folder)!r}; expected a folder outside of what is merged")
    listed = [*_listed(folder, into), *_listed(folder / REFERENCE, into / REFERENCE)]
    if not any(source.kind in _OUTCOMES for source in listed):
        raise InputError(f"merge: nothing to merge in {str(folder)!r}; expected what 'nfbench run' or 'time' wrote")
    return listed


def _listed(root: Path, into: Path) -> Iterator[_Source]:
    for entry in entries(root):
        if not entry.is_dir():
            yield _Source([entry], into, "no record: it lies outside of the folder of an experiment")
        elif entry.name == PLANS:
            yield from (_Source([file], into, "a plan: what is to be run, not an outcome") for file in entries(entry))
        elif entry.name == CHOICES:
            yield from _choices(entry, into)
        elif entry.name in _BESIDE:
            kind, suffix = _BESIDE[entry.name]
            for file in entries(entry):
                is_one = not file.is_dir() and suffix in file.name and file.name[0] != "."
                yield _Source([file], into, kind if is_one else _reason(file))
        elif entry.name != REFERENCE:
            yield from _records(entry, into)


def _records(folder: Path, into: Path) -> Iterator[_Source]:
    """The files of an experiment's folder, or of timings; arrays go with their record."""
    files = entries(folder)
    names = {file.name for file in files}
    for file in files:
        arrays = _ARRAYS.fullmatch(file.name)
        if file.is_dir():
            yield _Source([file], into, "a folder of a run at work: checkpoints or leases")
        elif _RECORD.fullmatch(file.name):
            yield _Source([file], into, "timing" if folder.name == TIMING else "record")
        elif arrays is None:
            yield _Source([file], into, _reason(file))
        elif f"{arrays['name']}.json{arrays['end'] or ''}" not in names:
            yield _Source([file], into, "arrays without a record")


def _choices(folder: Path, into: Path) -> Iterator[_Source]:
    """The outcomes of ``nfbench choose``, each with the weights of its fits."""
    together: dict[tuple[str, str], list[Path]] = {}
    for file in entries(folder):
        match = _CHOICE.fullmatch(file.name)
        if match is None or file.is_dir():
            yield _Source([file], into, _reason(file))
        else:
            together.setdefault((match["name"], match["end"] or ""), []).append(file)
    for (name, end), files in together.items():
        outcome = folder / f"{name}.json{end}"
        others = [file for file in files if file != outcome]
        if len(others) == len(files):
            yield from (_Source([file], into, "weights without the outcome that they belong to") for file in files)
        else:
            yield _Source([outcome, *others], into, "choice")


def _reason(file: Path) -> str:
    if ".damaged" in file.name:
        return "set aside as damaged"
    return "a file in the hands of a run" if file.name.startswith(".") else "no record"


def _merged(source: _Source) -> Merged:
    file = source.files[0]
    try:
        if source.kind == "record":
            return _with_record(file, source.into)
        if source.kind in _READERS:
            reader, kind = _READERS[source.kind]
            reader(file, place_of(file))
            together = read_together(source.files, kind)
        elif source.kind == "choice":
            together = read_together(source.files, "outcome of nfbench choose", as_json=True)
        else:
            return Merged(file, "left", source.kind)
    except InputError as error:
        return Merged(file, "unreadable" if isinstance(error, UnreadableError) else "damaged", str(error))
    return _with_together(file, together, source.into / file.parent.name)


def _with_record(file: Path, into: Path) -> Merged:
    """Publish a record with its arrays."""
    record = read(file, place_of(file))
    images = arrays_in(arrays_beside(file), record.arrays)
    place = path(into, record.cell.experiment, record.id)
    there, note = None, ""
    try:
        there = read(place)
    except AbsentError:
        pass
    except UnreadableError as error:
        return Merged(file, "no place", str(error))
    except InputError:
        note = _renamed(place)
    if there == record and record.digest and fits(arrays_beside(place), record):
        return Merged(file, "equal", place=place)
    if there is not None and record.status not in FINISHED:
        return _unfinished(file, record, there, place)
    published = publish(into, record, images)
    if published.other is not None:
        return Merged(file, "differs", f"kept as {published.other}", published.other)
    was_there = published.repeated or (there is not None and there.status in FINISHED)
    return Merged(file, "equal" if was_there else "new", note, place)


def _unfinished(file: Path, record: Record, there: Record, place: Path) -> Merged:
    """An outcome that failed or was interrupted, where there is one already: the first one stays."""
    if same_numbers(there, record):
        return Merged(file, "equal", place=place)
    return Merged(file, "unfinished", f"{record.status}; one that is {there.status} is there")


def _with_together(file: Path, together: Together, folder: Path) -> Merged:
    """Store a timing, a recheck, a verdict or a choice."""
    place = folder / place_of(file).name
    note = ""
    try:
        if folder.name == TIMING and place.exists() and make_room(place, timings.read) is None:
            note = _renamed(place)
        kept = keep_together(together, folder, DIFFERS)
    except UnreadableError as error:
        return Merged(file, "no place", str(error))
    if kept.end:
        place = place.with_name(f"{place.name}{kept.end}")
        return Merged(file, "differs", f"kept as {place}", place)
    return Merged(file, "new" if kept.is_new else "equal", note, place)


def _renamed(place: Path) -> str:
    return f"what stood in its place is damaged, and was renamed: {place.name}.damaged"
