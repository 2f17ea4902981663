"""How time and memory grow with the sizes of a case: fitted lines over sweeps in which nothing else changes."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from nfbench.analysis.summary import LEVEL
from nfbench.analysis.timings import BLOCK, ITEM_BYTES, SIZES

LEAST = 3  # sizes that a line is fitted to
_SAME = ("target", "family", "amortized", "contender")


class Line(NamedTuple):
    """A least-squares line through n points, its slope with standard error and t-interval."""

    n: int
    slope: float
    intercept: float
    se: float
    low: float
    high: float


def line(x: np.ndarray, y: np.ndarray) -> Line:
    """Fit y = intercept + slope x to at least `LEAST` points (n,), (n,)."""
    found = stats.linregress(x, y)
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(x) - 2)) * float(found.stderr)
    slope = float(found.slope)
    return Line(len(x), slope, float(found.intercept), float(found.stderr), slope - half, slope + half)


def exponents(frame: pd.DataFrame) -> pd.DataFrame:
    """Fits of time = c size^a, by least squares of log time on log size; one row a sweep.

    A sweep has at least `LEAST` values of one size, everything else equal, of a contender that agrees with the
    reference. Columns: the sweep's, `size` (K, S, B, D or E), `first` and `last` of it, n, slope (a), se, low, high,
    and `seconds` (c, the fitted time at size 1).
    """
    return pd.DataFrame([row for size in SIZES for row in _sweeps(frame, size, "median", logarithmic=True)])


def memory(frame: pd.DataFrame) -> pd.DataFrame:
    """Fits of peak bytes = m + slope K, one row a sweep over K: `slope` is bytes a layer.

    `per_draw` divides it by S B; `vector` is what one copy of z takes for a draw, D numbers. Memory that grows by
    scalars only has `per_draw` far below `vector`, and the same at any D.
    """
    rows = _sweeps(frame[frame["draws"] > 0] if len(frame) else frame, "K", "peak_bytes", logarithmic=False)
    for row in rows:
        row |= {
            "per_draw": row["slope"] / (row["draws"] * row["batch"]),
            "vector": row["dim"] * ITEM_BYTES[row["dtype"]],
        }
    return pd.DataFrame(rows)


def _sweeps(frame: pd.DataFrame, size: str, value: str, *, logarithmic: bool) -> list[dict[str, Any]]:
    if frame.empty:
        return []
    told = frame[frame["agrees"] & frame[value].notna() & ((frame[size] > 0) | (not logarithmic))]
    fixed = [*BLOCK, *_SAME, *(name for name in SIZES if name != size)]
    groups = [rows for _, rows in told.groupby(fixed, dropna=False, sort=False) if rows[size].nunique() >= LEAST]
    return [_sweep(rows.sort_values(size), size, value, logarithmic=logarithmic) for rows in groups]


def _sweep(rows: pd.DataFrame, size: str, value: str, *, logarithmic: bool) -> dict[str, Any]:
    x, y = (rows[name].to_numpy(float) for name in (size, value))
    found = line(np.log(x), np.log(y)) if logarithmic else line(x, y)
    first = rows.iloc[0]
    row: dict[str, Any] = {name: first[name] for name in (*BLOCK, *_SAME, *SIZES, "posterior", "label", "version")}
    row |= {"size": SIZES[size], "first": x[0], "last": x[-1], "records": tuple(rows["id"])} | found._asdict()
    return row | {size: None} | ({"seconds": float(np.exp(found.intercept))} if logarithmic else {})
