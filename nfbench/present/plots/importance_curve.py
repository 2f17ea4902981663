"""-ln p(x) by importance sampling against the number of draws: is the estimate settled?"""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from nfbench.analysis.data_points import Curve, DataPoints, curves, mean_curve
from nfbench.present.plots.style import Look, Picture, legend, named, panels, protocol
from nfbench.records.glossary import measure

_DEPTH_COLOURS = "mako_r"  # from pale to dark with K
_PALEST = 0.25  # the part of the colours that is too pale for a line
_MARGIN = 0.06  # of the range of values


def pictures(block: pd.DataFrame, data_points: Mapping[str, DataPoints], looks: dict[str, Look]) -> Iterator[Picture]:
    """One picture for each target whose records hold curves, a panel a family; a family without K is in each."""
    for target, rows in block.groupby("target", sort=False):
        found = {posterior: lines for posterior, lines in curves(rows, data_points).items() if lines}
        if not found:
            continue
        first = (
            rows.sort_values("order").drop_duplicates("posterior").set_index("posterior", drop=False).loc[list(found)]
        )
        yield Picture(named("draws", str(target), block), _caption(rows, found), _figure(first, found, looks))


def _figure(first: pd.DataFrame, found: dict[str, list[Curve]], looks: dict[str, Look]) -> Figure:
    """A panel for each family of `first`, which has a row a posterior."""
    deepest = first.groupby("family")["K"].transform("max")
    flat, layered = first[deepest == 0], first[deepest > 0]
    colours = _colours(layered)
    groups = [lines for _, lines in layered.groupby("family", sort=False)] or [layered]
    figure, axes = panels(len(groups))
    for axis, group in zip(axes, groups, strict=True):
        for posterior, row in flat.iterrows():
            _line(axis, found[str(posterior)], row["label"], color=looks[row["family"]].colour, ls="--")
        for posterior, row in group.iterrows():
            _line(axis, found[str(posterior)], f"K = {row['K']}", color=colours[row["K"]])
        axis.set_title("".join(group["label"].iloc[:1]))
    figure.suptitle(first["target_label"].iloc[0], fontsize=10)
    _scales(axes)
    legend(figure, axes)
    return figure


def _colours(layered: pd.DataFrame) -> dict[int, Any]:
    depths = sorted(set(layered["K"]))
    shades = sns.color_palette(_DEPTH_COLOURS, as_cmap=True)
    steps = max(1, len(depths) - 1)
    return {depth: shades(_PALEST + (0.95 - _PALEST) * i / steps) for i, depth in enumerate(depths)}


def _line(axis: Axes, seeds: list[Curve], label: str, **look: Any) -> None:
    mean = mean_curve(seeds)
    axis.plot(mean["draws"], mean["nll"], lw=1.5, marker=".", ms=4, label=label, zorder=3, **look)
    for seed in seeds if len(seeds) > 1 else []:
        axis.plot(seed.draws, seed.nll, lw=0.5, alpha=0.45, label="_seed", **look)


def _scales(axes: list[Axes]) -> None:
    """Equal scales in all panels, so that a level can be compared across them."""
    low, high = min(axis.dataLim.y0 for axis in axes), max(axis.dataLim.y1 for axis in axes)
    pad = _MARGIN * (high - low) or 1.0
    for axis in axes:
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(10))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_major_formatter(FuncFormatter(lambda draws, _: f"{draws:,.0f}"))
        axis.set_ylim(low - pad, high + pad)
        axis.set(xlabel="S (importance draws)", ylabel=measure("nll").title)


def _caption(rows: pd.DataFrame, found: dict[str, list[Curve]]) -> str:
    every = [curve for lines in found.values() for curve in lines]
    points = sorted({curve.points for curve in every if curve.points})
    where = f" over {' or '.join(f'{number:,}' for number in points)} test points" if points else ""
    error = max(float(curve.se.max()) for curve in every)
    several = max(map(len, found.values())) > 1
    lines = "Thick: mean over seeds; thin: each seed. " if several else ""
    return (
        f"Importance-sampled -ln p(x) against the number of draws S{where}. {lines}In expectation every "
        f"value is an upper bound that falls with S, from the free energy at S = 1 to -ln p(x): a line that has not "
        f"levelled off has not reached it. Monte-Carlo standard error of a seed's value: at most {error:.2g} nats. "
        f"{protocol(rows)}."
    )
