"""What each variation of an experiment moves: differences to the grid as it is, a panel a metric."""

import itertools
from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nfbench.analysis.blocks import Block
from nfbench.analysis.variations import Move, by_recipe
from nfbench.present.plots.looks import Look
from nfbench.present.plots.style import Picture, legend, panels, title
from nfbench.records.glossary import measure

_WIDE = 20.0  # nats, above which a panel is logarithmic beyond one nat
_APART = 0.16  # of the distance between two variations, by which posteriors stand apart


def pictures(rows: pd.DataFrame, looks: dict[str, Look]) -> Iterator[tuple[Block, Picture]]:
    """One picture for each profile, source and recipe of the grid of records that have variations.

    Args:
        rows: records of one experiment.
        looks: colour and mark by family.

    Yields:
        The block of the grid as it is, and a picture named ``variations``; none where no variation is done beside it.
    """
    for block, found in by_recipe(rows):
        moved = [move for move in found if move.moves]
        if block is not None and moved:
            yield block, Picture("variations", _caption(block), _figure(moved, looks))


def _figure(moved: list[Move], looks: dict[str, Look]) -> Figure:
    names = list(dict.fromkeys(move.variation for move in moved))
    metrics = list(dict.fromkeys(name for move in moved for name in move.moves))
    targets = list(dict.fromkeys(move.place[0] for move in moved))
    shown = list(itertools.product(targets, metrics))
    figure, axes = panels(len(shown), columns=len(metrics), size=(2.6, 0.34 * len(names) + 0.8))
    for place, (axis, (target, metric)) in enumerate(zip(axes, shown, strict=True)):
        own = [move for move in moved if move.place[0] == target]
        _panel(axis, own, metric, names, looks)
        if len(targets) > 1:
            axis.set_title(str((own[0].base or own[0].row)["target_label"]))
        axis.tick_params(labelleft=place % len(metrics) == 0)
    legend(figure, axes)
    return figure


def _panel(axis: Axes, moved: list[Move], metric: str, names: list[str], looks: dict[str, Look]) -> None:
    posteriors = list(dict.fromkeys(str(move.row["posterior"]) for move in moved))
    for move in moved:
        difference, look = move.moves.get(metric), looks[str(move.row["family"])]
        if difference is None or difference.mean is None:
            continue
        middle = (len(posteriors) - 1) / 2
        place = names.index(move.variation) + _APART * (posteriors.index(str(move.row["posterior"])) - middle)
        few = difference.low is None  # seeds for an interval: then the ends are those of the values
        both = (difference.least, difference.largest) if few else (difference.low, difference.high)
        ends = [end for end in both if end is not None]
        axis.plot(ends, [place] * len(ends), color=look.colour, lw=1.2)
        axis.plot(
            difference.mean, place, color=look.colour, marker=look.mark, ms=5, ls="none", label=title(dict(move.row))
        )
    axis.axvline(0, color="0.6", lw=0.8, ls=":", zorder=0)
    if max(map(abs, axis.get_xlim())) > _WIDE:
        axis.set_xscale("symlog", linthresh=1.0)
    axis.set_yticks(range(len(names)), labels=[name.replace("$", r"\$") for name in names])  # which begins formulas
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.set_xlabel(f"difference of {measure(metric).title}")


def _caption(block: Block) -> str:
    return (
        "What each variation moves: the mean over seeds of its difference to the grid as it is, seed by seed, with the "
        "95 % interval; of two seeds from one difference to the other. Lower is better. A panel with differences above "
        f"{_WIDE:g} nats is logarithmic beyond 1. {block.protocol}."
    )
