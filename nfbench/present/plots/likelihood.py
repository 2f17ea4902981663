"""Bounds and likelihoods of models of data: a point with its interval for every posterior."""

from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes

from nfbench.analysis.blocks import Block
from nfbench.analysis.summary import summary
from nfbench.present.plots.looks import Look
from nfbench.present.plots.style import (
    Picture,
    estimated,
    half_interval,
    named,
    panels,
    title,
    two_values,
    with_interval,
)
from nfbench.records.glossary import measure

_METRICS = ("free_energy", "nll", "gap")


def pictures(block: Block, looks: dict[str, Look]) -> Iterator[Picture]:
    """One picture for each target with a likelihood, a panel a metric.

    Args:
        block: the records that are shown.
        looks: colour and mark by family.

    Yields:
        Pictures named ``likelihood``; ``-<target>`` is added where the block has several targets.
    """
    for target, rows in summary(block.rows).groupby("target", sort=False):
        names = [name for name in _METRICS if name in rows and rows[name].notna().any()]
        if "nll" not in names:
            continue
        figure, axes = panels(len(names), columns=3, size=(2.6, 0.28 * len(rows) + 0.7))
        for axis, name in zip(axes, names, strict=True):
            _panel(axis, rows, name, looks)
        for axis in axes[1:]:
            axis.tick_params(labelleft=False)
        figure.suptitle(rows["target_label"].iloc[0], fontsize=10)
        yield Picture(named("likelihood", str(target), block), _caption(block), figure)


def _panel(axis: Axes, rows: pd.DataFrame, metric: str, looks: dict[str, Look]) -> None:
    labels = [title(row) for _, row in rows.iterrows()]
    halves, values = half_interval(rows, metric), two_values(rows, metric)
    for place, (_, row) in enumerate(rows.iterrows()):
        if pd.isna(row[metric]):
            axis.text(0.5, place, "no seed is done", transform=axis.get_yaxis_transform(), ha="center", va="center")
            continue
        look = looks[row["family"]]
        half = halves.iloc[place]
        axis.errorbar(row[metric], place, xerr=half, color=look.colour, marker=look.mark, ms=5, capsize=2.5, ls="none")
        axis.plot(values[place], [place] * len(values[place]), color=look.colour, marker=".", ms=4, ls="none")
    axis.set_yticks(range(len(labels)), labels=labels)
    axis.set_ylim(len(labels) - 0.5, -0.5)
    axis.set_xlabel(measure(metric).title)


def _caption(block: Block) -> str:
    return f"Mean over seeds, {with_interval(block)}; lower is better; {estimated(block)}. {block.protocol}."
