"""Configuration: what a cell is made of, how an experiment is written down, and errors that name the line."""

import difflib
import hashlib
import json
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from nfbench.errors import InputError

M = TypeVar("M", bound=BaseModel)

MOST_SEEDS = 100_000  # of one configuration in one run; more is a slip of the keyboard


class Strict(BaseModel):
    """A frozen pydantic model that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Training(Strict):
    """One standardized training: minimise the annealed free energy (paper, eq. 20)."""

    optimizer: Literal["adam", "rmsprop"] = "adam"
    learning_rate: float = Field(gt=0, allow_inf_nan=False)
    momentum: float = Field(default=0.9, ge=0, lt=1)  # RMSprop's momentum; Adam's beta_1
    schedule: Literal["constant", "one-cycle"] = "constant"
    updates: int = Field(ge=1)
    draws: int = Field(default=1, ge=1)  # S, Monte-Carlo draws for each data point and update
    batch: int = Field(default=100, ge=1)  # B, data points in an update; targets without data ignore it
    anneal_start: float = Field(default=0.01, gt=0, le=1)
    anneal_updates: int = Field(ge=0)  # beta_t = min(1, anneal_start + t / anneal_updates); 0: no annealing
    dtype: Literal["float32", "float64"] = "float32"
    autocast: bool = False  # bfloat16 matrix products where the device has them

    @model_validator(mode="after")
    def _annealing_ends(self) -> Self:
        if self.anneal_updates * (1 - self.anneal_start) > self.updates:
            raise ValueError(
                f"anneal_updates={self.anneal_updates} would not let beta reach 1 within updates={self.updates}"
            )
        return self

    def beta(self, step: int) -> float:
        """The annealing factor of update `step` (from 0), on the whole log p(x, z) (paper, eq. 20).

        >>> paper = Training(learning_rate=1e-5, updates=500_000, anneal_updates=10_000)
        >>> paper.beta(0), paper.beta(9_900)
        (0.01, 1.0)
        """
        return min(1.0, self.anneal_start + step / self.anneal_updates) if self.anneal_updates else 1.0


class Evaluation(Strict):
    """One evaluation of bounds and likelihoods, the same for every family; counts of draws."""

    draws: int = Field(default=100_000, ge=2)  # for F and the reverse KL; for a target with data: draws a data point
    forward_draws: int = Field(default=20_000, ge=2)  # exact samples of the target for the forward KL
    importance_draws: int = Field(default=200, ge=2)  # S of the importance-sampled -ln p(x)
    dtype: Literal["float32", "float64"] = "float64"
    grid: int = Field(default=80, ge=2)  # cells an axis of the stored density image over [-4, 4]^2


class Push(Strict):
    """An untrained flow: its parameters are drawn once, to show what its maps do (paper, Figure 1)."""

    scale: float = Field(default=1.0, gt=0, allow_inf_nan=False)  # standard deviation of every raw parameter


class Cell(Strict):
    """What one record is the outcome of."""

    experiment: str
    profile: str
    target: str  # canonical spec
    posterior: str  # canonical spec
    seed: int = Field(ge=0)
    training: Training | None = None
    push: Push | None = None
    evaluation: Evaluation
    data: str | None = None  # the data protocol with its sha256

    @property
    def id(self) -> str:
        """Hash of the configuration: the record's file name."""
        return digest(self.model_dump(mode="json"))

    @property
    def recipe(self) -> str:
        """Hash of what all cells of one comparable set share: all but target, posterior and seed."""
        return digest(self.model_dump(mode="json", exclude={"target", "posterior", "seed", "data"}))[:8]


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


class Profile(Strict):
    """An experiment's budget; `targets` and `posteriors` narrow the grid where the budget asks for it."""

    seeds: int = Field(ge=1, le=MOST_SEEDS)
    training: Training | None = None
    push: Push | None = None
    evaluation: Evaluation = Evaluation()
    targets: list[str] | None = Field(default=None, min_length=1)
    posteriors: list[str] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.training is None) == (self.push is None):
            raise ValueError("a profile has either 'training' or 'push'")
        return self


