"""-ln p(x) by importance sampling against the number of draws: is the estimate settled?"""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from nfbench.analysis.blocks import Block
from nfbench.analysis.data_points import Curve, DataPoints, curves, mean_curve
from nfbench.present.plots.looks import Look
from nfbench.present.plots.style import Picture, legend, named, panels
from nfbench.records.glossary import measure

_DEPTH_COLOURS = "mako_r"  # from pale to dark with K
_PALEST = 0.25  # the part of the colours that is too pale for a line
_MARGIN = 0.06  # of the range of values


def pictures(block: Block, data_points: Mapping[str, DataPoints], looks: dict[str, Look]) -> Iterator[Picture]:
    """One picture for each target whose records hold curves, with a panel a family.

    A family without K is drawn in every panel.

    Args:
        block: the records that are shown.
        data_points: arrays of single data points, by record id.
        looks: colour and mark by family.

    Yields:
        Pictures named ``draws``; ``-<target>`` is added where the block has several targets.
    """
    for target, part in block.by_target():
        by_posterior = {posterior: seeds for posterior, seeds in curves(part.rows, data_points).items() if seeds}
        if not by_posterior:
            continue
        unique = part.rows.sort_values("order").drop_duplicates("posterior").set_index("posterior", drop=False)
        figure = _figure(unique.loc[list(by_posterior)], by_posterior, looks)
        yield Picture(named("draws", target, block), _caption(part, by_posterior), figure)


def _figure(posteriors: pd.DataFrame, by_posterior: dict[str, list[Curve]], looks: dict[str, Look]) -> Figure:
    """A panel a family.

    Args:
        posteriors: a row each, in the experiment's order.
        by_posterior: the curves of its seeds.
        looks: colour and mark by family.
    """
    deepest = posteriors.groupby("family")["K"].transform("max")
    flat, layered = posteriors[deepest == 0], posteriors[deepest > 0]
    colours = _colours(layered)
    groups = [rows for _, rows in layered.groupby("family", sort=False)] or [layered]
    figure, axes = panels(len(groups))
    for axis, group in zip(axes, groups, strict=True):
        for posterior, row in flat.iterrows():
            _line(axis, by_posterior[str(posterior)], row["label"], color=looks[row["family"]].colour, ls="--")
        for posterior, row in group.iterrows():
            _line(axis, by_posterior[str(posterior)], f"K = {row['K']}", color=colours[row["K"]])
        axis.set_title("".join(group["label"].iloc[:1]))
    figure.suptitle(posteriors["target_label"].iloc[0], fontsize=10)
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


def _caption(block: Block, by_posterior: dict[str, list[Curve]]) -> str:
    every = [curve for seeds in by_posterior.values() for curve in seeds]
    points = sorted({curve.points for curve in every if curve.points})
    where = f" over {' or '.join(f'{number:,}' for number in points)} test points" if points else ""
    error = max(float(curve.se.max()) for curve in every)
    several = max(map(len, by_posterior.values())) > 1
    lines = "Thick: mean over seeds; thin: each seed. " if several else ""
    return (
        f"Importance-sampled -ln p(x) against the number of draws S{where}. {lines}In expectation every "
        f"value is an upper bound that falls with S, from the free energy at S = 1 to -ln p(x): a line that has not "
        f"levelled off has not reached it. Monte-Carlo standard error of a seed's value: at most {error:.2g} nats. "
        f"{block.protocol}."
    )
