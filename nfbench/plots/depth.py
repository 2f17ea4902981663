"""A metric against the depth K, with intervals over seeds (paper, Figure 3 d)."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from nfbench.glossary import measure
from nfbench.plots.style import Look, Picture, legend, panels, protocol
from nfbench.published import Published
from nfbench.spec import parse
from nfbench.statistics import DIVERGENCES, summary

METRICS = ("kl", "box_kl", "nll", "free_energy")  # the first that a target has is shown
_LINEAR = 0.01  # nats, below which the axis of a divergence is linear


def pictures(block: pd.DataFrame, looks: dict[str, Look], source: Published | None) -> Iterator[Picture]:
    """One picture, a panel a target, for a block in which some family has several depths."""
    found = summary(block)
    shown = {str(target): rows for target, rows in found.groupby("target", sort=False) if _metric(rows)}
    if not any(rows.groupby("family")["K"].nunique().max() > 1 for rows in shown.values()):
        return
    figure, axes = panels(len(shown))
    told = False
    for axis, (target, rows) in zip(axes, shown.items(), strict=True):
        _panel(axis, rows, looks)
        told |= _theirs(axis, rows, target, looks, source)
        _scale(axis, _metric(rows) or "")
    base = source.baseline if told and source else None
    name = f"the paper's, less {base.posterior} K={base.K}" if base else ""
    legend(figure, axes, [Line2D([], [], color="0.3", marker="o", mfc="none", ls=":", label=name)] if name else [])
    yield Picture("depth", _caption(block, source if told else None), figure)


def _metric(rows: pd.DataFrame) -> str | None:
    return next((name for name in METRICS if name in rows and rows[name].notna().any()), None)


def _panel(axis: Axes, rows: pd.DataFrame, looks: dict[str, Look]) -> None:
    metric = _metric(rows) or ""
    places = _places(rows)
    for family, line in rows[rows[metric].notna()].groupby("family", sort=False):
        look, label = looks[str(family)], line["label"].iloc[0]
        if line["K"].max() == 0:
            axis.axhline(line[metric].iloc[0], color=look.colour, ls="--", label=label)
            if pd.notna(line[f"{metric}_low"].iloc[0]):
                span = float(line[f"{metric}_low"].iloc[0]), float(line[f"{metric}_high"].iloc[0])
                axis.axhspan(*span, color=look.colour, alpha=0.15, lw=0)
            continue
        line = line.sort_values("K")
        value = line[metric].astype(float)
        half = (line[f"{metric}_high"].astype(float) - value).fillna(0.0)
        x = line["K"].map(places) * _aside(rows, str(family))
        axis.errorbar(x, value, half, color=look.colour, marker=look.mark, ms=4.5, lw=1.3, capsize=2.5, label=label)
    axis.set_xscale("log", base=2)
    axis.set_xticks(list(places.values()), labels=[str(depth) for depth in places])
    axis.minorticks_off()
    axis.set(xlabel="K (maps)", ylabel=measure(metric).title, title=rows["target_label"].iloc[0])


def _places(rows: pd.DataFrame) -> dict[int, float]:
    """Where each K stands on the logarithmic axis; K=0, which has no logarithm, left of the others."""
    layered = rows[rows.groupby("family")["K"].transform("max") > 0]
    depths = sorted({int(depth) for depth in layered["K"]})
    return {depth: float(depth or depths[1] / 4) for depth in depths}


def _aside(rows: pd.DataFrame, family: str) -> float:
    """Factor on K that sets the families beside each other."""
    families = list(dict.fromkeys(rows["family"]))
    return float(2 ** (0.09 * (families.index(family) - (len(families) - 1) / 2)))


def _scale(axis: Axes, metric: str) -> None:
    if metric not in DIVERGENCES:
        return
    axis.axhline(0, color="0.6", lw=0.8)
    low, high = axis.dataLim.y0, axis.dataLim.y1
    axis.set_yscale("symlog", linthresh=_LINEAR, linscale=0.5)
    axis.set_ylim(min(-0.2 * _LINEAR, max(1.3 * low, -2 * _LINEAR)), 1.6 * high)


def _theirs(axis: Axes, rows: pd.DataFrame, target: str, looks: dict[str, Look], source: Published | None) -> bool:
    if source is None or source.objection(target) or source.metric != _metric(rows):
        return False
    depths = sorted({row.K for row in source.rows if row.target == parse(target).name})
    for family in rows["family"].unique():
        found = {depth: source.difference(target, family, depth) for depth in depths}
        told = [(depth * _aside(rows, family), one.value, one.se) for depth, one in found.items() if one]
        if told:
            x, value, se = zip(*told, strict=True)
            look: dict[str, Any] = {"color": looks[family].colour, "marker": looks[family].mark, "mfc": "none", "ms": 7}
            axis.errorbar(x, value, se, lw=0.8, ls=":", capsize=2, **look)
    return bool(depths)


def _caption(block: pd.DataFrame, source: Published | None) -> str:
    text = "Mean over seeds with its 95 % t-interval against the number of maps K"
    if any(name in block and block[name].notna().any() for name in DIVERGENCES):
        text += f"; the axis of a divergence is linear below {_LINEAR:g} nats and cuts intervals that reach far below 0"
    if source:
        text += (
            f". Open marks, dotted: {source.source}, of which only differences are known; what is drawn is each value "
            f"less that of {source.baseline.posterior} K={source.baseline.K}, with its standard error"
        )
    return f"{text}. {protocol(block)}."
