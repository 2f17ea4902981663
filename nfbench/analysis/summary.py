"""What stored results say: means with intervals over seeds, paired differences, and checks.

A *block* is what may stand in one table: one source, experiment, profile, recipe and data. A *configuration* is a
block's target and posterior; its cells differ in seed only. No mean goes over more than a configuration's seeds.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from nfbench.records.glossary import ordered

BLOCK = ("source", "experiment", "profile", "recipe", "data")
CONFIGURATION = (*BLOCK, "target", "posterior")
FACTS = ("target_label", "family", "label", "K", "num_params", "log_z", "order")
SETTINGS = ("training", "updates", "importance_draws", "long_draws", "long_points")
OUTCOMES = ("done", "diverged", "failed", "interrupted")
DIVERGENCES = ("kl", "forward_kl", "box_kl")
RANKING = ("kl", "box_kl", "nll", "free_energy", "entropy")  # the first that is there ranks the seeds
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean with its t-interval; what too few values leave open is None, never NaN."""

    n: int
    mean: float | None = None
    sd: float | None = None
    se: float | None = None
    low: float | None = None
    high: float | None = None


class Check(NamedTuple):
    """One thing that must hold of any results."""

    name: str
    passed: bool
    detail: str


def estimate(values: Iterable[float]) -> Estimate:
    """Mean, standard deviation and t-interval at `LEVEL`; values that are not finite are not values."""
    sample = np.asarray(list(values), dtype=float)
    sample = sample[np.isfinite(sample)]
    n = len(sample)
    if n < 2:
        return Estimate(n, float(sample[0]) if n else None)
    mean, sd = float(sample.mean()), float(sample.std(ddof=1))
    se = sd / math.sqrt(n)
    half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) * se
    return Estimate(n, mean, sd, se, mean - half, mean + half)


def metrics(frame: pd.DataFrame) -> list[str]:
    """The metrics that any row of `frame` has, in the glossary's order."""
    return ordered([str(name) for name in frame if f"{name}_se" in frame and frame[name].notna().any()])


