"""Pictures of timings: time against depth, ratios to the other contenders, and the roofline."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from nfbench.analysis.timings import BARE, HOUSE, OURS, SIZES, cases, three_digits
from nfbench.present.plots.style import Look, Picture, legend, panels
from nfbench.records.glossary import MODES

_LINES = ("-", "--", ":", "-.", (0, (9, 2)), (0, (5, 1, 1, 1, 1, 1)), (0, (1, 4)), (0, (9, 2, 3, 2)), (0, (3, 5)))
_NAMES = {"K": "K (maps)", "draws": "S (draws)", "batch": "B (data points)", "dim": "D (dimensions)"}
_NAMES |= {"seeds": "E (models)"}
_FEWEST = (3, 2)  # sizes that make a curve; the latter of K
_INK = "0.25"


def pictures(block: pd.DataFrame, looks: dict[str, Look]) -> Iterator[Picture]:
    """The pictures that one block's timings allow."""
    trained = block[block["contender"] != BARE]
    for picture in _drawn(trained, trained[trained["status"] == "done"], looks):
        yield picture._replace(name=f"{block['mode'].iloc[0]}-{picture.name}")


def _drawn(block: pd.DataFrame, done: pd.DataFrame, looks: dict[str, Look]) -> Iterator[Picture]:
    for size in SIZES:
        yield from _growth(done, looks, size)
    yield from _ratios(block, looks)
    yield from _roofline(done, looks)


def _where(block: pd.DataFrame) -> str:
    first = block.iloc[0]
    threads = f"{first['threads']} thread" + ("" if first["threads"] == 1 else "s")
    return (
        f"Mode {first['mode']}: {MODES[first['mode']]}. {first['machine']}, {threads}, {first['device']}, "
        f"{first['dtype']}; {first['source']} records, profile {first['profile']}."
    )


def _sizes(row: dict[Any, Any], without: str = "K") -> str:
    """The sizes of a case as text; B and E where they are not one, K where the posterior has maps."""
    always = ("dim", "draws", *(["K"] if row["K"] else []))
    shown = {name: row[name] for name in SIZES if name in always or (name != "K" and row[name] != 1)}
    text = ", ".join(f"{SIZES[name]} = {size:,}" for name, size in shown.items() if name != without)
    return f"{text}{', amortized' if row['amortized'] else ''}"


def _target(row: dict[Any, Any]) -> str:
    return "" if pd.isna(row["target"]) else f"{row['target']}: "


def _growth(block: pd.DataFrame, looks: dict[str, Look], size: str) -> Iterator[Picture]:
    """Time against a size, a panel for each group of all others in which some family has several values of it."""
    same = ["target", "amortized", *(name for name in SIZES if name != size)]
    groups = [rows for _, rows in block[block[size] > 0].groupby(same, dropna=False, sort=False)]
    shown = [rows for rows in groups if rows.groupby("family")[size].nunique().max() >= _FEWEST[size == "K"]]
    if not shown:
        return
    lines = dict(zip(dict.fromkeys(block["contender"]), _LINES * 9, strict=False))
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
    first = rows.iloc[0].to_dict()
    axis.set_title(_target(first) + _sizes(first, size))
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


def _ratios(block: pd.DataFrame, looks: dict[str, Look]) -> Iterator[Picture]:
    """How many times nfbench's time each contender takes: a column a contender, a line a case."""
    told = block[block["ratio"].notna()]
    timed = [name for name in dict.fromkeys(block["contender"]) if name in set(told["contender"])]
    others = sorted(timed, key=lambda name: name not in HOUSE)  # peers last
    lines = [case for case in cases(block) if case["ratio"].notna().any()]
    if not lines:
        return
    firsts = [case.iloc[0].to_dict() for case in lines]
    names = [f"{_target(first)}{first['label']}, {_sizes(first, '')}" for first in firsts]
    width = 0.055 * max(map(len, names)) + max(1.7 * len(others), 3.4)
    figure = Figure(figsize=(width, 0.19 * len(lines) + 0.9))
    axes = figure.subplots(1, len(others), sharex=True, sharey=True, squeeze=False).ravel().tolist()
    for axis, name in zip(axes, others, strict=True):
        _dots(axis, name, lines, looks)
    axes[0].set_yticks(range(len(names)), labels=names, fontsize=7)
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    figure.supxlabel("times the time of nfbench" + _a_model(block), fontsize=9)
    yield Picture(
        "ratios",
        f"Time{_a_model(block)} of each contender over nfbench's in the same round: median with quartiles; right of "
        f"the line nfbench is faster. A word in place of a mark says why there is no ratio. {_absent(block, others)}"
        f"{_where(block)}",
        figure,
    )


