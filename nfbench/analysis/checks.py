"""Checks that must hold of any results: no negative divergence, bounds that fall with depth, possible sizes."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from nfbench.analysis.blocks import DIVERGENCES, OUTCOMES, metrics
from nfbench.analysis.summary import depth_steps, summary


class Check(NamedTuple):
    """One thing that must hold of any results."""

    name: str
    passed: bool
    detail: str


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
