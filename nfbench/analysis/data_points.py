"""The arrays beside the records of models of data: -ln p(x) against S, values of single data points, pictures."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from nfbench.analysis.blocks import median_seeds
from nfbench.foundation.errors import InputError
from nfbench.records.results import StoredResults

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_CHANNELS = (1, 3)  # grey, or red, green and blue
_MOST_PIXELS = 10_000  # on a side of a picture


class Curve(NamedTuple):
    """-ln p(x) by importance sampling against the number of draws S, mean over data points.

    Attributes:
        draws: (J,), values of S, ascending.
        nll: (J,), -ln p(x) with so many draws, in nats.
        se: (J,), Monte-Carlo standard error of `nll`, in nats.
        points: B, data points that each value is a mean over; None where it is not stored.
    """

    draws: np.ndarray
    nll: np.ndarray
    se: np.ndarray
    points: int | None


class Images(NamedTuple):
    """Pictures of one record, each array (number, H, W, C) in bytes; number is 0 where the record has none.

    Attributes:
        samples: means of p(x|z) for draws z of the prior.
        originals: data points that are shown.
        reconstructions: of each original the mean of p(x|z) for a draw z of q(z|x).
    """

    samples: np.ndarray
    originals: np.ndarray
    reconstructions: np.ndarray


@dataclass(frozen=True, eq=False)
class DataPoints:
    """What one record stores of single data points; None where it stores none, or where that cannot be read.

    Attributes:
        curve: -ln p(x) against the number of draws S.
        khat: (B,), Pareto shape of each point's importance weights.
        gap: (B,), free energy less -ln p(x) of each point, in nats; B need not be that of `khat`.
        images: samples of the model, test data and their reconstructions.
    """

    curve: Curve | None = None
    khat: np.ndarray | None = None
    gap: np.ndarray | None = None
    images: Images | None = None

    def __bool__(self) -> bool:
        return any(part is not None for part in vars(self).values())


def read_data_points(results: StoredResults, rows: pd.DataFrame) -> dict[str, DataPoints]:
    """Map the id of each done cell to its per-data-point arrays; pictures only of the seeds of `median_seeds`.

    Args:
        results: where the arrays lie.
        rows: of the results' frame.

    Returns:
        Only records that store something. What is damaged is left out, which a warning tells.
    """
    with_pictures = set(median_seeds(rows)["id"])
    done = rows[rows["status"] == "done"]
    by_record = {row["id"]: _read(results, row, pictures=row["id"] in with_pictures) for _, row in done.iterrows()}
    return {identity: points for identity, points in by_record.items() if points}


def curves(rows: pd.DataFrame, data_points: Mapping[str, DataPoints]) -> dict[str, list[Curve]]:
    """Map each posterior, in the experiment's order, to the curves of the seeds that have one.

    Args:
        rows: of a table of records.
        data_points: by record id.

    Returns:
        A list a posterior, empty where no seed has a curve.
    """
    return {name: [seed.curve for seed in seeds if seed.curve] for name, seeds in _by_posterior(rows, data_points)}


def mean_curve(curves: Iterable[Curve]) -> pd.DataFrame:
    """The mean over seeds at every S that all of them have.

    Args:
        curves: of each seed.

    Returns:
        Columns `draws` (S, ascending) and `nll` (nats).
    """
    columns = [pd.Series(curve.nll, index=curve.draws, dtype=float) for curve in curves]
    shared = pd.concat(columns, axis=1, join="inner").sort_index()
    return pd.DataFrame({"draws": shared.index, "nll": shared.mean(axis=1).to_numpy()})


def spreads(rows: pd.DataFrame, data_points: Mapping[str, DataPoints], name: str) -> dict[str, np.ndarray]:
    """Map each posterior to the `QUANTILES` of a quantity over data points and seeds, where there are any.

    Args:
        rows: of a table of records.
        data_points: by record id.
        name: of the quantity, ``khat`` or ``gap``.

    Returns:
        An array (5,) a posterior. An infinite value counts as larger than all others, NaN as no value.
    """
    quantiles = {}
    for posterior, seeds in _by_posterior(rows, data_points):
        parts = [values for seed in seeds if (values := getattr(seed, name)) is not None]
        values = np.concatenate(parts) if parts else np.zeros(0)
        values = values[~np.isnan(values)]
        if len(values):
            quantiles[posterior] = np.quantile(values, QUANTILES, method="inverted_cdf")
    return quantiles


def _by_posterior(rows: pd.DataFrame, data_points: Mapping[str, DataPoints]) -> list[tuple[str, list[DataPoints]]]:
    """Each posterior in the experiment's order, with the data points of its seeds."""
    ids_of = rows.sort_values(["order", "seed"]).groupby("posterior", sort=False)["id"]
    return [(str(name), [data_points[identity] for identity in ids if identity in data_points]) for name, ids in ids_of]


