"""Configuration: what a cell is made of, and how an experiment is written down."""

import hashlib
import json
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from nfbench.specification.choices import Anneal, Dtype, Estimator, Head, Optimizer, Schedule, Stop

MOST_SEEDS = 100_000  # of one configuration in one run; more is a slip of the keyboard


class Strict(BaseModel):
    """A frozen pydantic model that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Stored(Strict):
    """A model that is stored or hashed, and gets new fields all the same.

    Attributes:
        later: names of fields that came after others were stored. One that has its default is not written: what does
            without it keeps its text and its hash.
    """

    later: ClassVar[tuple[str, ...]] = ()

    _unset: ClassVar[dict[str, Any]] = {}  # the defaults of these fields

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls._unset = {name: cls.model_fields[name].default for name in cls.later}

    @model_serializer(mode="wrap")
    def _drop_unset_later_fields(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        dumped: dict[str, Any] = dump(self)
        for name, default in self._unset.items():
            if getattr(self, name) == default:
                dumped.pop(name, None)
        return dumped


class Training(Stored):
    """One standardized training: minimise the annealed free energy (paper, eq. 20)."""

    later = ("together", "validate_bound", "stop", "estimator", "weighted_draws", "anneal", "head")
    optimizer: Optimizer = "adam"
    learning_rate: float = Field(gt=0, allow_inf_nan=False)
    momentum: float = Field(default=0.9, ge=0, lt=1)  # RMSprop's momentum; Adam's beta_1
    schedule: Schedule = "constant"
    updates: int = Field(ge=1)
    draws: int = Field(default=1, ge=1)  # S, Monte-Carlo draws for each data point and update
    batch: int = Field(default=100, ge=1)  # B, data points in an update; targets without data ignore it
    anneal_start: float = Field(default=0.01, gt=0, le=1)
    anneal_updates: int = Field(ge=0)  # beta_t = min(1, anneal_start + t / anneal_updates); 0: no annealing
    dtype: Dtype = "float32"
    autocast: bool = False  # bfloat16 matrix products where the device has them
    together: int | None = Field(default=None, ge=1)  # seeds of one program: `block_of`; None in records from before it
    validate_bound: bool = False  # F of training, validation and test data along the way, and the best model kept
    stop: Stop = "budget"  # after `updates`, or once there is evidence of convergence, and `updates` is the most

    estimator: Estimator = "reparameterised"  # of the gradient
    weighted_draws: int | None = Field(default=None, ge=2)  # K of the importance-weighted bound; None: all draws
    anneal: Anneal = "joint"  # beta_t is on ln p(x, z), or on ln q - ln p(z), which needs a target with data
    head: Head = "scaled"  # numbers of maps from features over sqrt(F K), or over 1, or the same for all data points

    @model_validator(mode="after")
    def _weighted_draws_divide_the_draws(self) -> Self:
        weighted = self.estimator == "importance-weighted"
        if self.weighted_draws is not None and not weighted:
            raise ValueError(f"weighted_draws={self.weighted_draws} needs estimator=importance-weighted")
        if weighted and self.draws % (self.weighted_draws or self.draws):
            raise ValueError(f"weighted_draws={self.weighted_draws} does not divide draws={self.draws}")
        if weighted and self.stop == "evidence":
            raise ValueError(
                "stop=evidence needs another estimator: importance-weighted minimises another bound than F"
            )
        return self

    @model_validator(mode="after")
    def _evidence_needs_a_constant_rate(self) -> Self:
        if self.stop == "evidence" and self.schedule != "constant":
            raise ValueError(f"stop=evidence needs schedule=constant, got schedule={self.schedule}")
        return self

    @model_validator(mode="after")
    def _annealing_ends(self) -> Self:
        if self.anneal_updates * (1 - self.anneal_start) > self.updates:
            raise ValueError(
                f"anneal_updates={self.anneal_updates} would not let beta reach 1 within updates={self.updates}"
            )
        return self


class Evaluation(Stored):
    """One evaluation of bounds and likelihoods, the same for every family; counts of draws."""

    later = ("long_draws", "long_points", "diagnosis_draws", "reference_draws")
    draws: int = Field(default=100_000, ge=2)  # for F and the reverse KL; for a target with data: draws a data point
    forward_draws: int = Field(default=20_000, ge=2)  # exact samples of the target for the forward KL
    importance_draws: int = Field(default=200, ge=2)  # S of the importance-sampled -ln p(x)
    dtype: Dtype = "float64"
    grid: int = Field(default=80, ge=2)  # cells an axis of the stored density image over [-4, 4]^2
    long_draws: int | None = Field(default=None, ge=2)  # S of a second, longer importance-sampled -ln p(x)
    long_points: int | None = Field(default=None, ge=1)  # it is over so many test points, evenly spaced; None: all
    diagnosis_draws: int | None = Field(default=None, ge=100)  # S of k-hat, ESS and reweighted moments of a density
    reference_draws: int | None = Field(default=None, ge=100)  # the most draws of p that q is compared with; None: none


class Push(Strict):
    """An untrained flow: its parameters are drawn once, to show what its maps do (paper, Figure 1)."""

    scale: float = Field(default=1.0, gt=0, allow_inf_nan=False)  # standard deviation of every raw parameter


class Origin(Strict):
    """The configuration of an experiment's grid of which a cell is a variation, beside its own posterior."""

    target: str  # canonical spec
    recipe: str  # `Cell.recipe`


