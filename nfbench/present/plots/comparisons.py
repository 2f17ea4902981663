"""Who is best over all targets: performance profiles, ranks with groups that no test tells apart, who beats whom."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from nfbench.analysis.blocks import Block
from nfbench.analysis.overall import Pairs, joined, pairwise, wins
from nfbench.analysis.profiles import profiles
from nfbench.analysis.scores import Scores, metric_of, scores
from nfbench.analysis.summary import LEVEL
from nfbench.foundation.errors import InputError
from nfbench.present.plots.looks import Line, Look, ink
from nfbench.present.plots.style import Picture, legend, panels, title
from nfbench.records.glossary import measure

_FEWEST = 6  # pairs of a target and a seed: with five, no signed-rank test can be significant
_POINTS = 400
_MOST = 40  # posteriors in a picture
_SHARE = 170.0  # square points of a disc that stands for all blocks
_LINES: tuple[Line, ...] = ("-", (0, (5, 1.5)), (0, (2, 1.2)), (0, (1, 1)))  # of a family's members, the deepest first


def pictures(block: Block, looks: dict[str, Look]) -> Iterator[Picture]:
    """Draw a profile and the mean ranks of a block with several targets.

    Args:
        block: the records that are shown.
        looks: colour and mark by family.

    Yields:
        Pictures named ``profile``, ``ranks`` and ``wins``; none for a single target, fewer than three or more than 40
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
        yield _wins(block, every, pairs, rows, looks)


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
        taken, times = np.unique(pairs.each[place], return_counts=True)
        shares: dict[str, Any] = {"s": _SHARE * times / pairs.blocks, "color": look.colour, "alpha": 0.3, "lw": 0}
        axis.scatter(taken, np.full(len(taken), place), gid=f"shares {posterior}", **shares)
        axis.plot(pairs.ranks[place], place, color=look.colour, marker=look.mark, ms=6, ls="none", mec="white", mew=0.6)
    for column, (first, last) in enumerate(groups):
        axis.plot([num + 0.9 + 0.35 * column] * 2, [first - 0.25, last + 0.25], color="0.25", lw=3, clip_on=False)
    names = [title(rows[posterior]) for posterior in pairs.posteriors]
    axis.set_yticks(range(num), labels=[f"{name}  {rank:.2f}" for name, rank in zip(names, pairs.ranks, strict=True)])
    axis.set_ylim(num - 0.5, -0.5)
    axis.set_xlim(0.5, num + 1.1 + 0.35 * len(groups))
    axis.set_xticks(range(1, num + 1, 1 + num // 12))
    axis.set_xlabel("rank, 1 the best")
    metric = measure(metric_of(block, None)).label
    joins = (
        "A bar joins posteriors no two of which differ"
        if groups
        else "Every two neighbours differ, so that no bar joins any"
    )
    caption = (
        f"Rank by {metric} over {pairs.blocks} pairs of a target and a seed: the mark and the number are their "
        "mean, the area of a disc is how often the posterior had that rank; a diverged run has the last one. "
        f"{joins} by a signed-rank test at 5 %, adjusted by Holm's method over all {num * (num - 1) // 2} pairs. "
        f"{block.protocol}."
    )
    return Picture("ranks", caption, figure)


def _wins(
    block: Block, every: Scores, pairs: Pairs, rows: dict[str, dict[Any, Any]], looks: dict[str, Look]
) -> Picture:
    num, order = len(pairs.posteriors), [every.posteriors.index(posterior) for posterior in pairs.posteriors]
    shares, apart = wins(every)[np.ix_(order, order)], pairs.p < 1 - LEVEL
    names = [title(rows[posterior]) for posterior in pairs.posteriors]
    side, letters = max(0.24 * num, 1.6), 0.068 * max(map(len, names)) + 0.35
    figure, (axis,) = panels(1, size=(side + letters + 1.1, side + 0.75 * letters + 0.4))
    axis.grid(visible=False)
    drawn = np.ma.masked_array(shares, np.eye(num, dtype=bool))
    image = axis.imshow(drawn, cmap="PuOr_r", vmin=0.0, vmax=1.0, aspect="equal")
    y, x = np.nonzero(apart)
    axis.plot(x, y, marker="o", ms=3.2, color="black", mfc="white", mew=0.7, ls="none", gid="apart")
    axis.set_yticks(range(num), labels=names, fontsize=7)
    axis.xaxis.tick_top()
    axis.set_xticks(range(num), labels=names, fontsize=7, rotation=50, ha="left", rotation_mode="anchor")
    axis.tick_params(length=0)
    for label, posterior in zip(axis.get_yticklabels(), pairs.posteriors, strict=True):
        label.set_color(ink(looks[rows[posterior]["family"]].colour))
    bar = figure.colorbar(image, ax=axis, shrink=min(1.0, 1.6 / side), ticks=[0, 0.25, 0.5, 0.75, 1])
    bar.set_label("P(row better than column)", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    sure = int(apart.sum()) // 2
    caption = (
        f"Who beats whom by {measure(every.metric).label}: the probability that a run of the row is better than a run "
        f"of the column on the same target, the mean over {len(every.targets)} targets; the best mean rank stands "
        f"first. Dot: the two differ by a signed-rank test at 5 %, adjusted by Holm's method ({sure} of "
        f"{num * (num - 1) // 2} pairs do). A diverged run loses to every other. {block.protocol}."
    )
    return Picture("wins", caption, figure)


def _of(every: Scores) -> str:
    """The excess in words."""
    title = measure(every.metric).title
    return title if not every.levels.any() else f"excess of {title} over the best mean of the target"
