"""Files of records read and tabled: many of them by several processes side by side.

A record takes a third of a millisecond, nearly all of it in Python. The other processes are plain ones that run this
file, so that a script that is not made for `multiprocessing` can list results too; where they cannot be started, or
end without an answer, this process reads their share as well.
"""

import contextlib
import itertools
import os
import pickle
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nfbench.foundation.errors import InputError
from nfbench.foundation.garbage import uncollected
from nfbench.foundation.settings import environment
from nfbench.records.cells import Record
from nfbench.records.frame import Rows
from nfbench.records.store import read

FEWEST = 4000  # records that are worth a process, which takes half a second to start

File = tuple[str, Path]  # the source that its record is tabled with, and where it lies
Columns = Mapping[str, list[Any]]


def tabled(files: Sequence[File], keep: int) -> tuple[Rows, list[bool], dict[tuple[str, str], Record]]:
    """Read files of records, in as many processes as there are cores where that is worth it.

    What is no record is named in a warning.

    Args:
        files: which to read.
        keep: most records that are returned themselves.

    Returns:
        What is tabled of those that are records, in the order of the files; for each file whether it is one; and the
        first records by source and id.
    """
    number = max(1, min(os.cpu_count() or 1, len(files) // FEWEST))
    ends = [round(len(files) * part / number) for part in range(number + 1)]
    first, *others = [files[begin:end] for begin, end in itertools.pairwise(ends)]
    with contextlib.ExitStack() as helpers:
        started = [(share, helpers.enter_context(_helper(share))) for share in others]
        with uncollected():
            rows, faults, records = _read(first, keep)
        found = [(len(first), faults)]
        for share, answer in started:
            columns, faults = answer() or _columns_and_faults(share)
            rows = rows.mixed_with(columns, range(len(rows), len(rows) + len(columns["id"])))
            found.append((len(share), faults))
    for fault in (fault for _, faults in found for fault in faults.values()):
        warnings.warn(f"{fault}; skipped", stacklevel=2)
    return rows, [place not in faults for size, faults in found for place in range(size)], records


def _read(files: Sequence[File], keep: int) -> tuple[Rows, dict[int, str], dict[tuple[str, str], Record]]:
    """What is tabled of the records, why a file is none by its place among the files, and the first records."""
    rows, faults = Rows(), dict[int, str]()
    records: dict[tuple[str, str], Record] = {}
    for place, (source, file) in enumerate(files):
        try:
            record = read(file)
        except InputError as error:
            faults[place] = str(error)
            continue
        rows.add(record, source)
        if len(records) < keep:
            records[source, record.id] = record
    return rows, faults, records


def _columns_and_faults(files: Sequence[File]) -> tuple[Columns, dict[int, str]]:
    with uncollected():
        rows, faults, _ = _read(files, keep=0)
    return rows.columns, faults


@contextlib.contextmanager
def _helper(files: Sequence[File]) -> Iterator[Any]:
    """A process that reads files; what it yields waits for the answer, None where there is none."""
    path = [str(Path(__file__).parents[2]), *filter(None, [environment().get("PYTHONPATH")])]
    variables = environment() | {"PYTHONPATH": os.pathsep.join(path)}  # the nfbench that runs here, not another one
    with tempfile.TemporaryFile() as question, tempfile.TemporaryFile() as answer:
        pickle.dump(files, question)
        question.seek(0)
        try:
            command = (sys.executable, "-m", "nfbench.records.tabling")
            process = subprocess.Popen(command, stdin=question, stdout=answer, stderr=subprocess.DEVNULL, env=variables)
        except OSError:
            yield lambda: None
            return

        def wait() -> tuple[Columns, dict[int, str]] | None:
            process.wait()
            answer.seek(0)
            with uncollected(), contextlib.suppress(EOFError, pickle.UnpicklingError):
                said: tuple[Columns, dict[int, str]] = pickle.load(answer)
                return said
            return None

        try:
            yield wait
        finally:
            process.kill()
            process.wait()


if __name__ == "__main__":
    pickle.dump(_columns_and_faults(pickle.load(sys.stdin.buffer)), sys.stdout.buffer)
