"""Publication of outcomes: of several processes that finish one cell, the first gives the record.

A record gets its name by a hard link, which fails where the name is taken: nothing that is finished is ever written
over. A second outcome of the same numbers is dropped, and told; one of other numbers is kept beside the first as
``<id>.json.differs``. An unfinished outcome (failed, interrupted) makes room for a later one: it is renamed to a hidden
``.aside`` file first, so that a finished record which somebody has put there at that moment is seen, and put back.
"""

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nfbench.foundation.errors import InputError
from nfbench.foundation.files import entries, flush_folder, hidden_beside, make_folder
from nfbench.foundation.first import part_of, second_names, take_name
from nfbench.records.cells import FINISHED, Record
from nfbench.records.proof import make_room, set_aside_damaged
from nfbench.records.store import DIFFERS, arrays_beside, arrays_in, fits, packed, path, read, text_of, with_proof

_ASIDE = re.compile(r"\.(?P<name>[0-9a-f]{16}\.(?:json|npz))\.[\w-]{1,32}\.\d+\.[0-9a-f]{8}\.aside")
_ATTEMPTS = 20  # at a place that others change at the same time
_OF_THE_RUN = {"seconds", "training_seconds", "finished", "provenance", "traceback", "digest"}  # runs differ here


class Published(NamedTuple):
    """What a publication came to.

    Attributes:
        record: that has the cell's place now.
        repeated: whether the cell was finished already, by somebody else.
        other: where an outcome of other numbers was kept; None where the numbers are the same.
    """

    record: Record
    repeated: bool = False
    other: Path | None = None


def publish(root: Path, record: Record, images: Mapping[str, np.ndarray] | None = None) -> Published:
    """Store the outcome of a cell, unless a finished one is there.

    Args:
        root: folder of the records.
        record: the outcome.
        images: arrays to store beside it, by name.

    Returns:
        The record that has the cell's place now, and whether it is another's.

    Raises:
        InputError: the folder cannot be written, or a file that cannot be read or is newer has the record's place.
    """
    record = with_proof(record, images)
    file = path(root, record.cell.experiment, record.id)
    try:
        make_folder(file.parent)
        with contextlib.ExitStack() as stack:
            place = _Place(file, record, stack.enter_context(part_of(file, text_of(record))))
            stack.callback(place.drop_asides)
            if images:
                place.arrays_part = stack.enter_context(part_of(place.arrays, packed(images)))
            return place.publish()
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"cannot write {file}: {getattr(error, 'strerror', None) or error}") from None


def recover(folder: Path) -> list[Path]:
    """Put finished records back that a process had in its hand when it was killed, and remove what else it left aside.

    Args:
        folder: of an experiment's records; it need not exist.

    Returns:
        The files that were aside.

    Raises:
        InputError: the folder cannot be read.
    """
    asides = aside_files(folder)
    for aside in sorted(asides, key=lambda aside: ".npz." in aside.name):  # arrays are judged by their record
        match = _ASIDE.fullmatch(aside.name)
        file = folder / (match["name"] if match else "")
        with contextlib.suppress(OSError):
            if file.suffix == ".json":
                _put_back(aside, file)
            else:
                _repair(file.with_suffix(".json"), [aside])
            aside.unlink(missing_ok=True)
    return asides


def aside_files(folder: Path) -> list[Path]:
    """What processes that were killed, or are at work, have aside in a folder.

    Args:
        folder: of an experiment's records; it need not exist.

    Returns:
        Hidden files, sorted.

    Raises:
        InputError: the folder cannot be read.
    """
    return [entry for entry in entries(folder) if _ASIDE.fullmatch(entry.name)]


def same_numbers(one: Record, another: Record) -> bool:
    """Whether two records of a cell say the same but for when, where and in what time they were made.

    Args:
        one: a record.
        another: a record.

    Returns:
        True where all else is equal bit by bit, the digests of the arrays included.
    """
    return one.model_dump_json(exclude=_OF_THE_RUN) == another.model_dump_json(exclude=_OF_THE_RUN)


