"""Metrics against the depth K, with intervals over seeds (paper, Figures 3 d and 4)."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from nfbench.analysis.blocks import DIVERGENCES, Block
from nfbench.analysis.summary import summary
from nfbench.present.plots.looks import Look
from nfbench.present.plots.style import Picture, estimated, half_interval, legend, panels, two_values, with_interval
from nfbench.published.schema import Published
from nfbench.records.glossary import measure
from nfbench.specification.spec import parse

METRICS = ("kl", "box_kl", "nll", "free_energy")  # the first that a target has is shown
BOUNDS = ("free_energy", "gap", "nll")  # all shown beside each other where the first is nll: F = gap + nll
_LINEAR = 0.01  # nats, below which the axis of a divergence is linear
_INK = "0.15"
_HOW = {"D": "digitised", "Q": "as printed"}

PublishedLines = dict[str, dict[int, tuple[float, float | None]]]  # family -> K -> value and half its error bar


class Panel(NamedTuple):
    """One metric of one target.

    Attributes:
        target: its spec.
        metric: name of the metric.
        rows: of a summary, those of the target that have the metric.
    """

    target: str
    metric: str
    rows: pd.DataFrame


def pictures(block: Block, looks: dict[str, Look], sources: Sequence[Published]) -> Iterator[Picture]:
    """One picture, a panel for each metric of a target, of a block in which some family has several depths.

    Args:
        block: the records that are shown.
        looks: colour and mark by family.
        sources: published values to draw beside ours, where they are comparable.

    Yields:
        One picture named ``depth``; none where every family has a single depth.
    """
    shown = list(_panels(summary(block.rows)))
    if not any(panel.rows.groupby("family")["K"].nunique().max() > 1 for panel in shown):
        return
    targets = list(dict.fromkeys(panel.target for panel in shown))
    several = len(shown) > len(targets)
    figure, axes = panels(len(shown), columns=3 if several else 2, size=(3.1, 2.7) if several else (3.5, 2.6))
    figure.set_layout_engine("constrained", w_pad=0.08)
    drawn: dict[str, Published] = {}
    reasons = [source.objection(panel.target, block.data) for panel in shown for source in sources]
    for axis, panel in zip(axes, shown, strict=True):
        usable = [source for source in sources if not source.objection(panel.target, block.data)]
        lines_of = {source.name: lines for source in usable if (lines := _published(panel, source))}
        # A figure's digitised values have the digits that a printed table cuts off.
        ranked = sorted(usable, key=lambda source: source.mark)
        source = next((source for source in ranked if source.name in lines_of), None)
        lines = lines_of[source.name] if source else {}
        places = _places({*panel.rows["K"], *(depth for line in lines.values() for depth in line)})
        _draw(axis, panel, places, looks)
        _draw_published(axis, panel, places, looks, lines)
        _scale(axis, panel.metric)
        axis.set_title(panel.rows["target_label"].iloc[0] if len(targets) > 1 or not several else "")
        drawn |= {source.name: source} if source else {}
    if several and len(targets) == 1:
        figure.suptitle(shown[0].rows["target_label"].iloc[0], fontsize=10)
    legend(figure, axes, [_key(source) for source in drawn.values()])
    objection = None if drawn else next((reason for reason in reasons if reason), None)
    yield Picture("depth", _caption(block, shown, list(drawn.values()), objection), figure)


def _key(source: Published) -> Line2D:
    return Line2D([], [], color="0.3", marker="o", mfc="none", ms=7, lw=0.8, ls=":", label=_named(source))


def _panels(table: pd.DataFrame) -> Iterator[Panel]:
    """The panels that a summary allows: of each target the first of `METRICS`, or all `BOUNDS` where that is nll."""
    for target, rows in table.groupby("target", sort=False):
        known = {name for name in {*METRICS, *BOUNDS} if name in rows and rows[name].notna().any()}
        first = next((name for name in METRICS if name in known), "")
        for metric in BOUNDS if first == "nll" else (first,):
            if metric in known:
                yield Panel(str(target), metric, rows[rows[metric].notna()])


def _draw(axis: Axes, panel: Panel, places: dict[int, float], looks: dict[str, Look]) -> None:
    rows, metric = panel.rows, panel.metric
    for family, line in rows.groupby("family", sort=False):
        look, label = looks[str(family)], line["label"].iloc[0]
        line = line.sort_values("K")
        value = line[metric].astype(float)
        half = half_interval(line, metric)
        if line["K"].max() == 0:
            axis.axhline(value.iloc[0], color=look.colour, ls="--", lw=1.1)
            if half.iloc[0] > 0:
                span = float(value.iloc[0] - half.iloc[0]), float(value.iloc[0] + half.iloc[0])
                axis.axhspan(*span, color=look.colour, alpha=0.12, lw=0)
        aside = _aside(rows, str(family))
        x = [places[depth] * aside for depth in line["K"]]
        style: dict[str, Any] = {"color": look.colour, "marker": look.mark, "ls": look.line}
        axis.errorbar(x, value, half, ms=4.5, lw=1.3, capsize=2.5, label=label, **style)
        for place, values in zip(x, two_values(line, metric), strict=True):
            axis.plot([place] * len(values), values, color=look.colour, marker=".", ms=4, ls="none", label="_seeds")
    axis.set_xscale("log", base=2)
    axis.set_xticks(list(places.values()), labels=[str(depth) for depth in places])
    axis.minorticks_off()
    axis.set(xlabel="K (maps)", ylabel=measure(metric).title)
    if min(places) == 0:
        _break(axis, *sorted(places.values())[:2])


def _places(depths: Iterable[int]) -> dict[int, float]:
    """Where each K stands on the logarithmic axis; K=0, which has no logarithm, left of the others by one step."""
    ordered = sorted(set(depths))
    layered = [depth for depth in ordered if depth]
    step = layered[1] / layered[0] if len(layered) > 1 else 4.0
    return {depth: float(depth or layered[0] / step) for depth in ordered}


def _break(axis: Axes, left: float, right: float) -> None:
    """Two strokes through the axis halfway to the smallest K that has a logarithm."""
    middle = (left * right) ** 0.5
    stroke = [(-0.35, -1.0), (0.35, 1.0)]
    axis.plot(
        [middle / 1.03, middle * 1.03], [0, 0], color=_INK, marker=stroke, ms=7, ls="none", clip_on=False,
        transform=axis.get_xaxis_transform(), label="_break",
    )  # fmt: skip


def _aside(rows: pd.DataFrame, family: str) -> float:
    """Factor on K that sets the families beside each other; one without maps stands alone at K=0."""
    families = list(dict.fromkeys(rows.loc[rows.groupby("family")["K"].transform("max") > 0, "family"]))
    return float(2 ** (0.09 * (families.index(family) - (len(families) - 1) / 2))) if family in families else 1.0


def _scale(axis: Axes, metric: str) -> None:
    if metric not in DIVERGENCES:
        return
    axis.axhline(0, color="0.6", lw=0.8)
    low, high = axis.dataLim.y0, axis.dataLim.y1
    axis.set_yscale("symlog", linthresh=_LINEAR, linscale=0.5)
    axis.set_ylim(min(-0.2 * _LINEAR, max(1.3 * low, -2 * _LINEAR)), 1.6 * high)


def _published(panel: Panel, source: Published) -> PublishedLines:
    """By family and K the published value of a panel's metric and its error bar; only what is comparable."""
    if source.metric != panel.metric if source.baseline else panel.metric not in source.metrics:
        return {}
    depths = sorted({row.K for row in source.rows if row.target == parse(panel.target).name})
    lines: PublishedLines = {}
    for family, depth in itertools.product(panel.rows["family"].unique(), depths):
        if source.baseline:
            if difference := source.difference(panel.target, family, depth):
                lines.setdefault(family, {})[depth] = difference.value, difference.se
        elif value := source.value(panel.target, family, depth, panel.metric):
            lines.setdefault(family, {})[depth] = value.value, value.bar
    return lines


