"""Quality against time: how close each posterior comes with the same updates, and in the same seconds."""

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

from matplotlib.axes import Axes
from matplotlib.transforms import Transform

from nfbench.analysis.blocks import Block
from nfbench.analysis.courses import Course, Race, races
from nfbench.present.plots.looks import Look, ink
from nfbench.present.plots.style import Picture, legend, log_seconds, panels, title
from nfbench.records.glossary import measure
from nfbench.records.results import StoredResults

_FEWEST = 8  # posteriors of a block, below which a table says it all
_FLOOR = 1e-3  # nats, at which what is below is drawn
_EDGE = 0.04  # of a panel's height, at which crosses are drawn
_WIDE = 9.2  # inches, of a single panel, so that its legend has columns


def pictures(results: StoredResults, block: Block, looks: dict[str, Look]) -> Iterator[Picture]:
    """One picture, a panel a target, of a block with many posteriors whose records keep the seconds of trainings.

    Args:
        results: where the curves are.
        block: the records that are shown.
        looks: colour and mark by family.

    Yields:
        A picture named ``pareto``, of the targets on which eight posteriors or more have seconds; none without any.
    """
    if block.done["posterior"].nunique() < _FEWEST:
        return  # before any curve is read
    shown = [race for race in races(block, results.curves) if len(race.courses) >= _FEWEST]
    if not shown:
        return
    figure, axes = panels(len(shown), size=(4.6 if len(shown) > 1 else _WIDE, 3.2))
    for axis, race in zip(axes, shown, strict=True):
        _panel(axis, race, looks)
    legend(figure, axes)
    yield Picture("pareto", _caption(block), figure)


def _panel(axis: Axes, race: Race, looks: dict[str, Look]) -> None:
    divergence = race.metric.endswith("kl")
    best, front = math.inf, []
    ends = (course.end for course in race.courses if not _refuted(course))
    least = 0.0 if divergence else min(ends, default=0.0)
    lengths = Counter(course.row["family"] for course in race.courses)
    for course in race.courses:
        look = looks[course.row["family"]]
        several = lengths[course.row["family"]] > 1
        label = course.row["label"] if several else title(course.row)
        if _refuted(course) or (divergence and course.end < -_FLOOR):
            if divergence:
                edge: dict[str, Any] = {"transform": axis.get_xaxis_transform(), "label": label}
                axis.plot(course.seconds, _EDGE, color=look.colour, marker="x", ls="none", **edge)
                if several:
                    _length(axis, course, _EDGE, look, axis.get_xaxis_transform())
            continue
        end, same = (max(value - least, _FLOOR) for value in (course.end, course.same))
        style: dict[str, Any] = {"color": look.colour, "marker": look.mark, "ls": "none"}
        axis.plot(course.seconds, end, ms=6, label=label, **style)
        if several:
            _length(axis, course, end, look, axis.transData)
        if course.seconds > race.time and math.isfinite(same):
            axis.plot([race.time, course.seconds], [same, end], color=look.colour, lw=0.5, alpha=0.5)
            axis.plot(race.time, same, ms=5, mfc="white", **style)
        if end < best:
            best = end
            front.append((course.seconds, end))
    axis.plot(*zip(*front, strict=True), color="0.5", lw=0.8, ls="--", drawstyle="steps-post", zorder=0)
    axis.axvline(race.time, color="0.6", lw=0.8, ls=":")
    log_seconds(axis, "seconds of training")
    axis.set_yscale("log")
    axis.set_ylabel(measure(race.metric).title + ("" if divergence else "\nabove the best"))
    axis.set_title(race.courses[0].row["target_label"])


def _length(axis: Axes, course: Course, height: float, look: Look, transform: Transform) -> None:
    """Write K beside a mark."""
    away: dict[str, Any] = {"xytext": (5, 1), "textcoords": "offset points", "fontsize": 6.5}
    axis.annotate(str(course.row["K"]), (course.seconds, height), xycoords=transform, color=ink(look.colour), **away)


def _refuted(course: Course) -> bool:
    return bool(course.row.get("refuted", False))


def _caption(block: Block) -> str:
    return (
        "Quality against the seconds of a seed's training, medians over seeds: divergences where ln Z is known, "
        f"else the metric above the best of its panel; what is below {_FLOOR:g} nats is drawn there. A cross at the "
        "lower edge: a divergence below zero, which only a wrong ln q gives, or any of a posterior that nfbench "
        "verify refuted; other metrics of such a posterior are not drawn. Filled: after all updates, as many for "
        "each. Open: of trainings that took longer than the median (dotted), the bound on the training draws at "
        "that time, plus ln Z where it is known. Dashed: nobody is better in less time. The number beside a mark is K, "
        "where a family has several lengths. "
        f"{block.protocol}."
    )
