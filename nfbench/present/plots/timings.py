"""Pictures of timings: time against depth, ratios to the other contenders, and the roofline."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from seaborn import color_palette

from nfbench.analysis.timing_blocks import BARE, HOUSE, OURS, REFERENCE, SIZES, TimingBlock, cases, three_digits
from nfbench.present.plots.looks import MARKS, Look, ink
from nfbench.present.plots.style import Picture, legend, panels
from nfbench.records.glossary import MODES

_STYLES = ("-", "--", ":", "-.", (0, (9, 2)), (0, (5, 1, 1, 1, 1, 1)), (0, (1, 4)), (0, (9, 2, 3, 2)), (0, (3, 5)))
_NAMES = {"K": "K (maps)", "draws": "S (draws)", "batch": "B (data points)", "dim": "D (dimensions)"}
_NAMES |= {"seeds": "E (models)"}
_FEWEST = (3, 2)  # sizes that make a curve; the latter of K
_INK = "0.25"


def pictures(block: TimingBlock, looks: dict[str, Look]) -> Iterator[Picture]:
    """The pictures that one block's timings allow: time against sizes, ratios to nfbench's time, and the roofline.

    Products alone (the contender `BARE`), which train nothing, are in none.

    Args:
        block: the timings that are shown.
        looks: colour and mark by family.

    Yields:
        Pictures named ``<mode>-time-<letter>`` for each size that some family has several values of, then
        ``<mode>-ratios`` and ``<mode>-roofline``.
    """
    trained = replace(block, rows=block.rows[block.rows["contender"] != BARE])
    done = replace(block, rows=trained.rows[trained.rows["status"] == "done"])
    growths = (picture for size in SIZES for picture in _growth(done, looks, size))
    for picture in itertools.chain(growths, _ratios(trained, looks), _roofline(done, looks)):
        yield picture._replace(name=f"{block.mode}-{picture.name}")


def _where(block: TimingBlock) -> str:
    """What was timed, and where, for the end of a caption."""
    return (
        f"Mode {block.mode}: {MODES[block.mode]}. {block.machine}, {block.number_of_threads}, {block.device}, "
        f"{block.dtype}; {block.source} records, profile {block.profile}."
    )


def _sizes(row: dict[Any, Any], without: str = "K") -> str:
    """The sizes of a case as text; B and E where they are not one, K where the posterior has maps."""
    always = ("dim", "draws", *(["K"] if row["K"] else []))
    shown = {name: row[name] for name in SIZES if name in always or (name != "K" and row[name] != 1)}
    text = ", ".join(f"{SIZES[name]} = {size:,}" for name, size in shown.items() if name != without)
    return f"{text}{', amortized' if row['amortized'] else ''}"


def _target(row: dict[Any, Any]) -> str:
    return "" if pd.isna(row["target"]) else f"{row['target']}: "


def _growth(block: TimingBlock, looks: dict[str, Look], size: str) -> Iterator[Picture]:
    """Time against a size, a panel for each group of all others in which some family has several values of it."""
    same = ["target", "amortized", *(name for name in SIZES if name != size)]
    groups = [rows for _, rows in block.rows[block.rows[size] > 0].groupby(same, dropna=False, sort=False)]
    shown = [rows for rows in groups if rows.groupby("family")[size].nunique().max() >= _FEWEST[size == "K"]]
    if not shown:
        return
    lines = dict(zip(dict.fromkeys(block.rows["contender"]), _STYLES * 9, strict=False))
    figure, axes = panels(len(shown), columns=3, size=(3.2, 2.7))
    for axis, rows in zip(axes, shown, strict=True):
        _curves(axis, rows, size, looks, lines)
    _legends(figure, pd.concat(shown), looks, lines)
    yield Picture(
        f"time-{SIZES[size]}",
        f"Time against {_NAMES[size]}: median over rounds with quartiles. Colour and mark: family; line: contender; "
        f"hollow marks: results that do not agree with the float64 reference. {_where(block)}",
        figure,
    )


def _curves(axis: Axes, rows: pd.DataFrame, size: str, looks: dict[str, Look], lines: dict[str, Any]) -> None:
    for (family, contender), sweep in rows.groupby(["family", "contender"], sort=False):
        look, sweep = looks[str(family)], sweep.sort_values(size)
        wide = 1.6 if contender == OURS else 0.9
        axis.plot(sweep[size], 1e3 * sweep["median"], color=look.colour, ls=lines[str(contender)], lw=wide)
        axis.vlines(sweep[size], 1e3 * sweep["low"], 1e3 * sweep["high"], color=look.colour, lw=0.8)
        for agrees, points in sweep.groupby("agrees"):
            face = look.colour if agrees else "white"
            axis.plot(points[size], 1e3 * points["median"], color=look.colour, marker=look.mark, mfc=face, ms=4, ls="")
    axis.set(xscale="log", yscale="log", xlabel=_NAMES[size], ylabel="time (ms)")
    sizes = rows.iloc[0].to_dict()
    axis.set_title(_target(sizes) + _sizes(sizes, size))
    values = sorted(set(rows[size]))
    axis.set_xticks(values, labels=[f"{value:,}" for value in values])
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.minorticks_off()
    low, high = axis.get_ylim()
    axis.yaxis.set_major_locator(LogLocator(subs=(1.0,) if high > 100 * low else (1.0, 2.0, 5.0)))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _legends(figure: Figure, rows: pd.DataFrame, looks: dict[str, Look], lines: dict[str, Any]) -> None:
    labels = dict(zip(rows["family"], rows["label"], strict=True))
    families = [
        Line2D([], [], color=looks[name].colour, marker=looks[name].mark, ls="", label=label)
        for name, label in labels.items()
    ]
    shown = dict.fromkeys(rows["contender"])
    contenders = [
        Line2D([], [], color=_INK, ls=lines[name], lw=1.6 if name == OURS else 0.9, label=name) for name in shown
    ]
    legend(figure, (), [*contenders, *families], line=3.2)


def _ratios(block: TimingBlock, looks: dict[str, Look]) -> Iterator[Picture]:
    """How many times nfbench's time each contender takes: a line a case, a mark a contender.

    Cases that were timed beside the plain PyTorch reference alone are in the pictures of sizes; here they are left out,
    unless there is no other.
    """
    compared = block.rows[block.rows["ratio"].notna()]
    every = [case for case in cases(block.rows) if case["ratio"].notna().any()]
    beside = set(compared["contender"]) - {REFERENCE}
    lines = [case for case in every if case.loc[case["ratio"].notna(), "contender"].isin(beside).any()] or every
    if not lines:
        return
    contenders = sorted(dict.fromkeys(compared["contender"]), key=lambda name: name not in HOUSE)  # peers last
    facts = [case.iloc[0].to_dict() for case in lines]
    names = [f"{_target(case)}{case['label']}, {_sizes(case, '')}" for case in facts]
    figure, (axis,) = panels(1, size=(0.055 * max(map(len, names)) + 4.6, 0.19 * len(lines) + 0.6))
    axis.axvline(1, color="0.6", lw=0.8)
    for name, (colour, mark, face) in _contender_looks(contenders).items():
        rows = [(place, row) for place, case in enumerate(lines) for row in _of(case, name) if pd.notna(row["ratio"])]
        ratios, low, high = (np.array([row[part] for _, row in rows]) for part in ("ratio", "ratio_low", "ratio_high"))
        style: dict[str, Any] = {"color": colour, "marker": mark, "mfc": face, "ms": 4.5, "elinewidth": 0.8, "ls": ""}
        axis.errorbar(ratios, [place for place, _ in rows], xerr=[ratios - low, high - ratios], label=name, **style)
    _faults(axis, lines)
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_yticks(range(len(names)), labels=names, fontsize=7)
    for label, case in zip(axis.get_yticklabels(), facts, strict=True):
        label.set_color(ink(looks[case["family"]].colour))
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.tick_params(axis="y", length=0)
    axis.set_xlabel("times the time of nfbench" + _a_model(block))
    legend(figure, [axis])
    left = f"{len(every) - len(lines)} case{'' if len(every) - len(lines) == 1 else 's'}"
    cut = f"Left out: {left} that were timed beside the reference alone. " if len(lines) < len(every) else ""
    yield Picture(
        "ratios",
        f"Time{_a_model(block)} of each contender over nfbench's in the same round: median with quartiles; right of "
        f"the line nfbench is faster. No mark: the contender has no such map or mode, or was not timed. {cut}"
        f"{_absent(block.rows, contenders)}{_where(block)}",
        figure,
    )


def _of(case: pd.DataFrame, contender: str) -> list[dict[Any, Any]]:
    return list(case[case["contender"] == contender].to_dict("records"))


def _contender_looks(contenders: list[str]) -> dict[str, tuple[Any, str, Any]]:
    """Colour, mark and face of each: grey and hollow for our own other ways, a filled colour for each library."""
    own = [name for name in contenders if name in HOUSE]
    peers = [name for name in contenders if name not in HOUSE]
    greys = {name: (str(0.3 + 0.4 * place / max(len(own) - 1, 1)), "white") for place, name in enumerate(own)}
    filled = {name: (colour, colour) for name, colour in zip(peers, color_palette("dark", len(peers)), strict=True)}
    return {
        name: (colour, MARKS[place % len(MARKS)], face)
        for place, (name, (colour, face)) in enumerate((greys | filled).items())
    }


def _absent(rows: pd.DataFrame, shown: list[str]) -> str:
    """Which contenders have no ratio in any case, and why."""
    rest = rows[~rows["contender"].isin([OURS, *shown])].to_dict("records")
    reasons: dict[str, dict[str, None]] = {}
    for row in rest:
        reasons.setdefault(row["contender"], {})[_why(row)] = None
    text = ", ".join(f"{name} ({', '.join(words)})" for name, words in reasons.items())
    return f"In no case a ratio: {text}. " if text else ""


def _a_model(block: TimingBlock) -> str:
    return " for a model" if block.is_step else ""


def _faults(axis: Axes, lines: list[pd.DataFrame]) -> None:
    """At the right of a line, whose time may not be compared, and why; that a contender lacks a map is no fault."""
    style: dict[str, Any] = {"ha": "left", "va": "center", "fontsize": 6.5, "color": "#b3261e"}
    for place, case in enumerate(lines):
        rows = case[(case["contender"] != OURS) & case["ratio"].isna() & (case["status"] != "lacking")]
        text = "; ".join(f"{row['contender']}: {_why(row)}" for row in rows.to_dict("records"))
        if text:
            axis.text(1.01, place, text, transform=axis.get_yaxis_transform(), **style)


def _why(row: dict[Any, Any]) -> str:
    """In a word or two, why a contender that was timed has no ratio."""
    if row["status"] != "done":
        return str(row["status"])
    if not row["agrees"]:
        return "no agreement"
    return "another run" if "in turn" in row["remark"] else "no ratio"


def _roofline(block: TimingBlock, looks: dict[str, Look]) -> Iterator[Picture]:
    """Flops a second reached against flops a byte, under the two measured ceilings."""
    shown = block.rows[block.rows["fraction"].notna() & (block.rows["floor_bytes"] > 0)]
    shown = shown[shown["floor_flops"] > 0]
    if shown.empty:
        return
    figure, (axis,) = panels(1, size=(5.6, 3.6))
    x, y = shown["floor_flops"] / shown["floor_bytes"], shown["floor_flops"] / shown["median"] / 1e9
    bandwidth, rate = shown["bandwidth"].median(), shown["rate"].median() / 1e9
    span = np.geomspace(min(x.min(), 1e9 * rate / bandwidth) / 2, max(x.max(), 1e9 * rate / bandwidth) * 2, 200)
    axis.plot(span, np.minimum(span * bandwidth / 1e9, rate), color=_INK, lw=1.4)
    for family, rows in shown.groupby("family", sort=False):
        look = looks[str(family)]
        for ours, points in rows.groupby(rows["contender"] == OURS):
            style: dict[str, Any] = {"color": look.colour, "marker": look.mark, "ls": "", "ms": 5 if ours else 3.5}
            style |= {} if ours else {"mfc": "none", "alpha": 0.6, "mew": 0.7}
            axis.plot(x[points.index], y[points.index], **style, label=points["label"].iloc[0] if ours else None)
    axis.set(xscale="log", yscale="log", xlabel="flops for each byte that must move", ylabel="Gflop/s reached")
    _ceilings(axis, float(bandwidth), float(rate), span)
    others = Line2D([], [], color=_INK, marker="o", mfc="none", ms=3.5, mew=0.7, ls="", label="other contenders")
    legend(figure, [axis], [others] if (shown["contender"] != OURS).any() else [])
    yield Picture(
        "roofline",
        "Flops that the mathematics needs, over the time taken, against the same flops over the bytes that it must "
        "move. Filled: nfbench; hollow: other contenders that agree with the reference. The roof is what this machine "
        "was measured to do: a copy (slope) and a matrix product (level); data that stay in a cache can lie above the "
        f"slope. {_where(block)}",
        figure,
    )


def _ceilings(axis: Axes, bandwidth: float, rate: float, span: np.ndarray) -> None:
    """Say what the two ceilings are, where no marks are: above them."""
    style: dict[str, Any] = {"fontsize": 8, "color": _INK}
    axis.text(span[-1], 1.25 * rate, f"matrix product, {three_digits(rate)} Gflop/s", ha="right", **style)
    x, slope = 1.2 * span[0], 1.25 * bandwidth / 1e9
    style |= {"rotation": float(np.degrees(np.arctan(slope))), "rotation_mode": "anchor"}
    axis.text(x, x * slope, f"copy, {three_digits(bandwidth / 1e9)} GB/s", transform_rotates_text=True, **style)
