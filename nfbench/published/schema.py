"""What a published table or figure says: values, how they were read, and what a comparison may conclude."""

import math
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal, Self

from pydantic import Field, PositiveFloat, model_validator

from nfbench.specification.config import Strict, Training
from nfbench.specification.spec import parse


def agrees(published: str, stored: str) -> bool:
    """Whether a record's spec is a published one.

    Args:
        published: spec whose options must agree; others are free.
        stored: the record's canonical spec.

    Returns:
        True where the names are equal, and every option that the published spec names.

    >>> agrees("nice", "nice:mixing=permutation"), agrees("nice:mixing=orthogonal", "nice:mixing=permutation")
    (True, False)
    """
    theirs, ours = parse(published), parse(stored)
    return theirs.name == ours.name and set(theirs.options) <= set(ours.options)


class Point(Strict):
    """One configuration of the published experiment."""

    posterior: str  # spec without K; the options that it names must agree, others are free
    K: int = Field(ge=0)

    def describes(self, family: str, depth: int) -> bool:
        """Whether a record's configuration is this one.

        Args:
            family: canonical spec without K.
            depth: K.

        Returns:
            True where K and the posterior's name are equal, and every option that the published spec names.
        """
        return depth == self.K and agrees(self.posterior, family)


class Row(Point):
    """One published value."""

    target: str  # a target's name without options
    metric: str
    value: float
    bar: float | None = Field(default=None, ge=0)  # half the error bar's height: a standard error over repetitions
    hidden: bool = False  # in the source's file, not on its page


class Cited(Strict):
    """A row of the published table that stands for other people's work, which nothing here runs."""

    label: str
    value: float  # of the table's metric
    source: str


class Remeasured(Strict):
    """What other people got when they repeated the published experiment.

    Attributes:
        who: the authors, as a table names them.
        label: their posterior, and where their training differs.
        source: where the numbers stand.
        posterior: spec of their family without K, where it is one of the published ones but for its training.
        values: metric -> K -> value.
        bars: the same for error bars, where there are any.
    """

    who: str
    label: str
    source: str
    posterior: str | None = None
    values: dict[str, dict[int, float]] = Field(min_length=1)
    bars: dict[str, dict[int, float]] = Field(default_factory=dict)


class Protocol(Strict):
    """Which data protocols a reason is about: a pattern with ``*`` for a record's; no reason, no objection."""

    match: str
    objection: str | None = None


class Setup(Strict):
    """How the published numbers were made, as far as a run of ours may differ."""

    model: str  # spec of the target; the options that it names must agree, others are free
    training: Training
    seeds: int = Field(ge=1)
    importance_draws: int = Field(ge=1)  # S of -ln p(x)


class Contrast(Strict):
    """Differences to one family at equal K that the source's text is about."""

    posterior: str  # the family that is subtracted
    metrics: list[str] = Field(min_length=1)

    def is_base(self, family: str) -> bool:
        """Whether a record's family is the one that is subtracted.

        Args:
            family: canonical spec without K.

        Returns:
            True where the names are equal, and every option that the published spec names.
        """
        return agrees(self.posterior, family)


@dataclass(frozen=True)
class Difference:
    """A published value less that of its baseline.

    Attributes:
        value: the difference, in the unit of the source's metric.
        se: its standard error, from both error bars and the error of reading each.
        hidden: whether it is in the source's file but not on its page.
        is_baseline: whether this is the baseline itself, whose difference is 0.
    """

    value: float
    se: float
    hidden: bool
    is_baseline: bool


@dataclass(frozen=True)
class Value:
    """A published value with what is known of its error, in the unit of its metric.

    Attributes:
        value: what the source prints or draws.
        bar: half the height of its error bar, a standard error; None where the source has no error bars.
        se: its standard error, from the bar and the error of reading it.
        hidden: whether it is in the source's file but not on its page.
    """

    value: float
    bar: float | None
    se: float
    hidden: bool


