"""Timing records: what one contender took on one case, measured beside others in turn.

Layout: ``<root>/timing/<id>.json``, beside the records of experiments and under the same rules.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from nfbench.foundation.errors import InputError
from nfbench.foundation.files import entries
from nfbench.records.proof import each_readable, make_room, parse, store_sealed
from nfbench.specification.choices import TIMING, Dtype, Mode
from nfbench.specification.config import Stored, Strict, digest


class Case(Strict):
    """The work that is timed: the same for every contender.

    Attributes:
        mode: ``sample``, draws and ln q without gradient; ``forward``, the same with the graph that a gradient needs;
            ``backward``, forward and the gradient of all learned numbers; ``inverse``, ln q at given points;
            ``step``, a whole training update on a target.
        amortized: every data point has numbers of its own; else one set serves all draws and points.
        target: of a step; None for the other modes.
        seeds: E models in one step.
    """

    profile: str
    posterior: str  # canonical spec, K included where the family has one
    mode: Mode
    dim: int = Field(ge=1)
    draws: int = Field(ge=0)  # S
    batch: int = Field(default=1, ge=1)  # B
    amortized: bool = False
    dtype: Dtype = "float32"
    device: str = "cpu"
    threads: int = Field(ge=1)
    target: str | None = None
    seeds: int = Field(default=1, ge=1)


class Spread(Strict):
    """Median and quartiles of repetitions."""

    model_config = ConfigDict(allow_inf_nan=False)

    median: float
    low: float  # first quartile
    high: float  # third quartile

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.low <= self.median <= self.high:
            raise ValueError(f"a median of {self.median} does not lie between its quartiles {self.low} and {self.high}")
        return self


class Facts(Strict):
    """What the registries said when the case was timed."""

    family: str  # canonical spec without K
    label: str
    cite: str
    K: int
    order: tuple[int, int]  # of the case and of the contender in the run


class Floor(Strict):
    """What the mathematics of a case needs at least, and what this machine can do at best."""

    model_config = ConfigDict(allow_inf_nan=False)

    bytes: float = Field(ge=0)  # moved between memory and the processor
    flops: float = Field(ge=0)
    bandwidth: float = Field(ge=1)  # bytes a second, measured copy
    rate: float = Field(ge=1)  # flops a second, measured matrix product

    @property
    def seconds(self) -> float:
        """The time below which this machine cannot be: the larger of the two."""
        return max(self.bytes / self.bandwidth, self.flops / self.rate)


class Agreement(Strict):
    """How far a contender's results lie from the float64 reference, and how far they may.

    Both are relative: the largest deviation of any output over that output's largest value.
    """

    model_config = ConfigDict(ser_json_inf_nan="strings")  # a contender may give NaN, which JSON does not have

    error: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether a speed-up may be reported at all (False for NaN)."""
        return self.error <= self.tolerance


class Timing(Stored):
    """The stored outcome of one contender on one case."""

    later = ("digest",)
    model_config = ConfigDict(ser_json_inf_nan="strings")

    schema_version: Literal[1] = 1
    id: str
    case: Case
    contender: str  # nfbench, reference, textbook, compile, or a peer library
    facts: Facts
    status: Literal["done", "lacking", "failed"]  # lacking: the contender has no such map or mode
    message: str | None = None  # why it is not done
    run: str  # contenders of one run were timed in turn, round by round
    seconds: list[float] = Field(default_factory=list)  # of each round
    spread: Spread | None = None
    ratio: Spread | None = None  # this contender's time over nfbench's in the same round
    compile_seconds: float | None = None  # of the first calls, beyond what a later one takes
    peak_bytes: int | None = None  # memory beyond what was there before
    agreement: Agreement | None = None
    floor: Floor | None = None
    models: int = 1  # how many of the case's E models this contender trains in the timed step
    versions: dict[str, str] = Field(default_factory=dict)  # of the contender's libraries
    finished: str  # UTC, ISO 8601
    provenance: dict[str, Any]
    digest: str | None = None  # sha256 of everything else; None: of before there were digests


def identity(case: Case, contender: str) -> str:
    """The name of a record's file: a later measurement of the same thing replaces it.

    Args:
        case: the work.
        contender: who does it.

    Returns:
        The id: a hash of case and contender.
    """
    return digest({"case": case.model_dump(mode="json"), "contender": contender})


def write(root: Path, timing: Timing) -> Path:
    """Store a record by an atomic rename.

    Args:
        root: folder of the records.
        timing: the outcome.

    Returns:
        The file of the record.

    Raises:
        InputError: the folder cannot be written, or a file that cannot be read or is newer has the record's place.
    """
    file = root / TIMING / f"{timing.id}.json"
    make_room(file, read)
    store_sealed(file, timing)
    return file


def read(file: Path, place: Path | None = None) -> Timing:
    """Read and validate one record.

    Args:
        file: ``<root>/timing/<id>.json``.
        place: where it belongs, while it has another name; None: where it is.

    Returns:
        The record, whose id is the hash of its case and contender.

    Raises:
        UnreadableError: not there, not to be read, or of a newer schema; the message names the file.
        InputError: torn, foreign, edited or renamed; the message names the file.
    """
    timing = parse(file, Timing, "timing record")
    expected = identity(timing.case, timing.contender)
    if not timing.id == (place or file).stem == expected:
        raise InputError(f"{file} is not the timing that its name says: its configuration hashes to {expected}")
    return timing


def timings(root: Path) -> Iterator[Timing]:
    """All readable timing records under a root; the rest is named in a warning.

    Args:
        root: folder of the records.

    Returns:
        Each record, in the order of ids.

    Raises:
        InputError: their folder cannot be read.
    """
    return each_readable((file for file in entries(root / TIMING) if file.suffix == ".json"), read)