class Experiment(Strict):
    """A grid of cells with a name: every target with every posterior and seed."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=100)  # it names a folder
    title: str
    summary: str
    targets: list[str] = Field(min_length=1)
    posteriors: list[str] = Field(min_length=1)
    profiles: dict[str, Profile] = Field(min_length=1)


def read_yaml(path: Path, model: type[M], overrides: Mapping[str, Any] | None = None) -> M:
    """Read a YAML file as `model`; `overrides` maps dotted keys to values that replace the file's.

    Raises:
        InputError: ``file:line: key: reason`` for the first thing that is wrong.
    """
    node, data = _parsed(path)
    if not isinstance(data, dict):
        raise InputError(f"{path}:1: expected keys and values, got {type(data).__name__}")
    for key, value in (overrides or {}).items():
        _put(data, key, value)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        # A misspelt key also misses the right one; the misspelling is what helps.
        first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        where = ".".join(str(part) for part in first["loc"])
        place = "--set" if _set_there(where, overrides or ()) else f"{path}:{_line(node, first['loc'])}"
        raise InputError(f"{place}: {where}: {_reason(model, first)}") from None


def _parsed(path: Path) -> tuple[yaml.Node | None, Any]:
    """A YAML file as nodes, which know their lines, and as data."""
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        _refuse_repeated_keys(path, node)
        return node, yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise InputError(f"{path}{line}: not YAML: {getattr(error, 'problem', None) or error}") from None
    except RecursionError:
        raise InputError(f"{path}: nested without end; expected keys, lists and values of a few levels") from None
    except InputError:
        raise
    except ValueError as error:  # a scalar of YAML's own types that Python refuses, such as month 13
        raise InputError(f"{path}: not YAML: {error}") from None


def _set_there(where: str, overrides: Iterable[str]) -> bool:
    """Whether an override changed the place `where`, or something below or around it."""
    return any(f"{key}.".startswith(f"{where}.") or f"{where}.".startswith(f"{key}.") for key in overrides)


def _reason(model: type[BaseModel], error: ErrorDetails) -> str:
    """Pydantic's reason, with the value, or with the keys that are known where one is not."""
    if error["type"] == "extra_forbidden":
        key, known = str(error["loc"][-1]), _keys(model, error["loc"][:-1])
        close = difflib.get_close_matches(key, known)
        hint = f" did you mean {' or '.join(close)}?" if close else ""
        return f"unknown key;{hint} known: {', '.join(known)}"
    text = error["msg"].removeprefix("Value error, ")
    return text if isinstance(error["input"], dict) else f"{text}, got {error['input']!r}"


def _keys(model: Any, location: tuple[int | str, ...]) -> list[str]:
    """The keys that the model at `location` below `model` has."""
    for part in location:
        kind = model.model_fields[part].annotation if hasattr(model, "model_fields") else typing.get_args(model)[-1]
        arms = typing.get_args(kind)
        model = next(arm for arm in arms if arm is not type(None)) if type(None) in arms else kind
    return list(model.model_fields)


def _refuse_repeated_keys(path: Path, node: yaml.Node | None) -> None:
    """YAML keeps the last of two equal keys without a word."""
    if isinstance(node, yaml.SequenceNode):
        for child in node.value:
            _refuse_repeated_keys(path, child)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, child in node.value:
            if str(key.value) in seen:
                raise InputError(f"{path}:{key.start_mark.line + 1}: key {key.value!r} stands twice")
            seen.add(str(key.value))
            _refuse_repeated_keys(path, child)


def _put(data: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    for part in path:
        child = data.get(part)
        if child is None:
            child = data[part] = {}
        if not isinstance(child, dict):
            raise InputError(f"--set {key}: {part!r} has no keys below it")
        data = child
    data[last] = value


def _line(node: yaml.Node | None, location: tuple[int | str, ...]) -> int:
    """The line (from 1) of the deepest part of `location` that the file has."""
    line = 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line


def digest(data: Any) -> str:
    """The first 16 hexadecimal digits of the sha256 of JSON data, keys sorted."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]
