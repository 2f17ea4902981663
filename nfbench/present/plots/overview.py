"""The picture that a report begins with: every posterior on every target, quality by colour, seconds by size."""

import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from nfbench.analysis.blocks import Block
from nfbench.analysis.overview import EXCESS, FLOOR_UNITS, OWN_UNITS, Overview, overviews
from nfbench.present.plots.looks import Look, hue, kind_of
from nfbench.present.plots.overview_words import caption, unit
from nfbench.present.plots.style import Picture, title
from nfbench.records.glossary import measure
from nfbench.specification.choices import KINDS

COLOURS = "viridis_r"  # from bright, which is good, to dark
LEVELS = {  # bounds of the steps of colour
    FLOOR_UNITS: (1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0),
    OWN_UNITS: (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
    EXCESS: (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
}
_LEAST, _MOST = 3, 100  # posteriors
_ALONE = 16  # posteriors from which a single target makes a picture
_ROW, _COLUMN, _LETTER = 0.235, 0.36, 0.062  # inches
_LONGEST = 34  # letters of a target's label
_FAULT = "#b3261e"
_SMALL, _LARGE = 3.2, 13.0  # marks in points
_INK = "0.2"


class _Row(NamedTuple):
    posterior: str
    text: str
    kind: str
    look: Look


def pictures(block: Block, looks: dict[str, Look]) -> Iterator[Picture]:
    """Draw a block of several targets, or of many posteriors on one.

    Args:
        block: the records that are shown.
        looks: colour and mark by family.

    Yields:
        A picture named ``overview``; none for fewer than three posteriors, more than 100, or where a table says it all.
    """
    num = block.done["posterior"].nunique()
    if not _LEAST <= num <= _MOST or (num < _ALONE and block.rows["target"].nunique() < 2):
        return
    shown = list(overviews(block))
    if not shown:
        return
    rows = _rows(block, looks)
    wide = _COLUMN if len(shown[0].targets) <= 12 else 0.8 * _COLUMN
    # Matplotlib's layout engines know nothing of cells of a fixed size: room is counted in inches.
    labels = _labels(block, shown[0].targets)
    rising = [_LETTER * len(name) for name in labels]
    left, top = 0.072 * max(len(row.text) for row in rows) + 0.35, 0.25 + 0.68 * max(rising)
    below = 0.85 + (0.2 if len(shown) > 1 else 0.0)
    overhang = (0.81 * long - wide * (len(labels) - place) for place, long in enumerate(rising))
    right = max(1.15, 0.25 + max(overhang))
    widths = [wide * len(each.targets) for each in shown]
    width = max(left + sum(widths) + 0.25 * (len(shown) - 1) + right, 5.6)
    height = top + _ROW * len(rows) + below
    figure = Figure(figsize=(width, height))
    figure.set_layout_engine("none")
    start, ends = left, _seconds(shown)
    for number, (each, own) in enumerate(zip(shown, widths, strict=True)):
        axis = figure.add_axes((start / width, below / height, own / width, _ROW * len(rows) / height))
        _panel(axis, each, rows, _labels(block, each.targets), ends)
        _names(axis, rows) if number == 0 else axis.set_yticks([])
        if len(shown) > 1:
            axis.set_xlabel(measure(next(iter(each.metrics.values()))).label, fontsize=9)
        start += own + 0.25
    _kinds(figure.axes[-1], rows)
    _keys(figure, shown[0], ends, height)
    yield Picture("overview", caption(block, shown), figure)


def _rows(block: Block, looks: dict[str, Look]) -> list[_Row]:
    """The posteriors by kind, within it in the order of the records."""
    facts = block.rows.sort_values("order", kind="stable").drop_duplicates("posterior").to_dict("records")
    rows = [_Row(row["posterior"], title(row), kind_of(row["family"]), looks[row["family"]]) for row in facts]
    return sorted(rows, key=lambda row: [*KINDS].index(row.kind))  # type: ignore[arg-type]


def _labels(block: Block, targets: Sequence[str]) -> list[str]:
    labels = dict(zip(block.rows["target"], block.rows["target_label"], strict=True))
    names = [str(labels[target]) for target in targets]
    return [name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…" for name in names]


def _panel(axis: Axes, shown: Overview, rows: list[_Row], labels: list[str], ends: tuple[float, float] | None) -> None:
    """One mark a posterior and target; a box around the best, a thinner one around what is tied with it."""
    order = [shown.posteriors.index(row.posterior) for row in rows]
    quality, lost, runs, wrong = (part[order] for part in (shown.quality, shown.lost, shown.runs, shown.wrong))
    known = np.isfinite(quality) & np.logical_not(wrong)
    y, x = np.nonzero(known)
    look: dict[str, Any] = {"c": _faces(quality[known], shown.unit), "edgecolors": _INK, "linewidths": 0.5}
    axis.scatter(x, y, _sizes(shown.seconds, ends)[order][known] ** 2, gid="marks", **look)
    for places, aside, marker, size in (
        (lost > 0, 0.33, "x", 3.5),
        ((lost == runs) & (lost > 0), 0.0, "x", 6),
        ((lost < runs) & ~np.isfinite(quality), 0.0, "_", 5),
        (wrong, 0.0, "$!$", 8),
    ):
        y, x = np.nonzero(places & ~(lost == runs) if aside else places)
        axis.plot(x + aside, y + aside, marker=marker, color=_FAULT, ms=size, mew=1.0, ls="none", gid=marker)
    for word, width in (("tied", 0.8), ("best", 1.7)):
        cells = [
            (column, place)
            for place, row in enumerate(rows)
            for column, target in enumerate(shown.targets)
            if shown.standing.get((row.posterior, target)) == word
        ]
        boxes = PatchCollection([Rectangle((x - 0.47, y - 0.46), 0.94, 0.92) for x, y in cells])
        boxes.set(facecolor="none", edgecolor="black", linewidth=width, zorder=3, gid=word)
        axis.add_collection(boxes)
        if word == "best" and cells:
            at = np.array(cells) - (0.33, 0.28)
            axis.plot(*at.T, marker="*", color="black", ms=4.5, mew=0, ls="none", zorder=4)
    axis.set_xlim(-0.5, len(labels) - 0.5)
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.xaxis.tick_top()
    axis.set_xticks(range(len(labels)), labels=labels, rotation=40, ha="left", rotation_mode="anchor", fontsize=8)
    axis.tick_params(length=0)
    for spine in axis.spines.values():
        spine.set_color("0.8")
    for row in range(1, len(rows)):
        new = rows[row].kind != rows[row - 1].kind
        axis.axhline(row - 0.5, color="0.6" if new else "0.93", lw=0.9 if new else 0.6, zorder=0)
    for column in range(1, len(labels)):
        axis.axvline(column - 0.5, color="0.93", lw=0.6, zorder=0)


def _faces(quality: np.ndarray, unit: str) -> np.ndarray:
    """The colours of qualities (n,) in their unit, (n, 4)."""
    colours, bounds = mpl.colormaps[COLOURS], LEVELS[unit]
    return np.asarray(colours(BoundaryNorm(bounds, colours.N, extend="both")(quality)))


def _seconds(shown: Sequence[Overview]) -> tuple[float, float] | None:
    """The least and the largest seconds; None without any."""
    known = np.concatenate([each.seconds[np.isfinite(each.seconds) & (each.seconds > 0)] for each in shown])
    return (float(known.min()), float(known.max())) if len(known) else None


def _size(seconds: float, ends: tuple[float, float]) -> float:
    """The diameter of a mark in points: its area grows with the logarithm of the seconds."""
    low, high = ends
    share = math.log(seconds / low) / math.log(high / low) if high > low else 0.5
    return math.sqrt(_SMALL**2 + share * (_LARGE**2 - _SMALL**2))


def _sizes(seconds: np.ndarray, ends: tuple[float, float] | None) -> np.ndarray:
    sized = [_size(value, ends) if ends and math.isfinite(value) and value > 0 else _SMALL for value in seconds.ravel()]
    return np.array(sized).reshape(seconds.shape)


def _names(axis: Axes, rows: list[_Row]) -> None:
    """Names at the left, each beside the mark that its family has in all pictures."""
    axis.set_yticks(range(len(rows)), labels=[row.text for row in rows], fontsize=8)
    axis.tick_params(axis="y", pad=14)
    for y, row in enumerate(rows):
        axis.plot(
            -9, y, marker=row.look.mark, color=row.look.colour, ms=5.5, ls="none", clip_on=False,
            transform=_beside(axis), gid=f"look {row.posterior}",
        )  # fmt: skip


def _beside(axis: Axes) -> Any:
    """Coordinates whose x is points from the left edge of the panel, and whose y is a row."""
    from matplotlib.transforms import Affine2D, ScaledTranslation, blended_transform_factory

    edge: Any = axis.transAxes
    points = Affine2D().scale(axis.figure.dpi / 72) + ScaledTranslation(0, 0, edge)
    return blended_transform_factory(points, axis.transData)


def _kinds(axis: Axes, rows: list[_Row]) -> None:
    """A bar and a name at the right of each group of a kind."""
    at = axis.get_yaxis_transform()
    start, inches = 0, axis.get_position().width * axis.figure.get_size_inches()[0]  # type: ignore[union-attr]
    for kind, group in groupby(rows, key=lambda row: row.kind):
        end = start + len(list(group))
        x = 1 + 0.09 / inches
        axis.plot(
            [x] * 2, [start - 0.4, end - 0.6], color=hue(kind), lw=4, solid_capstyle="butt", clip_on=False, transform=at
        )
        style: dict[str, Any] = {"fontsize": 7.5, "color": "0.25", "va": "center", "transform": at}
        axis.text(1 + 0.17 / inches, (start + end - 1) / 2, kind, **style)
        start = end


def _keys(figure: Figure, shown: Overview, seconds: tuple[float, float] | None, height: float) -> None:
    """What colours, sizes and boxes mean, under the panels."""
    width = figure.get_size_inches()[0]
    axis = figure.add_axes((0.15 / width, 0.42 / height, 2.3 / width, 0.13 / height))
    colours, bounds = mpl.colormaps[COLOURS], LEVELS[shown.unit]
    scale = mpl.cm.ScalarMappable(BoundaryNorm(bounds, colours.N, extend="both"), colours)
    bar = figure.colorbar(scale, cax=axis, orientation="horizontal", extend="both", ticks=bounds, spacing="uniform")
    bar.ax.set_xticklabels([f"{bound:g}" for bound in bounds], fontsize=7)
    bar.set_label(unit(shown), fontsize=8)
    keys: list[Any] = []
    if seconds is not None:
        middle = math.sqrt(seconds[0] * seconds[1])
        for value in dict.fromkeys((seconds[0], middle, seconds[1])):
            mark: dict[str, Any] = {"marker": "o", "mfc": "white", "mec": _INK, "mew": 0.7, "ls": "none"}
            keys.append(
                Line2D([], [], ms=_size(value, seconds), label=f"{value:{'.2g' if value < 100 else ',.0f'}} s", **mark)
            )
    keys.append(Rectangle((0, 0), 1, 1, fill=False, ec="black", lw=1.7, label="★ best"))
    keys.append(Rectangle((0, 0), 1, 1, fill=False, ec="black", lw=0.8, label="tied with it"))
    if shown.lost.any():
        keys.append(Line2D([], [], marker="x", color=_FAULT, ms=5, ls="none", label="seeds lost"))
    if shown.wrong.any():
        keys.append(Line2D([], [], marker="$!$", color=_FAULT, ms=5, ls="none", label="wrong ln q"))
    place = (2.6 / width, 0.55 / height)
    figure.legend(
        handles=keys, loc="upper left", bbox_to_anchor=place, ncols=-(-len(keys) // 2), fontsize=7.5,
        handlelength=1.4, columnspacing=1.0,
    )  # fmt: skip