@dataclass
class _Place:
    """The place of a cell's record, which others may change at any moment.

    Attributes:
        file: of the record.
        record: that is to have this place.
        part: its text, in a hidden file.
        arrays_part: its arrays, in a hidden file.
        asides: hidden files of what was taken away.
    """

    file: Path
    record: Record
    part: Path
    arrays_part: Path | None = None
    asides: list[Path] = field(default_factory=list)

    @property
    def arrays(self) -> Path:
        return self.file.with_suffix(".npz")

    def publish(self) -> Published:
        for _ in range(_ATTEMPTS):
            there = self._there()
            if there is not None and there.status in FINISHED:
                return self._second(there)
            self._place_arrays()
            if there is not None and not self._take_unfinished():
                continue
            if take_name(self.part, self.file):
                flush_folder(self.file.parent)
                self._settle()
                return Published(self.record)
        raise InputError(f"cannot write {self.file}: others change it all the time; expected one user of this folder")

    def drop_asides(self) -> None:
        for aside in self.asides:
            aside.unlink(missing_ok=True)

    def _there(self) -> Record | None:
        """The record that stands there; a damaged one is renamed, and one beside which its arrays are damaged too.

        Its arrays are not beside it for a moment while several publish: they are in a hidden file of whoever published
        it, or of whoever put other arrays in their place, until these have put them back. Meanwhile the record itself
        may make room for another, so both are looked at again.
        """
        for _ in range(_ATTEMPTS):
            there = make_room(self.file, read)
            if there is None or not self._might_be_damaged(there) or fits(self.arrays, there):
                return there
            hidden = f".{self.arrays.name}."
            _repair(self.file, [entry for entry in entries(self.file.parent) if entry.name.startswith(hidden)])
        set_aside_damaged(self.file)
        return None

    def _might_be_damaged(self, there: Record) -> bool:
        """Whether the arrays of the record that stands there decide what becomes of this one."""
        both = there.status in FINISHED and self.record.status in FINISHED
        return both and bool(there.arrays) and not same_numbers(there, self.record)

    def _second(self, there: Record) -> Published:
        if self.record.status not in FINISHED:
            self._settle()  # it was finished after the first look, and its arrays may be among the asides
            return Published(there)
        if self._is_same(there):
            repaired = self._settle()
            return Published(there, repeated=not repaired)
        self._settle()
        other = _keep_beside(self.file, self.record, self.part)
        if self.arrays_part is not None:
            take_name(self.arrays_part, arrays_beside(other))
        return Published(there, repeated=True, other=other)

    def _is_same(self, there: Record) -> bool:
        """Whether the record that stands there says the same; one of before there were digests gets them first."""
        if there.arrays is None:
            try:
                there = with_proof(there, arrays_in(self.arrays))
            except InputError:  # its arrays are damaged, which it cannot know
                return False
        return same_numbers(there, self.record)

    def _take_unfinished(self) -> bool:
        """Take what stands there away; False where it was finished meanwhile, and was put back."""
        aside = hidden_beside(self.file, ".aside")
        try:
            self.file.rename(aside)
        except FileNotFoundError:
            return True
        self.asides.append(aside)
        return not _put_back(aside, self.file)

    def _place_arrays(self) -> None:
        """Put the arrays where they belong, and what lies there and is of no finished record aside."""
        for _ in range(_ATTEMPTS):
            if self.arrays_part is not None and take_name(self.arrays_part, self.arrays):
                return
            if self.arrays_part is not None and fits(self.arrays, self.record):
                return
            aside = hidden_beside(self.arrays, ".aside")
            try:
                self.arrays.rename(aside)
                self.asides.append(aside)
            except FileNotFoundError:
                if self.arrays_part is None:
                    return

    def _settle(self) -> bool:
        """Have the arrays beside the record that stands there be its own; whether they were not."""
        own = [self.arrays_part] if self.arrays_part is not None else []
        return _repair(self.file, [*own, *self.asides])


def _put_back(aside: Path, file: Path) -> bool:
    """Put a record that was taken away back if it is finished, or beside one that has its name now; whether it is."""
    try:
        record = read(aside, file)
    except InputError:
        return False
    if record.status not in FINISHED:
        return False
    if not take_name(aside, file) and not _is_stored_as(file, file, record):
        _keep_beside(file, record, aside)
    return True


def _keep_beside(file: Path, record: Record, part: Path) -> Path:
    """Give an outcome a second name beside the record that has the first, unless an earlier call has; the name."""
    taken = {entry.name for entry in entries(file.parent)}
    for other in second_names(file, DIFFERS, len(taken)):
        if _is_stored_as(other, file, record) if other.name in taken else take_name(part, other):
            return other
    raise InputError(f"cannot keep a second outcome beside {file}")


def _is_stored_as(name: Path, file: Path, record: Record) -> bool:
    """Whether what has a name says the same as a record whose place is a file."""
    try:
        return same_numbers(read(name, file), record)
    except InputError:
        return False


def _repair(file: Path, candidates: list[Path]) -> bool:
    """Put arrays beside a finished record whose own are missing or another's, if they are among the candidates."""
    try:
        record = read(file)
    except InputError:
        return False
    arrays = file.with_suffix(".npz")
    if record.status not in FINISHED or not record.arrays or fits(arrays, record):
        return False
    for candidate in candidates:
        if fits(candidate, record):
            copy = hidden_beside(arrays, ".aside")
            if not take_name(candidate, copy):  # whoever had it in hand has removed it since
                continue
            copy.replace(arrays)
            copy.unlink(missing_ok=True)  # it stays where the place has the same file already
            flush_folder(arrays.parent)
            return True
    return False
