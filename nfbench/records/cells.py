"""The schema of a record: the stored outcome of one cell."""

import math
import re
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from nfbench.specification.config import Cell, Stored, Strict
from nfbench.specification.spec import parse

FINISHED = ("done", "diverged")  # outcomes that a second run would only repeat
Status = Literal["done", "diverged", "failed", "interrupted"]

# Names that a metric cannot have: columns of the tables that records make, and the ends of those made from metrics.
RESERVED = frozenset(
    [
        *("experiment", "profile", "target", "family", "label", "K", "seed", "status", "seconds", "source", "recipe"),
        *("posterior", "target_label", "cite", "num_params", "log_z", "order", "message", "id", "training", "updates"),
        *("importance_draws", "long_draws", "long_points", "data", "finished", "sources", "metric", "auxiliary"),
        "has_density",
        *("seeds", "done", "diverged", "failed", "interrupted", "training_seconds"),
    ]
)
_METRIC = re.compile(r"[A-Za-z]\w*(?<!_se)(?<!_n)(?<!_sd)(?<!_low)(?<!_high)(?<!_least)(?<!_largest)", re.ASCII)
_LARGEST = 2**63  # tables keep whole numbers in 64 bits


class Metric(Strict):
    """A value in nats (unless its name says otherwise) with its Monte-Carlo standard error."""

    value: float
    se: float | None = None


class Facts(Stored):
    """What the registries said when the cell ran; a stored result outlives the code that made it."""

    later = ("auxiliary", "has_density", "target_gradients")
    family: str  # canonical spec without K
    label: str
    cite: str
    year: int | None
    K: int = Field(ge=0)
    target_label: str
    target_cite: str
    dim: int | None = Field(ge=1)  # None where the model could not be built
    log_z: float | None = Field(allow_inf_nan=False)  # of the target, where it is exact
    # Learned numbers of the posterior (free source) or of its head and flow (amortized).
    num_params: int | None = Field(ge=0)
    order: tuple[int, int]  # of target and posterior in the experiment
    auxiliary: bool = False  # ln q is that of auxiliary variables too (of old records: it has no density at points)
    has_density: bool = True  # at points that were not drawn; a flow without an inverse has none
    target_gradients: int | None = None  # of ln p(x, z) that a draw takes in training; None in records from before it


class Record(Stored):
    """The stored outcome of one cell."""

    later = ("traceback", "arrays", "digest", "stopped", "training_seconds")
    schema_version: Literal[1] = 1
    id: str
    cell: Cell
    facts: Facts
    status: Status
    message: str | None = None  # why a cell is not done
    traceback: str | None = None  # of the error that made it fail, for whoever wrote the code that raised it
    stopped: str | None = None  # why the training ended, where evidence may end it
    metrics: dict[str, Metric] = Field(default_factory=dict)
    curves: dict[str, list[float | None]] = Field(default_factory=dict)  # equally long; "step" is the abscissa
    seconds: float = Field(allow_inf_nan=False)  # of the whole cell without compiling kernels; seeds share it equally
    training_seconds: float | None = None  # of the training alone, shared likewise; None: of before it was kept
    finished: str  # UTC, ISO 8601
    provenance: dict[str, Any]
    arrays: dict[str, str] | None = None  # sha256 of each array beside it, by name; None: of before there were digests
    digest: str | None = None  # sha256 of everything else; None: of before there were digests

    @model_validator(mode="after")
    def _curves_can_be_drawn(self) -> Self:
        lengths = {name: len(curve) for name, curve in self.curves.items()}
        if lengths and ("step" not in lengths or len(set(lengths.values())) > 1):
            raise ValueError(f"curves need a 'step' and one length, got lengths {lengths}")
        for name, curve in self.curves.items():
            values: list[Any] = [value for value in curve if value is not None] if None in curve else curve
            if not all(map(math.isfinite, values)):
                raise ValueError(f"curve {name!r} has a value that is not finite; expected null in its place")
        if None in self.curves.get("step", []):
            raise ValueError("a step of the curves has no number")
        return self

    @model_validator(mode="after")
    def _metrics_can_be_tabled(self) -> Self:
        for name, metric in self.metrics.items():
            if name in RESERVED or not _METRIC.fullmatch(name):
                raise ValueError(f"metric {name!r}: expected a name that no other column of the results has")
            if not (math.isfinite(metric.value) and math.isfinite(metric.se or 0.0)):
                raise ValueError(f"metric {name!r} is not finite: {metric.value} with error {metric.se}")
            if metric.se is not None and metric.se < 0:
                raise ValueError(f"metric {name!r} has a negative error: {metric.se}")
        return self

    @model_validator(mode="after")
    def _facts_are_those_of_the_cell(self) -> Self:
        spec, _ = parse(self.cell.posterior), parse(self.cell.target)  # which must be specs
        if dict(spec.options).get("K", "0") != str(self.facts.K):
            raise ValueError(f"facts.K={self.facts.K} is not that of posterior {self.cell.posterior!r}")
        if self.facts.family != str(spec.without("K")):
            raise ValueError(f"facts.family={self.facts.family!r} is not that of posterior {self.cell.posterior!r}")
        if not (_fits(self.cell) and _fits(self.facts)):
            raise ValueError("a whole number that a table of 64 bits cannot hold")
        return self


def _fits(value: Any) -> bool:
    """Whether a table can hold every whole number in nested models, lists and dictionaries."""
    if isinstance(value, int):
        return abs(value) < _LARGEST
    if isinstance(value, BaseModel):
        return all(map(_fits, vars(value).values()))
    if isinstance(value, dict | list | tuple):
        return all(map(_fits, value.values() if isinstance(value, dict) else value))
    return True
