"""What the arrays beside the records of models of data say: -ln p(x) against S, spreads over data points, pictures."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from nfbench.analysis.blocks import median_seeds
from nfbench.foundation.errors import InputError
from nfbench.records.store import arrays
from nfbench.specification.choices import REFERENCE

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_COLOURS = (1, 3)  # channels that a picture can have


class Curve(NamedTuple):
    """-ln p(x) by importance sampling against the number of draws S, mean over data points."""

    draws: np.ndarray  # (J,), ascending
    nll: np.ndarray  # (J,), nats
    se: np.ndarray  # (J,), of Monte Carlo
    points: int | None  # M, data points that it is a mean over


class Images(NamedTuple):
    """Pictures of one record, each `(number, H, W, C)` in bytes; empty where the record has none."""

    samples: np.ndarray
    originals: np.ndarray
    reconstructions: np.ndarray


@dataclass(frozen=True, eq=False)
class Kept:
    """What one record keeps of single data points; None where it does not, or where that cannot be read."""

    curve: Curve | None = None
    khat: np.ndarray | None = None  # (M,)
    gap: np.ndarray | None = None  # (N,), F - nll in nats
    images: Images | None = None

    def __bool__(self) -> bool:
        return any(part is not None for part in vars(self).values())


def kept(root: Path, block: pd.DataFrame) -> dict[str, Kept]:
    """By the id of its record what each done cell keeps; pictures only of the seeds that `median_seeds` chooses.

    Arrays that are damaged are left out, which a warning tells.
    """
    shown = set(median_seeds(block)["id"])
    done = block[block["status"] == "done"]
    found = {row["id"]: _read(root, row, _parts(pictures=row["id"] in shown)) for _, row in done.iterrows()}
    return {identity: one for identity, one in found.items() if one}


def curves(rows: pd.DataFrame, kept: Mapping[str, Kept]) -> dict[str, list[Curve]]:
    """By posterior, in the experiment's order, the curve of every seed that has one."""
    return {posterior: [one.curve for one in cells if one.curve] for posterior, cells in _grouped(rows, kept)}


def mean_curve(curves: Iterable[Curve]) -> pd.DataFrame:
    """The mean over seeds at every S that all of them have: columns draws and nll."""
    parts = [pd.Series(curve.nll, index=curve.draws, dtype=float) for curve in curves]
    joined = pd.concat(parts, axis=1, join="inner").sort_index()
    return pd.DataFrame({"draws": joined.index, "nll": joined.mean(axis=1).to_numpy()})


def spreads(rows: pd.DataFrame, kept: Mapping[str, Kept], name: str) -> dict[str, np.ndarray]:
    """By posterior the `QUANTILES` of `khat` or `gap` over data points and seeds, where there are any.

    An infinite value counts as larger than all others; what is not a number is no value.
    """
    found = {}
    for posterior, cells in _grouped(rows, kept):
        parts = [getattr(one, name) for one in cells if getattr(one, name) is not None]
        values = np.concatenate(parts) if parts else np.zeros(0)
        values = values[~np.isnan(values)]
        if len(values):
            found[posterior] = np.quantile(values, QUANTILES, method="inverted_cdf")
    return found


def _grouped(rows: pd.DataFrame, kept: Mapping[str, Kept]) -> list[tuple[str, list[Kept]]]:
    ordered = rows.sort_values(["order", "seed"]).groupby("posterior", sort=False)["id"]
    return [(str(name), [kept[identity] for identity in ids if identity in kept]) for name, ids in ordered]


Parts = dict[str, Callable[[dict[str, np.ndarray]], Any]]


def _parts(*, pictures: bool) -> Parts:
    return {"curve": _curve, "khat": _khat, "gap": _gap} | ({"images": _images} if pictures else {})


def _read(root: Path, row: pd.Series, parts: Parts) -> Kept:
    base = root / REFERENCE if row["source"] == REFERENCE else root
    found = {}
    try:
        stored = arrays(base, row["experiment"], row["id"])
    except InputError as error:
        warnings.warn(f"{error}; what record {row['id']} keeps of data points is left out", stacklevel=2)
        return Kept()
    for name, part in parts.items():
        try:
            found[name] = part(stored)
        except (KeyError, TypeError, ValueError) as error:
            warnings.warn(f"{error.args[0]}; the {name} of record {row['id']} is left out", stacklevel=2)
    return Kept(**found)


def _curve(stored: dict[str, np.ndarray]) -> Curve | None:
    if "curve_nll" not in stored:
        return None
    draws, nll, se = (_vector(stored, f"curve_{name}") for name in ("draws", "nll", "nll_se"))
    if not len(draws) == len(nll) == len(se) or not (np.diff(draws) > 0).all() or not (draws >= 1).all():
        raise ValueError(f"a curve needs ascending S, a value and an error of each, got S = {draws.tolist()}")
    if not np.isfinite(nll).all():
        raise ValueError("curve_nll is not finite")
    return Curve(draws, nll, se, len(stored["example_khat"]) if "example_khat" in stored else None)


def _khat(stored: dict[str, np.ndarray]) -> np.ndarray | None:
    return _vector(stored, "example_khat") if "example_khat" in stored else None


def _gap(stored: dict[str, np.ndarray]) -> np.ndarray | None:
    if "example_free_energy" not in stored or "example_nll" not in stored:
        return None
    bound, nll = _vector(stored, "example_free_energy"), _vector(stored, "example_nll")
    if len(bound) != len(nll):
        raise ValueError(f"example_free_energy has {len(bound)} points, example_nll {len(nll)}")
    gap: np.ndarray = bound - nll
    return gap


def _vector(stored: dict[str, np.ndarray], name: str) -> np.ndarray:
    if name not in stored:
        raise KeyError(f"no {name}")
    values = stored[name]
    if values.ndim != 1 or values.dtype.kind not in "fiu" or not len(values):
        raise ValueError(f"{name} is to be a row of numbers, got {values.dtype} of shape {values.shape}")
    return values.astype(float)


def _images(stored: dict[str, np.ndarray]) -> Images | None:
    if "picture_shape" not in stored:
        return None
    shape = tuple(int(size) for size in _vector(stored, "picture_shape"))
    if len(shape) != 3 or shape[0] not in _COLOURS or min(shape) < 1:
        raise ValueError(f"picture_shape is to be (1 or 3, H, W), got {shape}")
    images = Images(*(_pictures(stored, name, shape) for name in Images._fields))
    if len(images.originals) != len(images.reconstructions):
        raise ValueError(f"{len(images.originals)} originals and {len(images.reconstructions)} reconstructions")
    return images


def _pictures(stored: dict[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
    flat = stored.get(name, np.zeros((0, int(np.prod(shape))), np.uint8))
    if flat.dtype != np.uint8 or flat.ndim != 2:
        raise ValueError(f"{name} are to be rows of bytes, got {flat.dtype} of shape {flat.shape}")
    return flat.reshape(-1, *shape).transpose(0, 2, 3, 1)
