"""How PSIS k-hat and the gap of the bound spread over data points."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from nfbench.analysis.blocks import Block
from nfbench.analysis.data_points import QUANTILES, DataPoints, spreads
from nfbench.present.plots.looks import Look
from nfbench.present.plots.style import Picture, named, panels, title
from nfbench.records.glossary import measure

MARKS = (0.5, 0.7)  # k-hat below the first: finite variance; above the second: not to be relied on
_TITLES = {"khat": "PSIS k-hat of a data point", "gap": f"{measure('gap').label} of a data point (nats)"}


def pictures(block: Block, data_points: Mapping[str, DataPoints], looks: dict[str, Look]) -> Iterator[Picture]:
    """One picture for each target whose records hold values of data points: a panel a quantity, a row a posterior.

    Args:
        block: the records that are shown.
        data_points: arrays of single data points, by record id.
        looks: colour and mark by family.

    Yields:
        Pictures named ``spread``; ``-<target>`` is added where the block has several targets.
    """
    for target, part in block.by_target():
        quantiles = {name: spreads(part.rows, data_points, name) for name in _TITLES}
        quantiles = {name: by_posterior for name, by_posterior in quantiles.items() if by_posterior}
        if not quantiles:
            continue
        posteriors = part.rows.sort_values("order").drop_duplicates("posterior").set_index("posterior", drop=False)
        posteriors = posteriors.loc[[name for name in posteriors.index if any(name in q for q in quantiles.values())]]
        figure, axes = panels(len(quantiles), size=(3.3, 0.23 * len(posteriors) + 0.6))
        for axis, (name, by_posterior) in zip(axes, quantiles.items(), strict=True):
            _panel(axis, posteriors, by_posterior, looks)
            axis.set_xlabel(_TITLES[name])
            _marks(axis) if name == "khat" else axis.axvline(0, color="0.6", lw=0.8, zorder=0)
        for axis in axes[1:]:
            axis.tick_params(labelleft=False)
        figure.suptitle(part.rows["target_label"].iloc[0], fontsize=10)
        yield Picture(named("spread", target, block), _caption(part, set(quantiles)), figure)


def _panel(axis: Axes, posteriors: pd.DataFrame, quantiles: dict[str, np.ndarray], looks: dict[str, Look]) -> None:
    """One quantity: a line for each row of `posteriors`, at the `QUANTILES` (5,) that are given by posterior."""
    values = np.stack(list(quantiles.values()))
    end = values[np.isfinite(values)].max(initial=1.0)
    for place, (posterior, row) in enumerate(posteriors.iterrows()):
        if posterior not in quantiles:
            continue
        low, lower, middle, upper, high = np.minimum(quantiles[str(posterior)], 1.5 * abs(end))
        look = looks[row["family"]]
        axis.plot([low, high], [place, place], color=look.colour, lw=1.0, solid_capstyle="butt")
        axis.plot([lower, upper], [place, place], color=look.colour, lw=4.5, alpha=0.55, solid_capstyle="butt")
        axis.plot(middle, place, color=look.colour, marker=look.mark, ms=5.5, mec="white", mew=0.6)
    axis.set_yticks(range(len(posteriors)), labels=[title(row) for _, row in posteriors.iterrows()])
    axis.set_ylim(len(posteriors) - 0.5, -0.5)
    if not np.isfinite(values).all():
        axis.set_xlim(right=1.05 * end)


def _marks(axis: Axes) -> None:
    for mark in MARKS:
        axis.axvline(mark, color="0.35", lw=0.9, ls=(0, (4, 2)), zorder=0)
        axis.annotate(f"{mark}", (mark, 1), (0, 2), xycoords=axis.get_xaxis_transform(), textcoords="offset points",
                      ha="center", fontsize=7, color="0.35")  # fmt: skip


def _caption(block: Block, quantities: set[str]) -> str:
    low, lower, _, upper, high = (f"{100 * part:g} %" for part in QUANTILES)
    khat = (
        f"k-hat is the tail's shape of a point's importance weights: below {MARKS[0]} their variance is finite, "
        f"above {MARKS[1]} (both dashed) the estimate of its -ln p(x) is not to be relied on. "
    )
    gap = "The gap F + ln p(x) of a single point has Monte-Carlo error, which can take it below 0. "
    return (
        f"Spread over test points and seeds: mark, median; bar, {lower} to {upper}; line, {low} to {high}. "
        f"{khat if 'khat' in quantities else ''}{gap if 'gap' in quantities else ''}{block.protocol}."
    )
