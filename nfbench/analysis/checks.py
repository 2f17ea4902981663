"""Checks that must hold of any results: no negative divergence, bounds that fall with depth, possible sizes."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy

from nfbench.analysis.blocks import DIVERGENCES, OUTCOMES, metrics
from nfbench.analysis.differences import depth_steps
from nfbench.analysis.summary import LEVEL, summary


class Check(NamedTuple):
    """One thing that must hold of any results, and whether it does.

    Attributes:
        name: what must hold, in words.
        passed: whether it does.
        detail: the numbers behind that, in words.
    """

    name: str
    passed: bool
    detail: str


def checks(frame: pd.DataFrame) -> list[Check]:
    """Check what must hold of any results: nothing impossible, nothing lost, deeper not worse.

    Args:
        frame: a table of records, usually of one block.

    Returns:
        The checks that the metrics of the records allow.
    """
    table = summary(frame)
    lost = table["seeds"].sum() - table["done"].sum()
    counts = ", ".join(f"{table[name].sum()} {name}" for name in OUTCOMES if table[name].sum())
    results: list[Check | None] = [
        Check("every cell is done", bool(lost == 0), f"{table['seeds'].sum()} cells: {counts}")
    ]
    names = metrics(frame)
    results += [_not_negative(table, name) for name in (*DIVERGENCES, "gap") if name in names]
    results += [_falls(frame, name) for name in ("kl", "free_energy") if name in names][:1]
    results += [_possible_sizes(frame)] if "ess" in names else []
    results += [_longer_is_lower(frame)] if {"nll", "nll_long"} <= set(names) else []
    return [check for check in results if check is not None]


def _not_negative(table: pd.DataFrame, metric: str) -> Check:
    known = table[table[metric].notna()]
    impossible = known[known[metric] + 3 * known[f"{metric}_se"].astype(float).fillna(0.0) < 0]
    lowest = known.iloc[int(known[metric].astype(float).argmin())]
    where = f"lowest {lowest[metric]:.4f} nats ({lowest['target']}, {lowest['posterior']})"
    detail = f"{len(known)} means, {len(impossible)} below 0 by more than 3 standard errors; {where}"
    return Check(f"{metric} is not below 0", impossible.empty, detail)


def _falls(frame: pd.DataFrame, metric: str) -> Check | None:
    steps = depth_steps(frame, metric)
    known = steps[steps["n"] > 1] if len(steps) else steps
    if known.empty:
        return None
    half = scipy.stats.t.ppf((1 + LEVEL) / 2, known["n"].astype(int) - 1) * known["se"].astype(float)
    rising = known[known["mean"].astype(float) - half > 0]  # also of two seeds, which show no interval
    names = "; ".join(f"{row.target} {row.family} K={row.K_from} to {row.K_to}" for row in rising.itertuples())
    detail = f"{len(known)} paired steps, {len(rising)} with an interval above 0{': ' + names if names else ''}"
    return Check(f"{metric} does not rise with K", rising.empty, detail)


def _possible_sizes(frame: pd.DataFrame) -> Check:
    known = frame[frame["ess"].notna()]
    impossible = known[(known["ess"] < 1 - 1e-6) | (known["ess"] > (1 + 1e-6) * known["importance_draws"])]
    share = (known["ess"] / known["importance_draws"]).min()
    detail = f"{len(known)} cells, {len(impossible)} outside; the least is {100 * share:.1f} % of the draws"
    return Check("ess lies between 1 and the number of draws", impossible.empty, detail)


def _longer_is_lower(frame: pd.DataFrame) -> Check | None:
    """More draws lower -ln p(x) in expectation; only where both estimates are over the same data points."""
    both = frame[frame["nll"].notna() & frame["nll_long"].notna()]
    same = both[both["long_points"].isna() & (both["long_draws"] >= both["importance_draws"])]
    if same.empty:
        return None
    rise, se = same["nll_long"] - same["nll"], np.hypot(same["nll_se"].fillna(0.0), same["nll_long_se"].fillna(0.0))
    higher = same[rise > 3 * se]
    detail = f"{len(same)} cells, {len(higher)} higher by more than 3 standard errors, {len(both) - len(same)} not "
    return Check(
        "more draws do not raise -ln p(x)", higher.empty, f"{detail}comparable; largest step {rise.max():+.4f} nats"
    )
