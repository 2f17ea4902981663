"""The schema of a record: the stored outcome of one cell."""

from typing import Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from nfbench.specification.config import Cell, Strict

FINISHED = ("done", "diverged")  # outcomes that a second run would only repeat
Status = Literal["done", "diverged", "failed", "interrupted"]


class Metric(Strict):
    """A value in nats (unless its name says otherwise) with its Monte-Carlo standard error."""

    value: float
    se: float | None = None


class Facts(Strict):
    """What the registries said when the cell ran; a stored result outlives the code that made it."""

    family: str  # canonical spec without K
    label: str
    cite: str
    year: int | None
    K: int
    target_label: str
    target_cite: str
    dim: int | None  # None where the model could not be built
    log_z: float | None  # of the target, where it is exact
    num_params: int | None  # learned numbers of the posterior (free source) or of its head and flow (amortized)
    order: tuple[int, int]  # of target and posterior in the experiment


class Record(Strict):
    """The stored outcome of one cell."""

    schema_version: Literal[1] = 1
    id: str
    cell: Cell
    facts: Facts
    status: Status
    message: str | None = None  # why a cell is not done
    traceback: str | None = None  # of the error that made it fail, for whoever wrote the code that raised it
    metrics: dict[str, Metric] = Field(default_factory=dict)
    curves: dict[str, list[float | None]] = Field(default_factory=dict)  # equally long; "step" is the abscissa
    seconds: float  # of the whole cell; seeds trained together share it equally
    finished: str  # UTC, ISO 8601
    provenance: dict[str, Any]

    @model_serializer(mode="wrap")
    def _drop_unset_fields(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out a traceback that is None: a record without one is written as it was before there were such."""
        return {key: value for key, value in dump(self).items() if key != "traceback" or value is not None}

    @model_validator(mode="after")
    def _curves_can_be_drawn(self) -> Self:
        lengths = {name: len(curve) for name, curve in self.curves.items()}
        if lengths and ("step" not in lengths or len(set(lengths.values())) > 1):
            raise ValueError(f"curves need a 'step' and one length, got lengths {lengths}")
        return self