def _draw_published(
    axis: Axes, panel: Panel, places: dict[int, float], looks: dict[str, Look], lines: PublishedLines
) -> None:
    """Hollow marks at the published values, each family's in its colour beside ours."""
    for family, line in lines.items():
        x = [places[depth] * _aside(panel.rows, family) for depth in line]
        value, bar = zip(*line.values(), strict=True)
        bars = None if None in bar else bar
        colour, mark, _ = looks[family]
        axis.errorbar(x, value, bars, color=colour, marker=mark, mfc="none", ms=7, lw=0.8, ls=":", capsize=2)


def _named(source: Published) -> str:
    if source.baseline:
        return f"the paper's, less {source.baseline.posterior} K={source.baseline.K}"
    return f"the paper's, {_HOW[source.mark]}"


def _caption(block: Block, shown: list[Panel], drawn: list[Published], objection: str | None) -> str:
    text = f"Mean over seeds against the number of maps K, {with_interval(block)}"
    if any(panel.metric in DIVERGENCES for panel in shown):
        text += f"; the axis of a divergence is linear below {_LINEAR:g} nats and cuts intervals that reach far below 0"
    if any(panel.metric == "gap" for panel in shown):
        text += "; the gap is F + ln p(x), the KL(q||p(z|x)) of the paper's Figure 4"
    if any(panel.metric == "nll" for panel in shown):
        text += f"; {estimated(block)}"
    for source in drawn:
        text += f". Open marks, dotted: {source.source}"
        if source.baseline:
            text += (
                f", of which only differences are known; what is drawn is each value less that of "
                f"{source.baseline.posterior} K={source.baseline.K}, with its standard error"
            )
        else:
            text += f", {_HOW[source.mark]}"
            text += ", with its standard errors" if any(row.bar is not None for row in source.rows) else ""
    return f"{text}.{f' The paper is not drawn beside it: {objection}' if objection else ''} {block.protocol}."
