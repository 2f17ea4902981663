"""How time and memory grow with the sizes of a case: fitted lines over sweeps in which nothing else changes."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy

from nfbench.analysis.summary import LEVEL
from nfbench.analysis.timing_blocks import BLOCK, ITEM_BYTES, SIZES

LEAST = 3  # sizes that a line is fitted to
_SAME = ("target", "family", "amortized", "contender")


class Line(NamedTuple):
    """A least-squares line y = intercept + slope x through n points, in the units of y and x.

    Attributes:
        n: number of points.
        slope: of the line.
        intercept: y at x = 0.
        se: standard error of the slope.
        low: lower end of the slope's 95 % t-interval.
        high: upper end.
    """

    n: int
    slope: float
    intercept: float
    se: float
    low: float
    high: float


def line(x: np.ndarray, y: np.ndarray) -> Line:
    """Fit y = intercept + slope x by least squares.

    Args:
        x: (n,), at least `LEAST` values.
        y: (n,).

    Returns:
        The line, its slope with the 95 % t-interval of simple regression.
    """
    fit = scipy.stats.linregress(x, y)
    half = float(scipy.stats.t.ppf((1 + LEVEL) / 2, len(x) - 2)) * float(fit.stderr)
    slope = float(fit.slope)
    return Line(len(x), slope, float(fit.intercept), float(fit.stderr), slope - half, slope + half)


def exponents(frame: pd.DataFrame) -> pd.DataFrame:
    """Fit time = c size^a to every sweep, by least squares of log time on log size.

    A sweep has at least `LEAST` values of one size, everything else equal, of a contender that agrees with the
    reference.

    Args:
        frame: a table of timings.

    Returns:
        One row a sweep: what its cases have in common, `size` (K, S, B, D or E), `first` and `last` of it, n,
        slope (a), se, low, high, `seconds` (c, the fitted time at size 1), and the ids of its records.
    """
    return pd.DataFrame([row for size in SIZES for row in _sweeps(frame, size, "median", logarithmic=True)])


def memory(frame: pd.DataFrame) -> pd.DataFrame:
    """Fit peak bytes = m + slope K to every sweep over K.

    Args:
        frame: a table of timings.

    Returns:
        One row a sweep, as of `exponents`: `slope` is bytes a layer, `per_draw` divides it by S B, and `vector` is what
        one copy of z takes for a draw, D numbers. Memory that grows by scalars only has `per_draw` far below `vector`,
        and the same at any D.
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
    usable = frame[frame["agrees"] & frame[value].notna() & ((frame[size] > 0) | (not logarithmic))]
    fixed = [*BLOCK, *_SAME, *(name for name in SIZES if name != size)]
    groups = [rows for _, rows in usable.groupby(fixed, dropna=False, sort=False) if rows[size].nunique() >= LEAST]
    return [_sweep(rows.sort_values(size), size, value, logarithmic=logarithmic) for rows in groups]


def _sweep(rows: pd.DataFrame, size: str, value: str, *, logarithmic: bool) -> dict[str, Any]:
    x, y = (rows[name].to_numpy(float) for name in (size, value))
    fit = line(np.log(x), np.log(y)) if logarithmic else line(x, y)
    first = rows.iloc[0]
    row: dict[str, Any] = {name: first[name] for name in (*BLOCK, *_SAME, *SIZES, "posterior", "label", "version")}
    row |= {"size": SIZES[size], "first": x[0], "last": x[-1], "records": tuple(rows["id"])} | fit._asdict()
    return row | {size: None} | ({"seconds": float(np.exp(fit.intercept))} if logarithmic else {})