class Published(Strict):
    """A table or figure of a paper.

    With a baseline its values are comparable only as differences to the baseline's of the same target; without one,
    as they are.

    Attributes:
        metric: of the rows that name none themselves.
        mark: how the values were obtained: Q read in the text, D digitised from a vector figure.
        reading: error of a digitised value, or of the last digit of a printed one; it enters each value's standard
            error whole.
        prefix: what the source prints before a value.
        decimals: of a value in a table.
        margin: for each metric: two results are equivalent where they differ by less, in its unit.
        not_comparable: targets whose published problem is another one, each with the reason.
        protocols: the first one that matches a record's data decides whether they are the published ones.
    """

    name: str  # of its file
    experiment: str
    metric: str
    source: str
    citation: str
    mark: Literal["Q", "D"]
    reading: float = Field(ge=0)
    prefix: str = ""
    decimals: int = Field(default=2, ge=0)
    baseline: Point | None = None
    note: str
    margin: dict[str, PositiveFloat]
    margin_reason: str
    setup: Setup | None = None
    not_comparable: dict[str, str] = Field(default_factory=dict)
    protocols: list[Protocol] = Field(default_factory=list)
    hidden_note: str = ""
    rows: list[Row] = Field(min_length=1)
    contrast: Contrast | None = None
    cited: list[Cited] = Field(default_factory=list)
    remeasured: list[Remeasured] = Field(default_factory=list)

    @model_validator(mode="before")
    @classmethod
    def _one_metric(cls, data: Any) -> Any:
        """A file of one metric need not repeat it: neither in its rows nor in its margin."""
        if not isinstance(data, dict) or not isinstance(data.get("rows"), list):
            return data
        rows = [{"metric": data.get("metric")} | row if isinstance(row, dict) else row for row in data["rows"]]
        margin = data.get("margin")
        return data | {"rows": rows, "margin": margin if isinstance(margin, dict) else {data.get("metric"): margin}}

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        keys = [(row.target, row.posterior, row.K, row.metric) for row in self.rows]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise ValueError(f"rows that stand twice: {twice}")
        if set(self.metrics) - set(self.margin):
            raise ValueError(f"metrics without a margin: {sorted(set(self.metrics) - set(self.margin))}")
        return self

    @model_validator(mode="after")
    def _has_its_baselines(self) -> Self:
        base = self.baseline
        if base is None:
            return self
        if self.metrics != [self.metric]:
            raise ValueError(f"a baseline needs rows of one metric, {self.metric!r}; got {self.metrics}")
        targets = {row.target for row in self.rows}
        based = {row.target for row in self.rows if base.describes(row.posterior, row.K)}
        if targets - based:
            raise ValueError(f"targets without the baseline's row: {sorted(targets - based)}")
        return self

    @property
    def metrics(self) -> list[str]:
        """Distinct metrics, in row order."""
        return list(dict.fromkeys(row.metric for row in self.rows))

    def difference(self, target: str, family: str, depth: int) -> Difference | None:
        """The published difference of a configuration to the baseline of the same target.

        Args:
            target: spec of a record's target.
            family: canonical spec without K.
            depth: K.

        Returns:
            The difference; None where the source has no such row, or no baseline.
        """
        row = self._row(target, family, depth, self.metric)
        if row is None or self.baseline is None:
            return None
        base = next(
            other
            for other in self.rows
            if other.target == row.target and self.baseline.describes(other.posterior, other.K)
        )
        if row is base:
            return Difference(0.0, 0.0, row.hidden, is_baseline=True)
        se = math.sqrt((row.bar or 0.0) ** 2 + (base.bar or 0.0) ** 2 + 2 * self.reading**2)
        return Difference(row.value - base.value, se, row.hidden, is_baseline=False)

    def value(self, target: str, family: str, depth: int, metric: str | None = None) -> Value | None:
        """The published value of a configuration.

        Args:
            target: spec of a record's target.
            family: canonical spec without K.
            depth: K.
            metric: its name; None for the source's own.

        Returns:
            The value; None where the source has no such row, or has a baseline, as then only differences are
            comparable.
        """
        row = self._row(target, family, depth, metric or self.metric)
        if row is None or self.baseline is not None:
            return None
        return Value(row.value, row.bar, math.hypot(row.bar or 0.0, self.reading), row.hidden)

    def _row(self, target: str, family: str, depth: int, metric: str) -> Row | None:
        rows = [row for row in self.rows if row.metric == metric and row.target == parse(target).name]
        return next((row for row in rows if row.describes(family, depth)), None)

    def objection(self, target: str, data: str | None = None) -> str | None:
        """Why results are not comparable with the published ones.

        Args:
            target: spec of a record's target.
            data: the protocol of its data; None for a target without data.

        Returns:
            A sentence; None where they are comparable.
        """
        if reason := self.not_comparable.get(parse(target).name):
            return reason
        if self.setup and not agrees(self.setup.model, target):
            options = ", ".join(f"{key}={value}" for key, value in parse(self.setup.model).options)
            return f"The published model has {options}."
        return next((rule.objection for rule in self.protocols if fnmatchcase(data or "", rule.match)), None)
