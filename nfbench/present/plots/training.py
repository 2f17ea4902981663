"""Training curves: the bound on the training draws against the update, over seeds."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from nfbench.analysis.blocks import Block
from nfbench.analysis.summary import curve_bands
from nfbench.present.plots.looks import Look
from nfbench.present.plots.style import Picture, legend, panels, title
from nfbench.records.results import StoredResults

_LINEAR = 0.1  # nats, below which the axis is linear where ln Z is known
_SHOWN = 0.9  # of the values after annealing, where no ln Z gives the axis a zero


def pictures(results: StoredResults, block: Block, looks: dict[str, Look]) -> Iterator[Picture]:
    """One picture, a panel a target, of the deepest posterior of each family; none if no record holds curves.

    Args:
        results: where the curves are.
        block: the records that are shown.
        looks: colour and mark by family.

    Yields:
        A picture named ``training``.
    """
    done = block.done.sort_values("order")
    deepest = done[done["K"] == done.groupby(["target", "family"])["K"].transform("max")]
    bands, annealed = {}, 0.0
    for key, rows in deepest.groupby(["target", "family"], sort=False):
        curves = [curve for row in _names(rows) if "free_energy" in (curve := results.curves(row))]
        if curves:
            bands[key] = rows.iloc[0], curve_bands(curves)
            annealed = max(annealed, *map(_annealed, curves))
    targets = list(dict.fromkeys(target for target, _ in bands))
    if not targets:
        return
    figure, axes = panels(len(targets), size=(3.5, 2.6) if len(targets) > 1 else (5.6, 3.0))
    for axis, name in zip(axes, targets, strict=True):
        _panel(axis, [band for (target, _), band in bands.items() if target == name], looks, annealed)
    legend(figure, axes)
    yield Picture("training", _caption(block), figure)


def _names(rows: pd.DataFrame) -> list[dict[Any, Any]]:
    """What tells which record a row is of."""
    return rows[["source", "id"]].to_dict("records")


def _annealed(curve: dict[str, list[float | None]]) -> float:
    """The last update of the curve in which beta was below 1."""
    points = zip(curve["step"], curve.get("beta", []), strict=False)
    return max((step for step, beta in points if step is not None and beta is not None and beta < 1), default=0.0)


def _panel(axis: Axes, bands: list[tuple[pd.Series, pd.DataFrame]], looks: dict[str, Look], annealed: float) -> None:
    log_z = bands[0][0]["log_z"]
    known = pd.notna(log_z)
    shift = float(log_z) if known else 0.0
    for row, band in bands:
        label, (colour, _, line) = title(row), looks[row["family"]]
        axis.plot(band["step"], band["median"] + shift, color=colour, ls=line, lw=1.3, label=label)
        axis.fill_between(band["step"], band["low"] + shift, band["high"] + shift, color=colour, alpha=0.18, lw=0)
    axis.set(xlabel="update", title=bands[0][0]["target_label"])
    axis.set_ylabel("F + ln Z (nats)" if known else "free energy (nats)")
    if known:
        axis.set_yscale("symlog", linthresh=_LINEAR, linscale=0.7)
        axis.axhline(0, color="0.6", lw=0.8)
        return
    if annealed:
        axis.axvspan(0, annealed, color="0.5", alpha=0.12, lw=0, label="annealing: beta < 1")
    ends = [band[band["step"] > annealed] if band["step"].max() > annealed else band for _, band in bands]
    low, top = min(float(end["low"].min()) for end in ends), max(float(end["high"].quantile(_SHOWN)) for end in ends)
    if top > low:
        axis.set_ylim(low - 0.05 * (top - low), top + 0.08 * (top - low))


def _caption(block: Block) -> str:
    if block.rows["log_z"].notna().any():
        shift = ", with ln Z added where it is known, which makes it an estimate of the KL"
        shift += f" (linear below {_LINEAR:g} nats)"
    else:
        shift = f"; the axis shows {100 * _SHOWN:g} % of every line after the annealing, what is above is cut"
    return (
        f"Free energy on the training draws (at beta = 1 throughout){shift}; the deepest posterior of each family. "
        f"Line: median over the seeds that are done; band: 10 % to 90 %. {block.protocol}."
    )
