"""Published numbers as data: what a paper printed, how it was read, and what a comparison with it may conclude."""

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from nfbench.config import Strict
from nfbench.document import read_yaml
from nfbench.spec import parse

_FOLDER = Path(__file__).parent / "published"


class Point(Strict):
    """One configuration of the published experiment."""

    posterior: str  # spec without K; the options that it names must agree, others are free
    K: int = Field(ge=0)

    def describes(self, family: str, depth: int) -> bool:
        """Whether a record's `family` (canonical spec without K) and `depth` are this configuration."""
        wanted, given = parse(self.posterior), parse(family)
        return depth == self.K and wanted.name == given.name and set(wanted.options) <= set(given.options)


class Row(Point):
    """One published value."""

    target: str  # a target's name without options
    value: float
    bar: float = Field(ge=0)  # half the height of the error bar: a standard error over repetitions
    hidden: bool = False  # in the source's file, not on its page


@dataclass(frozen=True)
class Difference:
    """A published value less its baseline's, with a standard error."""

    value: float
    se: float
    hidden: bool
    is_baseline: bool


class Published(Strict):
    """A table or figure of a paper, comparable by differences to a baseline of the same target.

    Attributes:
        mark: how the values were obtained: Q read in the text, D digitised from a vector figure.
        digitisation: error of a digitised value; it enters each value's standard error whole.
        margin: two results are equivalent where they differ by less, in the unit of `metric`.
        not_comparable: targets whose published problem is another one, each with the reason.
    """

    name: str  # of its file
    experiment: str
    metric: str
    source: str
    citation: str
    mark: Literal["Q", "D"]
    digitisation: float = Field(ge=0)
    baseline: Point
    note: str
    margin: float = Field(gt=0)
    margin_reason: str
    not_comparable: dict[str, str] = Field(default_factory=dict)
    hidden_note: str = ""
    rows: list[Row] = Field(min_length=1)

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        keys = [(row.target, row.posterior, row.K) for row in self.rows]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise ValueError(f"rows that stand twice: {twice}")
        targets = {row.target for row in self.rows}
        based = {row.target for row in self.rows if self.baseline.describes(row.posterior, row.K)}
        if targets - based:
            raise ValueError(f"targets without the baseline's row: {sorted(targets - based)}")
        return self

    def difference(self, target: str, family: str, depth: int) -> Difference | None:
        """The published difference to the baseline; None where the source has no such row.

        Args:
            target: spec of a record's target; its options are ignored.
            family: canonical spec without K.
            depth: K.
        """
        rows = [row for row in self.rows if row.target == parse(target).name]
        row = next((row for row in rows if row.describes(family, depth)), None)
        if row is None:
            return None
        base = next(row for row in rows if self.baseline.describes(row.posterior, row.K))
        if row is base:
            return Difference(0.0, 0.0, row.hidden, is_baseline=True)
        se = math.sqrt(row.bar**2 + base.bar**2 + 2 * self.digitisation**2)
        return Difference(row.value - base.value, se, row.hidden, is_baseline=False)

    def objection(self, target: str) -> str | None:
        """Why results on `target` (a spec) are not comparable with the published ones; None where they are."""
        return self.not_comparable.get(parse(target).name)


def published(name: str) -> Published | None:
    """The published table or figure of that name; None where there is none.

    >>> published("figure3").difference("u1", "planar", 8).value.__round__(3)
    0.047
    """
    return _all().get(name)


def sources(experiment: str) -> list[Published]:
    """Every published table and figure that is compared with the records of `experiment`, its namesake first.

    >>> [source.name for source in sources("figure3")]
    ['figure3']
    """
    found = [source for source in _all().values() if source.experiment == experiment]
    return sorted(found, key=lambda source: (source.name != experiment, source.name))


def experiment_of(name: str) -> str:
    """The experiment whose records the table or figure `name` shows: any other name is an experiment's own.

    >>> experiment_of("figure3"), experiment_of("digits")
    ('figure3', 'digits')
    """
    source = published(name)
    return source.experiment if source else name


@cache
def _all() -> dict[str, Published]:
    files = sorted(_FOLDER.glob("*.yaml"))
    return {file.stem: read_yaml(file, Published, {"name": file.stem}) for file in files}
