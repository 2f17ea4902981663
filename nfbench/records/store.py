"""Records: the stored outcome of one cell, one JSON file each, and the table that they make together.

Layout: ``<root>/<experiment>/<id>.json``, with arrays (density images, per-example values) in ``<id>.npz`` beside it.
"""

import contextlib
import io
import math
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from pydantic import Field, ValidationError, model_validator

from nfbench.foundation.errors import InputError
from nfbench.records.training_words import words
from nfbench.specification.config import Cell, Strict

REFERENCE = "reference"  # the folder under a results root that holds the committed records
TIMING = "timing"  # the folder under a results root whose records are of another kind: see `timings`
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
    metrics: dict[str, Metric] = Field(default_factory=dict)
    curves: dict[str, list[float | None]] = Field(default_factory=dict)  # equally long; "step" is the abscissa
    seconds: float  # of the whole cell; seeds trained together share it equally
    finished: str  # UTC, ISO 8601
    provenance: dict[str, Any]

    @model_validator(mode="after")
    def _curves_can_be_drawn(self) -> Self:
        lengths = {name: len(curve) for name, curve in self.curves.items()}
        if lengths and ("step" not in lengths or len(set(lengths.values())) > 1):
            raise ValueError(f"curves need a 'step' and one length, got lengths {lengths}")
        return self


def path(root: Path, experiment: str, identity: str) -> Path:
    """Where a cell's record lies."""
    return root / experiment / f"{identity}.json"


def arrays(root: Path, experiment: str, identity: str) -> dict[str, np.ndarray]:
    """The arrays stored beside a record; empty where there are none.

    Raises:
        InputError: torn or foreign; the message names the file.
    """
    file = path(root, experiment, identity).with_suffix(".npz")
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as stored:
            return {key: stored[key] for key in stored.files}
    except FileNotFoundError:
        return {}
    except Exception as error:  # a damaged archive can raise almost anything
        raise InputError(f"cannot read arrays {file}: {type(error).__name__}: {error}") from None


def write(root: Path, record: Record, images: Mapping[str, np.ndarray] | None = None) -> Path:
    """Store a record, and its arrays before it, each by an atomic rename.

    Raises:
        InputError: the folder cannot be written.
    """
    file = path(root, record.cell.experiment, record.id)
    if images:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **dict(images))
        replace(file.with_suffix(".npz"), buffer.getvalue())
    replace(file, (record.model_dump_json(indent=1) + "\n").encode())
    return file


def replace(file: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        InputError: the folder cannot be written.
    """
    partial = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(file)
    except OSError as error:
        raise InputError(f"cannot write {file}: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def read(file: Path) -> Record:
    """Read and validate one record.

    Raises:
        InputError: torn, foreign, of another schema, renamed or moved; the message names the file.
    """
    try:
        record = Record.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read record {file}: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "content"
        got = f", got {first['input']!r}" if isinstance(first["input"], int | float) else ""
        raise InputError(f"{file} is not a record of schema 1: {where}: {first['msg']}{got}") from None
    if record.id != file.stem or record.id != record.cell.id:
        raise InputError(f"{file} is not the record that its name says: its configuration hashes to {record.cell.id}")
    if record.cell.experiment != file.parent.name:
        raise InputError(f"{file} does not lie where it belongs: it is a record of {record.cell.experiment!r}")
    return record


def finished(root: Path, cell: Cell) -> bool:
    """Whether a cell has an outcome that a second run would only repeat."""
    file = path(root, cell.experiment, cell.id)
    if not os.path.exists(file):  # noqa: PTH110  Path.exists raises in a folder that cannot be read
        return False
    try:
        return read(file).status in FINISHED
    except InputError as error:
        warnings.warn(f"{error}; it will be run again", stacklevel=2)
        return False


def records(root: Path) -> Iterator[Record]:
    """All readable records directly under a root (not its reference folder); the rest is named in a warning.

    Raises:
        InputError: the root cannot be read.
    """
    for file in _files(root):
        try:
            yield read(file)
        except InputError as error:
            warnings.warn(f"{error}; skipped", stacklevel=2)


def _files(root: Path) -> Iterator[Path]:
    for folder in (folder for folder in entries(root) if folder.name != TIMING):
        try:
            yield from (file for file in entries(folder) if file.suffix == ".json")
        except InputError as error:
            warnings.warn(f"{error}; skipped", stacklevel=2)


def entries(folder: Path) -> list[Path]:
    """What a folder holds, sorted; nothing where there is no folder (`Path.glob` is silent where it may not look)."""
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise InputError(f"cannot read folder {str(folder)!r}: {error.strerror}; expected a readable folder") from None


def results(root: str | Path = "results") -> pd.DataFrame:
    """One row a cell: configuration, facts, status and every metric with its standard error (``_se``), in nats.

    The column `source` tells a user's ``own`` records under `root` from the ``reference`` ones under `root`/reference.

    Raises:
        InputError: `root` is not a folder.
    """
    root = Path(root)
    if not os.path.isdir(root):  # noqa: PTH112  as above
        raise InputError(f"no results folder {str(root)!r}; expected what 'nfbench run' wrote")
    rows = [row(record, "own") for record in records(root)]
    rows += [row(record, REFERENCE) for record in records(root / REFERENCE)]
    frame = pd.DataFrame(rows, columns=None if rows else list(_COLUMNS))
    if rows:
        rest = [name for name in frame.columns if name not in _COLUMNS]
        frame = frame[[*_COLUMNS, *rest]].sort_values(["source", "experiment", "profile", "order", "seed"])
    return frame.reset_index(drop=True)


_COLUMNS = (
    *("experiment", "profile", "target", "family", "label", "K", "seed", "status"),
    *("free_energy", "kl", "forward_kl", "nll", "seconds"),
    *("free_energy_se", "kl_se", "forward_kl_se", "nll_se"),
    *("source", "recipe", "posterior", "target_label", "cite", "num_params", "log_z", "order", "message", "id"),
    *("training", "updates", "importance_draws", "long_draws", "long_points"),
)


def row(record: Record, source: str) -> dict[str, Any]:
    """One record as a row of the table."""
    cell, facts = record.cell, record.facts
    values: dict[str, Any] = dict.fromkeys(_COLUMNS)
    values |= {name: math.nan for name in _COLUMNS[8:17]}
    values |= {"experiment": cell.experiment, "profile": cell.profile, "target": cell.target, "seed": cell.seed}
    values |= {"posterior": cell.posterior, "recipe": cell.recipe, "data": cell.data}
    values |= {name: getattr(cell.evaluation, name) for name in ("importance_draws", "long_draws", "long_points")}
    if cell.training:
        told = words(cell.training, data=cell.data is not None)
        values |= {"training": told, "updates": cell.training.updates}
    values |= facts.model_dump(exclude={"dim", "year", "target_cite"})
    values |= {"status": record.status, "message": record.message, "seconds": record.seconds}
    values |= {"source": source, "id": record.id, "finished": record.finished}
    for name, metric in record.metrics.items():
        values[name] = metric.value
        values[f"{name}_se"] = math.nan if metric.se is None else metric.se
    return values
