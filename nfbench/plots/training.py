"""Training curves: the bound on the training draws against the update, over seeds."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes

from nfbench.plots.style import Look, Picture, legend, panels, protocol
from nfbench.records import REFERENCE, path, read
from nfbench.statistics import curve_bands

_LINEAR = 0.1  # nats, below which the axis is linear where ln Z is known
_SHOWN = 0.9  # of the values, where no ln Z gives the axis a zero


def pictures(root: Path, block: pd.DataFrame, looks: dict[str, Look]) -> Iterator[Picture]:
    """One picture, a panel a target, of the deepest posterior of each family; none if no record holds curves."""
    done = block[block["status"] == "done"].sort_values("order")
    deepest = done[done["K"] == done.groupby(["target", "family"])["K"].transform("max")]
    bands = {}
    for key, rows in deepest.groupby(["target", "family"], sort=False):
        curves = [curve for curve in (_curve(root, row) for _, row in rows.iterrows()) if "free_energy" in curve]
        if curves:
            bands[key] = rows.iloc[0], curve_bands(curves)
    targets = list(dict.fromkeys(target for target, _ in bands))
    if not targets:
        return
    figure, axes = panels(len(targets))
    for axis, name in zip(axes, targets, strict=True):
        _panel(axis, [band for (target, _), band in bands.items() if target == name], looks)
    legend(figure, axes)
    yield Picture("training", _caption(block), figure)


def _curve(root: Path, row: pd.Series) -> dict[str, list[float | None]]:
    base = root / REFERENCE if row["source"] == REFERENCE else root
    return read(path(base, row["experiment"], row["id"])).curves


def _panel(axis: Axes, bands: list[tuple[pd.Series, pd.DataFrame]], looks: dict[str, Look]) -> None:
    log_z = bands[0][0]["log_z"]
    known = pd.notna(log_z)
    shift = float(log_z) if known else 0.0
    for row, band in bands:
        label = f"{row['label']}, K={row['K']}" if row["K"] else row["label"]
        colour = looks[row["family"]].colour
        axis.plot(band["step"], band["median"] + shift, color=colour, lw=1.3, label=label)
        axis.fill_between(band["step"], band["low"] + shift, band["high"] + shift, color=colour, alpha=0.18, lw=0)
    axis.set(xlabel="update", title=bands[0][0]["target_label"])
    axis.set_ylabel("F + ln Z (nats)" if known else "free energy (nats)")
    if known:
        axis.set_yscale("symlog", linthresh=_LINEAR, linscale=0.7)
        axis.axhline(0, color="0.6", lw=0.8)
        return
    low = pd.concat([band["low"] for _, band in bands]).min()
    top = pd.concat([band["high"] for _, band in bands]).quantile(_SHOWN)
    if top > low:
        axis.set_ylim(low - 0.05 * (top - low), top)


def _caption(block: pd.DataFrame) -> str:
    known = block["log_z"].notna().any()
    shift = ", with ln Z added where it is known, which makes it an estimate of the KL" if known else ""
    shift += f" (linear below {_LINEAR:g} nats)" if known else ""
    shift += "" if known else f" (the axis ends at the {_SHOWN:.0%} quantile: the first updates are far above)"
    return (
        f"Free energy on the training draws (at beta = 1){shift}; the deepest posterior of each family. Line: median "
        f"over the seeds that are done; band: 10 % to 90 %. {protocol(block)}."
    )