def _read(results: StoredResults, row: pd.Series, *, pictures: bool) -> DataPoints:
    """The data points of one record; each part that is damaged is named in a warning and left out."""
    try:
        arrays = results.arrays(row)
    except InputError as error:
        warnings.warn(f"{error}; what record {row['id']} keeps of data points is left out", stacklevel=2)
        return DataPoints()
    readers: dict[str, Callable[[dict[str, np.ndarray]], Any]] = {"curve": _curve, "khat": _khat, "gap": _gap}
    parts = {}
    for name, reader in (readers | ({"images": _images} if pictures else {})).items():
        try:
            parts[name] = reader(arrays)
        except (KeyError, TypeError, ValueError) as error:
            warnings.warn(f"{error.args[0]}; the {name} of record {row['id']} is left out", stacklevel=2)
    return DataPoints(**parts)


def _curve(arrays: dict[str, np.ndarray]) -> Curve | None:
    if "curve_nll" not in arrays:
        return None
    draws, nll, se = (_vector(arrays, f"curve_{name}") for name in ("draws", "nll", "nll_se"))
    if not len(draws) == len(nll) == len(se) or not (np.diff(draws) > 0).all() or not (draws >= 1).all():
        raise ValueError(f"a curve needs ascending S, a value and an error of each, got S = {draws.tolist()}")
    for name, values in (("draws", draws), ("nll", nll), ("nll_se", se)):
        if not np.isfinite(values).all():
            raise ValueError(f"curve_{name} is not finite")
    if (se < 0).any():
        raise ValueError("an error of curve_nll is negative")
    return Curve(draws, nll, se, len(arrays["example_khat"]) if "example_khat" in arrays else None)


def _khat(arrays: dict[str, np.ndarray]) -> np.ndarray | None:
    return _vector(arrays, "example_khat") if "example_khat" in arrays else None


def _gap(arrays: dict[str, np.ndarray]) -> np.ndarray | None:
    if "example_free_energy" not in arrays or "example_nll" not in arrays:
        return None
    bound, nll = _vector(arrays, "example_free_energy"), _vector(arrays, "example_nll")
    if len(bound) != len(nll):
        raise ValueError(f"example_free_energy has {len(bound)} points, example_nll {len(nll)}")
    with np.errstate(invalid="ignore"):  # a point whose bound and -ln p(x) are both infinite has no gap
        gap: np.ndarray = bound - nll
    return gap


def _vector(arrays: dict[str, np.ndarray], name: str) -> np.ndarray:
    """One array as (n,) of floats; ValueError where it is none, KeyError where it is not there."""
    if name not in arrays:
        raise KeyError(f"no {name}")
    values = arrays[name]
    if values.ndim != 1 or values.dtype.kind not in "fiu" or not len(values):
        raise ValueError(f"{name} is to be a row of numbers, got {values.dtype} of shape {values.shape}")
    return values.astype(float)


def _images(arrays: dict[str, np.ndarray]) -> Images | None:
    if "picture_shape" not in arrays:
        return None
    sizes = _vector(arrays, "picture_shape").tolist()
    if len(sizes) != 3 or sizes[0] not in _CHANNELS or not all(1 <= size <= _MOST_PIXELS for size in sizes):
        raise ValueError(f"picture_shape is to be (1 or 3, H, W), got {sizes}")
    shape = tuple(int(size) for size in sizes)
    images = Images(*(_pictures(arrays, name, shape) for name in Images._fields))
    if len(images.originals) != len(images.reconstructions):
        raise ValueError(f"{len(images.originals)} originals and {len(images.reconstructions)} reconstructions")
    return images


def _pictures(arrays: dict[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Stored rows (number, C H W) as pictures (number, H, W, C) of bytes."""
    flat = arrays.get(name, np.zeros((0, int(np.prod(shape))), np.uint8))
    if flat.dtype != np.uint8 or flat.ndim != 2:
        raise ValueError(f"{name} are to be rows of bytes, got {flat.dtype} of shape {flat.shape}")
    return flat.reshape(-1, *shape).transpose(0, 2, 3, 1)
