"""Rechecks: what came out when the cell of a record was run again, stored beside the records.

Layout: ``<root>/rechecks/<id>.recheck``, JSON with a digest; a later recheck of the same record replaces it. It says
which numbers it is of, so that it says nothing of a record that another one has replaced since.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from nfbench.foundation.errors import InputError
from nfbench.foundation.files import entries
from nfbench.records.cells import Metric, Status
from nfbench.records.outcomes import Outcome
from nfbench.records.proof import each_readable, parse, store_sealed
from nfbench.records.results import SOURCES, StoredResults
from nfbench.specification.choices import RECHECKS
from nfbench.specification.config import Stored

SUFFIX = ".recheck"
Verdict = Literal["equal", "within error", "differs"]
HOLDS: tuple[Verdict, ...] = ("equal", "within error")


class Recheck(Stored):
    """What came out when the cell of a record was run again."""

    later = ("digest",)
    schema_version: Literal[1] = 1
    id: str  # of the cell
    numbers: str  # sha256 of the record's status, metrics and curves
    verdict: Verdict
    detail: str  # by how much they differ
    status: Status  # of the new run
    metrics: dict[str, Metric] = Field(default_factory=dict)  # of the new run
    finished: str  # UTC, ISO 8601
    provenance: dict[str, Any]  # of the new run
    digest: str | None = None  # sha256 of everything else


def write(root: Path, recheck: Recheck) -> Path:
    """Store a recheck.

    Args:
        root: folder of the records.
        recheck: the outcome.

    Returns:
        Its file.

    Raises:
        InputError: the folder cannot be written.
    """
    file = root / RECHECKS / f"{recheck.id}{SUFFIX}"
    store_sealed(file, recheck)
    return file


def read(file: Path, place: Path | None = None) -> Recheck:
    """Read and validate one recheck.

    Args:
        file: ``<root>/rechecks/<id>.recheck``.
        place: where it belongs, while it has another name; None: where it is.

    Returns:
        The recheck.

    Raises:
        InputError: not to be read, of a newer schema, torn, edited or renamed; the message names the file.
    """
    recheck = parse(file, Recheck, "recheck")
    if recheck.id != (place or file).stem:
        raise InputError(f"{file} is not the recheck that its name says: it is of {recheck.id}")
    return recheck


def rechecks(root: Path) -> dict[str, Recheck]:
    """All readable rechecks under a root; the rest is named in a warning.

    Args:
        root: folder of the records.

    Returns:
        By id of the cell.

    Raises:
        InputError: their folder cannot be read.
    """
    files = (file for file in entries(root / RECHECKS) if file.suffix == SUFFIX and file.name[0] != ".")
    return {recheck.id: recheck for recheck in each_readable(files, read)}


def verdicts(results: StoredResults) -> dict[tuple[str, str], Verdict]:
    """What rechecks say of records as they are now.

    Args:
        results: the records, and the rechecks beside them.

    Returns:
        By source and id; a recheck of numbers that the record has no longer says nothing.
    """
    found: dict[tuple[str, str], Verdict] = {}
    for source in SOURCES:
        for id, recheck in rechecks(results.folder(source)).items():
            record = results.records.get((source, id))
            if record is not None and Outcome.of(record).numbers == recheck.numbers:
                found[source, id] = recheck.verdict
    return found
