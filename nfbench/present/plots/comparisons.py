"""Who is best over all targets: performance profiles, and mean ranks with the groups that no test tells apart."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from nfbench.analysis.blocks import Block
from nfbench.analysis.overall import Pairs, joined, pairwise
from nfbench.analysis.profiles import profiles
from nfbench.analysis.scores import Scores, metric_of, scores
from nfbench.foundation.errors import InputError
from nfbench.present.plots.looks import Line, Look
from nfbench.present.plots.style import Picture, legend, panels, title
from nfbench.records.glossary import measure

_FEWEST = 6  # pairs of a target and a seed: with five, no signed-rank test can be significant
_POINTS = 400
_MOST = 40  # posteriors in a picture
_LINES: tuple[Line, ...] = ("-", (0, (5, 1.5)), (0, (2, 1.2)), (0, (1, 1)))  # of a family's members, the deepest first


def pictures(block: Block, looks: dict[str, Look]) -> Iterator[Picture]:
    """Draw a profile and the mean ranks of a block with several targets.

    Args:
        block: the records that are shown.
        looks: colour and mark by family.

    Yields:
        Pictures named ``profile`` and ``ranks``; none for a single target, fewer than three or more than 40
        posteriors that have a run on every target, or a block without a metric that ranks.
    """
    try:
        every = scores(block, metric_of(block, None)).everywhere()
    except InputError:
        return
    if len(every.targets) < 2 or not 3 <= len(every.posteriors) <= _MOST or not np.isfinite(every.values).any():
        return
    rows = {row["posterior"]: row for row in block.rows.to_dict("records")}
    yield _profile(block, every, rows, looks)
    pairs = pairwise(every)
    if pairs.blocks >= _FEWEST:
        yield _ranks(block, pairs, rows, looks)


def _profile(block: Block, every: Scores, rows: dict[str, dict[Any, Any]], looks: dict[str, Look]) -> Picture:
    excess = every.excess[np.isfinite(every.excess)]
    positive = excess[excess > 0]
    low, high = (float(np.quantile(positive, q)) for q in (0.01, 1.0)) if len(positive) else (0.001, 1.0)
    distances = np.geomspace(max(low, 1e-4) / 2, max(high, 2e-4) * 1.2, _POINTS)
    figure, (axis,) = panels(1, size=(6.4, 3.4))
    for posterior, shares in profiles(every, distances).items():
        row = rows[posterior]
        members = sorted({other["K"] for other in rows.values() if other["family"] == row["family"]}, reverse=True)
        colour, _, own = looks[row["family"]]
        line = _LINES[min(members.index(row["K"]), len(_LINES) - 1)] if len(members) > 1 else own
        style: dict[str, Any] = {"color": colour, "linestyle": line, "linewidth": 1.4}
        axis.plot(distances, shares, drawstyle="steps-post", label=title(row), **style)
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter("{x:g}")
    axis.set_ylim(-0.02, 1.02)
    axis.set_xlabel(f"{_of(every)} at most")
    axis.set_ylabel("share of runs")
    legend(figure, [axis], line=3.0)
    caption = (
        f"Performance profile: the share of all runs, over {len(every.targets)} targets and their seeds, whose "
        f"{_of(every)} is at most the value on the axis; further up and to the left is better. A diverged run is never "
        f"counted. {block.protocol}."
    )
    return Picture("profile", caption, figure)


def _ranks(block: Block, pairs: Pairs, rows: dict[str, dict[Any, Any]], looks: dict[str, Look]) -> Picture:
    num, groups = len(pairs.posteriors), joined(pairs)
    figure, (axis,) = panels(1, size=(6.0, 0.26 * num + 0.7))
    for place, posterior in enumerate(pairs.posteriors):
        look = looks[rows[posterior]["family"]]
        axis.plot(pairs.ranks[place], place, color=look.colour, marker=look.mark, ms=6, ls="none")
        text: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": 7, "color": "0.35"}
        axis.annotate(f"{pairs.ranks[place]:.2f}", (pairs.ranks[place], place), (7, 0), **text)
    for column, (first, last) in enumerate(groups):
        axis.plot([num + 0.9 + 0.35 * column] * 2, [first - 0.25, last + 0.25], color="0.25", lw=3, clip_on=False)
    axis.set_yticks(range(num), labels=[title(rows[posterior]) for posterior in pairs.posteriors])
    axis.set_ylim(num - 0.5, -0.5)
    axis.set_xlim(0.5, num + 1.1 + 0.35 * len(groups))
    axis.set_xticks(range(1, num + 1, 1 + num // 12))
    axis.set_xlabel("mean rank, 1 the best")
    metric = measure(metric_of(block, None)).label
    joins = (
        "A bar joins posteriors no two of which differ"
        if groups
        else "Every two neighbours differ, so that no bar joins any"
    )
    caption = (
        f"Mean rank by {metric} over {pairs.blocks} pairs of a target and a seed; a diverged run has the last rank. "
        f"{joins} by a signed-rank test at 5 %, adjusted by Holm's method over all {num * (num - 1) // 2} pairs. "
        f"{block.protocol}."
    )
    return Picture("ranks", caption, figure)


def _of(every: Scores) -> str:
    """The excess in words."""
    title = measure(every.metric).title
    return title if not every.levels.any() else f"excess of {title} over the best mean of the target"