def _absent(block: pd.DataFrame, shown: list[str]) -> str:
    """Which contenders have no ratio in any case, and why."""
    rest = block[~block["contender"].isin([OURS, *shown])].to_dict("records")
    reasons: dict[str, dict[str, None]] = {}
    for row in rest:
        reasons.setdefault(row["contender"], {})[_why(row)] = None
    told = ", ".join(f"{name} ({', '.join(words)})" for name, words in reasons.items())
    return f"In no case a ratio: {told}. " if told else ""


def _a_model(block: pd.DataFrame) -> str:
    return " for a model" if block["mode"].iloc[0] == "step" else ""


def _dots(axis: Axes, name: str, lines: list[pd.DataFrame], looks: dict[str, Look]) -> None:
    axis.axvline(1, color="0.6", lw=0.8)
    for place, case in enumerate(lines):
        found = case[case["contender"] == name].to_dict("records")
        row = found[0] if found else None
        if row is None or pd.isna(row["ratio"]):
            why = "not timed" if row is None else _why(row)
            _word(axis, place, why)
            continue
        look, ends = looks[row["family"]], [[row["ratio"] - row["ratio_low"]], [row["ratio_high"] - row["ratio"]]]
        axis.errorbar(row["ratio"], place, xerr=ends, color=look.colour, marker=look.mark, ms=4, capsize=2, ls="")
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", color="0.92", linewidth=0.8)
    axis.set_title(name)
    axis.tick_params(axis="y", length=0)


def _word(axis: Axes, place: int, text: str) -> None:
    """Text in the middle of a line, clear of the lines behind it."""
    style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 6.5, "color": "0.45"}
    ground = {"facecolor": "white", "edgecolor": "none", "pad": 2.0}
    axis.text(0.5, place, text, transform=axis.get_yaxis_transform(), bbox=ground, **style)


def _why(row: dict[Any, Any]) -> str:
    """In a word or two, why a contender that was timed has no ratio."""
    if row["status"] != "done":
        return str(row["status"])
    if not row["agrees"]:
        return "no agreement"
    return "another run" if "in turn" in row["remark"] else "no ratio"


def _roofline(block: pd.DataFrame, looks: dict[str, Look]) -> Iterator[Picture]:
    """Flops a second reached against flops a byte, under the two measured ceilings."""
    told = block[block["fraction"].notna() & (block["floor_bytes"] > 0) & (block["floor_flops"] > 0)]
    if told.empty:
        return
    figure, (axis,) = panels(1, size=(5.6, 3.6))
    x, y = told["floor_flops"] / told["floor_bytes"], told["floor_flops"] / told["median"] / 1e9
    bandwidth, rate = told["bandwidth"].median(), told["rate"].median() / 1e9
    span = np.geomspace(min(x.min(), 1e9 * rate / bandwidth) / 2, max(x.max(), 1e9 * rate / bandwidth) * 2, 200)
    axis.plot(span, np.minimum(span * bandwidth / 1e9, rate), color=_INK, lw=1.4)
    for family, rows in told.groupby("family", sort=False):
        look = looks[str(family)]
        for ours, points in rows.groupby(rows["contender"] == OURS):
            style: dict[str, Any] = {"color": look.colour, "marker": look.mark, "ls": "", "ms": 5 if ours else 3.5}
            style |= {} if ours else {"mfc": "none", "alpha": 0.6, "mew": 0.7}
            axis.plot(x[points.index], y[points.index], **style, label=points["label"].iloc[0] if ours else None)
    axis.set(xscale="log", yscale="log", xlabel="flops for each byte that must move", ylabel="Gflop/s reached")
    _ceilings(axis, float(bandwidth), float(rate), span)
    others = Line2D([], [], color=_INK, marker="o", mfc="none", ms=3.5, mew=0.7, ls="", label="other contenders")
    legend(figure, [axis], [others] if (told["contender"] != OURS).any() else [])
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
