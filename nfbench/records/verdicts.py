"""Records of verdicts: what ``nfbench verify`` found of a family of the registry, and what that family cannot do.

Layout: ``<root>/verdicts/<id>.verdict``, JSON with a digest, beside the records of experiments.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from nfbench.foundation.errors import InputError
from nfbench.foundation.files import entries
from nfbench.records.proof import each_readable, make_room, parse, store_sealed
from nfbench.specification.choices import VERDICTS, Dtype, Kind, Status
from nfbench.specification.config import Stored, Strict, digest
from nfbench.specification.spec import parse as parse_spec

SUFFIX = ".verdict"
WRONG = 1e-3  # nats by which ln q may be off: the last digit of tables
Ability = Literal["density", "context", "one_dimension", "seeds_together"]


class Examined(Strict):
    """What was verified, and how."""

    posterior: str  # canonical spec, K included where the family has one
    library: str | None = None  # name and version of what computes it, where that is not nfbench
    dims: tuple[int, ...]  # each D at which it was checked
    strict: bool = False  # whether the searches were the long ones
    dtype: Dtype = "float32"  # of trainings, compared with float64
    device: str = "cpu"


class Checked(Stored):
    """What one check found."""

    later = ("size",)
    check: str  # its name
    status: Status
    detail: str  # a failure in numbers, why the check does not apply or is not decided, or what is reported
    size: float | None = None  # of a failure in nats, the largest at the start and at parameters like trained ones


class StoredVerdict(Stored):
    """The stored outcome of the battery on one family."""

    later = ("digest",)
    schema_version: Literal[1] = 1
    id: str
    examined: Examined
    label: str  # of the family, with the version of its library
    kind: Kind  # its group in tables
    order: int  # of the family among those of the command
    checks: list[Checked] = Field(min_length=1)  # in the order of the battery
    lacking: dict[Ability, str]  # what it cannot do -> how that was seen
    seconds: float = Field(ge=0, allow_inf_nan=False)  # of all checks
    finished: str  # UTC, ISO 8601
    provenance: dict[str, Any]
    digest: str | None = None  # sha256 of everything else

    def with_status(self, status: str) -> list[str]:
        """The names of the checks that ended in a way.

        Args:
            status: such as ``fail``.

        Returns:
            In the order of the battery.
        """
        return [checked.check for checked in self.checks if checked.status == status]

    @property
    def refuted(self) -> bool:
        """Whether ln q is not the density of the draws, so that F is no bound and cannot be ranked.

        Either ln|det| is off by more than 0.001 nats, the last digit of tables, at the start or at parameters like
        trained ones; or two points have one image, and E_q[p/q] is not 1. That alone can come of a hole in the image,
        which leaves F a bound, and two points that a search has found need not be ones that draws meet.
        """
        failed = {checked.check: checked.size or 0.0 for checked in self.checks if checked.status == "fail"}
        return failed.get("ln|det|", 0.0) > WRONG or {"injective", "E_q[p/q] = 1"} <= set(failed)


def maps_of(posterior: str, label: str) -> tuple[str, ...]:
    """What posteriors have in common of which one verdict holds: the same maps, of any number but none.

    >>> maps_of("pyro:sylvester,K=4,source=pyro 1.9.2", "Sylvester, pyro 1.9.2 (source pyro 1.9.2)")
    ('pyro:sylvester', 'Sylvester, pyro 1.9.2')

    Args:
        posterior: a spec; with ``source=`` where records of several versions stand beside each other.
        label: of the family, with the version of its library.

    Returns:
        The spec without K and version and the label, or the spec alone where there is no map.
    """
    spec = parse_spec(posterior)
    options = dict(spec.options)
    if options.get("K") == "0":
        return (posterior,)
    return str(spec.without("K").without("source")), label.removesuffix(f" (source {options.get('source')})")


def identity(examined: Examined) -> str:
    """The name of a verdict's file: a later verdict on the same thing replaces it.

    Args:
        examined: what was verified, and how.

    Returns:
        A hash of it.
    """
    return digest({"examined": examined.model_dump(mode="json")})


def write(root: Path, verdict: StoredVerdict) -> Path:
    """Store a verdict by an atomic rename.

    Args:
        root: folder of the records.
        verdict: the outcome.

    Returns:
        The file.

    Raises:
        InputError: the folder cannot be written, or a file that cannot be read or is newer has its place.
    """
    file = root / VERDICTS / f"{verdict.id}{SUFFIX}"
    make_room(file, read)
    store_sealed(file, verdict)
    return file


def read(file: Path, place: Path | None = None) -> StoredVerdict:
    """Read and validate one verdict.

    Args:
        file: ``<root>/verdicts/<id>.verdict``.
        place: where it belongs, while it has another name; None: where it is.

    Returns:
        The verdict, whose id is the hash of what was verified.

    Raises:
        UnreadableError: not there, not to be read, or of a newer schema; the message names the file.
        InputError: torn, foreign, edited or renamed; the message names the file.
    """
    verdict = parse(file, StoredVerdict, "verdict")
    expected = identity(verdict.examined)
    if not verdict.id == (place or file).stem == expected:
        raise InputError(f"{file} is not the verdict that its name says: what it is about hashes to {expected}")
    return verdict


def verdicts(root: Path) -> Iterator[StoredVerdict]:
    """All readable verdicts under a root; the rest is named in a warning.

    Args:
        root: folder of the records.

    Returns:
        Each verdict, in the order of ids.

    Raises:
        InputError: their folder cannot be read.
    """
    files = (file for file in entries(root / VERDICTS) if file.suffix == SUFFIX and file.name[0] != ".")
    return each_readable(files, read)


def newest(stored: Iterable[StoredVerdict]) -> dict[tuple[str, str | None], StoredVerdict]:
    """One verdict a family: the one that looked longest, and of these the last one.

    Args:
        stored: verdicts, several of a family among them.

    Returns:
        Canonical spec and library with its version -> the verdict: nfbench's own families, then each
        library's, in the order of the command.
    """
    found: dict[tuple[str, str | None], StoredVerdict] = {}
    for verdict in sorted(stored, key=lambda each: (each.examined.strict, len(each.examined.dims), each.finished)):
        found[verdict.examined.posterior, verdict.examined.library] = verdict
    return dict(sorted(found.items(), key=lambda item: (item[0][1] or "", item[1].order, item[0][0])))