def blocks(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The blocks of `frame`, each as its rows."""
    if len(frame):
        yield from (rows for _, rows in groups(frame, BLOCK, sort=True))


def groups(
    frame: pd.DataFrame, names: Sequence[str], *, sort: bool = False
) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """The rows of `frame` that agree in the columns `names`, with what they agree in; a missing value is None.

    pandas calls a missing value of a key NaN, whatever its column holds: a table made of such keys has a column of
    numbers where `frame` has one of texts, and can no longer be joined to it.
    """
    for key, rows in frame.groupby(list(names), dropna=False, sort=sort):
        values: dict[str, Any] = dict(zip(names, key, strict=True))
        yield {name: None if pd.isna(value) else value for name, value in values.items()}, rows


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a configuration: facts, counts of outcomes, and for each metric m: m, m_n, m_sd, m_se, m_low, m_high.

    Sorted by block and, within it, by the experiment's order.
    """
    names = metrics(frame)
    rows = [_summarise(cells, names) for _, cells in groups(frame, CONFIGURATION)]
    table = pd.DataFrame(rows)
    return table.sort_values([*BLOCK, "order"], kind="stable").reset_index(drop=True) if rows else table


def _summarise(cells: pd.DataFrame, names: list[str]) -> dict[str, Any]:
    done = cells[cells["status"] == "done"]
    first = (done if len(done) else cells).iloc[0]
    row: dict[str, Any] = {name: first[name] for name in (*CONFIGURATION, *FACTS, *SETTINGS)}
    row |= {"seeds": len(cells)} | {outcome: int((cells["status"] == outcome).sum()) for outcome in OUTCOMES}
    row |= {"seconds": float(done["seconds"].mean()) if len(done) else None}
    for name in names:
        found = estimate(done[name])
        row |= {name: found.mean} | {
            f"{name}_{part}": getattr(found, part) for part in ("n", "sd", "se", "low", "high")
        }
        if found.n == 1:
            row[f"{name}_se"] = done.loc[done[name].notna(), f"{name}_se"].iloc[0]  # the Monte-Carlo error of one cell
    return row


def paired(left: pd.DataFrame, right: pd.DataFrame, metric: str) -> Estimate:
    """The difference `left` - `right` of two configurations over the seeds that are done in both."""
    sides = [cells[cells["status"] == "done"].set_index("seed")[metric] for cells in (left, right)]
    assert all(side.index.is_unique for side in sides), "a configuration has one cell a seed"
    both = pd.concat(sides, axis=1, join="inner", keys=["left", "right"])
    return estimate(both["left"] - both["right"])


def depth_steps(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Paired differences of `metric` between consecutive K of a family, deeper less shallower; one row a step."""
    rows = []
    for names, cells in groups(frame, [*BLOCK, "target", "family"], sort=True):
        depths = sorted(cells["K"].unique())
        for shallow, deep in itertools.pairwise(depths):
            found = paired(cells[cells["K"] == deep], cells[cells["K"] == shallow], metric)
            rows.append(names | {"K_from": shallow, "K_to": deep, **vars(found)})
    return pd.DataFrame(rows)


def against(frame: pd.DataFrame, metric: str, family: str, K: int | None = None) -> pd.DataFrame:
    """Paired differences of every configuration to a baseline of the same block and target; one row each.

    Args:
        frame: rows of records.
        metric: whose difference.
        family: the baseline's, as in the records.
        K: the baseline's depth; None compares at equal depth.
    """
    rows = []
    for names, cells in groups(frame, CONFIGURATION):
        same = where(frame, {name: names[name] for name in (*BLOCK, "target")})
        depth = cells["K"].iloc[0] if K is None else K
        base = same[(same["family"] == family) & (same["K"] == depth)]
        if len(base):
            rows.append(names | vars(paired(cells, base, metric)))
    return pd.DataFrame(rows)


def where(frame: pd.DataFrame, values: dict[str, Any]) -> pd.DataFrame:
    """The rows that have these values; a missing one equals a missing one."""
    keep = pd.Series(data=True, index=frame.index)
    for name, value in values.items():
        keep &= frame[name].isna() if pd.isna(value) else frame[name] == value
    return frame[keep]


def beside(frame: pd.DataFrame) -> pd.DataFrame:
    """Own and reference results of equal configuration: their means and paired difference, one row a metric."""
    shared = [name for name in CONFIGURATION if name != "source"]
    rows = []
    for agreed, cells in groups(frame, shared):
        own, reference = cells[cells["source"] == "own"], cells[cells["source"] == "reference"]
        if own.empty or reference.empty:
            continue
        names = agreed | {name: cells.iloc[0][name] for name in FACTS}
        for metric in metrics(cells):
            mine, stored = (estimate(side.loc[side["status"] == "done", metric]) for side in (own, reference))
            rows.append(
                names | {"metric": metric, "own": mine, "reference": stored, "paired": paired(own, reference, metric)}
            )
    return pd.DataFrame(rows)


def median_seeds(frame: pd.DataFrame) -> pd.DataFrame:
    """Of every configuration the done cell whose ranking metric is the (lower) median over seeds, as its row."""
    chosen = []
    for _, cells in groups(frame, CONFIGURATION):
        done = cells[cells["status"] == "done"]
        metric = next((name for name in RANKING if name in done and done[name].notna().any()), None)
        if metric:
            ranked = done[done[metric].notna()].sort_values([metric, "seed"])
            chosen.append(ranked.iloc[(len(ranked) - 1) // 2].name)
    return frame.loc[chosen]


def checks(frame: pd.DataFrame) -> list[Check]:
    """What must hold of any results in `frame`: nothing impossible, nothing lost, deeper not worse."""
    table = summary(frame)
    lost = table["seeds"].sum() - table["done"].sum()
    counts = ", ".join(f"{table[name].sum()} {name}" for name in OUTCOMES if table[name].sum())
    found: list[Check | None] = [
        Check("every cell is done", bool(lost == 0), f"{table['seeds'].sum()} cells: {counts}")
    ]
    names = metrics(frame)
    found += [_not_negative(table, name) for name in (*DIVERGENCES, "gap") if name in names]
    found += [_falls(frame, name) for name in ("kl", "free_energy") if name in names][:1]
    found += [_possible_sizes(frame)] if "ess" in names else []
    found += [_longer_is_lower(frame)] if {"nll", "nll_long"} <= set(names) else []
    return [check for check in found if check is not None]


def _not_negative(table: pd.DataFrame, metric: str) -> Check:
    told = table[table[metric].notna()]
    impossible = told[told[metric] + 3 * told[f"{metric}_se"].astype(float).fillna(0.0) < 0]
    lowest = told.iloc[int(told[metric].astype(float).argmin())]
    where = f"lowest {lowest[metric]:.4f} nats ({lowest['target']}, {lowest['posterior']})"
    detail = f"{len(told)} means, {len(impossible)} below 0 by more than 3 standard errors; {where}"
    return Check(f"{metric} is not below 0", impossible.empty, detail)


def _falls(frame: pd.DataFrame, metric: str) -> Check | None:
    steps = depth_steps(frame, metric)
    told = steps[steps["low"].notna()] if len(steps) else steps
    if told.empty:
        return None
    rising = told[told["low"].astype(float) > 0]
    names = "; ".join(f"{row.target} {row.family} K={row.K_from} to {row.K_to}" for row in rising.itertuples())
    detail = f"{len(told)} paired steps, {len(rising)} with an interval above 0{': ' + names if names else ''}"
    return Check(f"{metric} does not rise with K", rising.empty, detail)


def _possible_sizes(frame: pd.DataFrame) -> Check:
    told = frame[frame["ess"].notna()]
    impossible = told[(told["ess"] < 1 - 1e-6) | (told["ess"] > (1 + 1e-6) * told["importance_draws"])]
    share = (told["ess"] / told["importance_draws"]).min()
    detail = f"{len(told)} cells, {len(impossible)} outside; the least is {100 * share:.1f} % of the draws"
    return Check("ess lies between 1 and the number of draws", impossible.empty, detail)


def _longer_is_lower(frame: pd.DataFrame) -> Check | None:
    """More draws lower -ln p(x) in expectation; only where both estimates are over the same data points."""
    both = frame[frame["nll"].notna() & frame["nll_long"].notna()]
    told = both[both["long_points"].isna() & (both["long_draws"] >= both["importance_draws"])]
    if told.empty:
        return None
    rise, se = told["nll_long"] - told["nll"], np.hypot(told["nll_se"].fillna(0.0), told["nll_long_se"].fillna(0.0))
    higher = told[rise > 3 * se]
    detail = f"{len(told)} cells, {len(higher)} higher by more than 3 standard errors, {len(both) - len(told)} not "
    return Check(
        "more draws do not raise -ln p(x)", higher.empty, f"{detail}comparable; largest step {rise.max():+.4f} nats"
    )


def curve_bands(curves: Iterable[dict[str, list[float | None]]], name: str = "free_energy") -> pd.DataFrame:
    """Median and the 10 % and 90 % quantiles over seeds of a training curve: columns step, n, median, low, high."""
    parts = [pd.DataFrame({"step": curve["step"], "value": curve[name]}, dtype=float) for curve in curves]
    values = pd.concat(parts).dropna().groupby("step")["value"]
    quantiles = {
        "n": values.size(),
        "median": values.median(),
        "low": values.quantile(0.1),
        "high": values.quantile(0.9),
    }
    return pd.DataFrame(quantiles).reset_index()