class Cell(Stored):
    """What one record is the outcome of."""

    later = ("sources", "library", "variation", "origin")
    experiment: str
    profile: str
    target: str  # canonical spec
    posterior: str  # canonical spec
    seed: int = Field(ge=0)
    training: Training | None = None
    push: Push | None = None
    evaluation: Evaluation
    data: str | None = None  # the data protocol with its sha256
    library: str | None = None  # that computes the posterior, with its version, such as zuko 1.6.0
    sources: dict[str, str] | None = None  # sha256 of the code of a posterior or target that is not nfbench's own
    variation: str | None = None  # of the experiment's; None for the grid as it is
    origin: Origin | None = None  # of a variation: what it differs from

    @property
    def name(self) -> str:
        """Posterior and variation, as messages and displays name them beside a target."""
        return self.posterior + (f" ({self.variation})" if self.variation else "")

    @property
    def id(self) -> str:
        """Hash of the configuration: the record's file name."""
        return digest(self.model_dump(mode="json"))

    @property
    def recipe(self) -> str:
        """Hash of what all cells of one comparable set share: all but target, posterior and seed."""
        return digest(
            self.model_dump(
                mode="json", exclude={"target", "posterior", "seed", "data", "sources", "library", "origin"}
            )
        )[:8]


class Group(Strict):
    """Cells that differ in their seed only: what trains together as one program.

    Attributes:
        cells: one for each seed.
        order: of the target and of the posterior in the experiment; tables and plots keep it.
    """

    cells: tuple[Cell, ...] = Field(min_length=1)
    order: tuple[int, int]

    @model_validator(mode="after")
    def _one_configuration(self) -> Self:
        if len({cell.model_copy(update={"seed": 0}).id for cell in self.cells}) > 1:
            raise ValueError("the cells of a group differ in more than their seed")
        if len(set(self.seeds)) < len(self.cells):
            raise ValueError(f"a seed stands twice in {self.seeds}")
        if not set(self.seeds) <= set(self.block):
            raise ValueError(f"seeds {self.seeds} do not lie in one block of {len(self.block)}")
        return self

    @property
    def target(self) -> str:
        """Canonical spec."""
        return self.cells[0].target

    @property
    def posterior(self) -> str:
        """Canonical spec."""
        return self.cells[0].posterior

    @property
    def seeds(self) -> tuple[int, ...]:
        """One for each cell, in order."""
        return tuple(cell.seed for cell in self.cells)

    @property
    def block(self) -> tuple[int, ...]:
        """The seeds that train as one program: a whole block, whichever of its cells are asked for.

        What is rounded depends on which numbers lie beside each other in memory. A cell's numbers are a function of its
        configuration because it always trains in the same company.
        """
        training = self.cells[0].training
        if training is None or training.together is None:
            return self.seeds
        return block_of(self.seeds[0], training.together)

    @property
    def key(self) -> str:
        """Hash of the whole block: it names checkpoint and lease, whichever of the block's cells are asked for."""
        return digest([self.cells[0].model_copy(update={"seed": seed}).id for seed in self.block])


def block_of(seed: int, together: int) -> tuple[int, ...]:
    """The seeds among which a seed trains.

    >>> block_of(7, together=5)
    (5, 6, 7, 8, 9)

    Args:
        seed: from 0.
        together: E, how many seeds train as one program.

    Returns:
        E consecutive seeds, the first a multiple of E.
    """
    first = seed // together * together
    return tuple(range(first, first + together))


def digest(data: Any) -> str:
    """The first 16 hexadecimal digits of the sha256 of JSON data, keys sorted.

    Args:
        data: what JSON can hold.

    Returns:
        16 characters.
    """
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]
