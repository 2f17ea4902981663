"""Tables of timings: every contender, nfbench against the others, and how time and memory grow."""

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pandas as pd

from nfbench.analysis.scaling import exponents, memory
from nfbench.analysis.timing_blocks import (
    CASE,
    COMPILE,
    OURS,
    SIZES,
    SPLIT,
    TEXTBOOK,
    TimingBlock,
    blocks,
    three_digits,
)
from nfbench.analysis.timings import against
from nfbench.foundation.names import unknown
from nfbench.present.tables.choose import EVERYTHING, Choice
from nfbench.present.tables.labels import depth
from nfbench.present.tables.latex import latex
from nfbench.present.tables.render import NOTHING, Table, markdown, number, quartiles, significant
from nfbench.records.glossary import MODES
from nfbench.specification.choices import FORMATS, Format

_TIMES = ((1e-2, 1e6, "µs"), (1e2, 1e3, "ms"), (float("inf"), 1.0, "s"))  # up to this largest value, factor, name
_MEMORY = ((2.0**13, 1.0, "bytes"), (2.0**23, 2.0**-10, "KiB"), (float("inf"), 2.0**-20, "MiB"))


class _Unit(NamedTuple):
    factor: float
    name: str


def table(frame: pd.DataFrame, fmt: Format, choice: Choice = EVERYTHING) -> str:
    """All timings as text; CSV has one row a record, JSON also the comparisons and the fits.

    Args:
        frame: a table of timings.
        fmt: ``md``, ``latex``, ``csv`` or ``json``.
        choice: which rows and columns, and in what order; of JSON, which rows only.

    Returns:
        The text, with all tables one below the other.

    Raises:
        InputError: unknown format, or a choice that the table does not have.
    """
    if fmt not in FORMATS:
        raise unknown("table format", fmt, FORMATS)
    if fmt == "csv":
        return choice.frame(frame).to_csv(index=False)
    frame = choice.rows(frame)
    if fmt == "json":
        parts = {"records": frame, "against": against(frame), "exponents": exponents(frame), "memory": memory(frame)}
        return json.dumps({name: _plain(part) for name, part in parts.items()}, indent=1, allow_nan=False) + "\n"
    return "\n".join((markdown if fmt == "md" else latex)(each) for each in choice.tables(tables(frame)))


def _plain(frame: pd.DataFrame) -> list[dict[Any, Any]]:
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def tables(frame: pd.DataFrame) -> list[Table]:
    """Of each block: the comparison, every contender, and the fits that its sweeps allow.

    Args:
        frame: a table of timings.

    Returns:
        Up to four tables a block.
    """
    return [table for block in blocks(frame) for table in _tables(block)]


def _tables(block: TimingBlock) -> list[Table]:
    return [_without_empty(part) for make in (_against, _contenders, _exponents, _memory) if (part := make(block)).rows]


def _without_empty(table: Table) -> Table:
    """The table without those of its results that no row has."""
    columns = [i for i in range(len(table.head)) if i < table.leading or any(row[i] != NOTHING for row in table.rows)]
    rows = [[row[i] for i in columns] for row in table.rows]
    return table._replace(head=[table.head[i] for i in columns], rows=rows)


def key(row: dict[Any, Any]) -> tuple[str, ...]:
    """A row's case as text, `row -> key`: ``timing`` and the values of `CASE`, of which a missing one is empty.

    Args:
        row: of a table of timings.
    """
    return ("timing", *("" if pd.isna(row[name]) else str(row[name]) for name in CASE))


def fit_key(row: dict[Any, Any]) -> tuple[str, ...]:
    """The records that a line was fitted to as text, `row -> key`: ``timing``, their source and their ids.

    Args:
        row: of `exponents` or `memory`.
    """
    return ("timing", row["source"], *row["records"])


def protocol(block: TimingBlock) -> str:
    """What was timed, and where, `block -> sentences`: mode, machine, threads, device, precision, profile and source.

    Args:
        block: the timings of a table.
    """
    return (
        f"Mode {block.mode}: {MODES[block.mode]}. Machine: {block.machine}; {block.number_of_threads}, device "
        f"{block.device}, {block.dtype}. Profile {block.profile}, {block.source} records."
    )


def _unit(values: pd.Series, units: Sequence[tuple[float, float, str]]) -> _Unit:
    """One unit for all values, so that a column can be read down."""
    largest = values.max()
    return next(_Unit(factor, name) for most, factor, name in units if not largest > most)


def _sizes(block: TimingBlock) -> dict[str, str]:
    """The columns that tell cases apart, with their heads: of a step its target and E, which say the rest."""
    names = (
        {"target": "step on", "label": "Posterior"}
        if block.is_step
        else {"label": "Posterior", "amortized": "amortized"}
    )
    names |= {"K": "K", "draws": "S", "batch": "B", "dim": "D"}
    return names | ({"seeds": "E"} if block.is_step else {})


def _facts(row: dict[Any, Any], names: dict[str, str]) -> list[str]:
    return _texts(row | {"K": depth(row)}, names)


def _texts(row: dict[Any, Any], names: dict[str, str]) -> list[str]:
    texts = row | {"amortized": "yes" if row["amortized"] else "no"}
    texts |= {"target": str(row["target"]).replace(",", ", ")}  # so that a line may break
    return [
        NOTHING if pd.isna(text) else str(text) if isinstance(text, str) else f"{text:,}"
        for text in map(texts.get, names)
    ]


def _spread(row: dict[Any, Any], name: str, factor: float = 1.0) -> str:
    low, high = (f"{name}_low", f"{name}_high") if name != "median" else ("low", "high")
    return quartiles(*(row.get(part) for part in (name, low, high)), factor=factor)


def _contenders(block: TimingBlock) -> Table:
    """Every contender of every case: its time, and what makes it comparable."""
    records, names, step = block.rows.to_dict("records"), _sizes(block), block.is_step
    unit, memory_unit = _unit(block.rows["median"], _TIMES), _unit(block.rows["peak_bytes"], _MEMORY)
    measured = [f"time ({unit.name})", *(("models", "textbook steps", "a model", "times bare") if step else ())]
    measured += ["times nfbench" + (", a model" if step else ""), "deviation", "of the floor (%)", "bound"]
    measured += [f"peak ({memory_unit.name})", "compile (s)", "remark"]
    head = [*names.values(), "Contender", *measured]
    rows = [
        [*_facts(row, names), row["version"], *_measured(row, unit, memory_unit, step=step), row["remark"] or NOTHING]
        for row in records
    ]
    keys = [key(row) for row in records]
    heading = f"{block.title}: every contender"
    return Table(heading, protocol(block), head, rows, keys, _notes(block), leading=len(names) + 1, folded=True)


def _measured(row: dict[Any, Any], unit: _Unit, memory_unit: _Unit, *, step: bool) -> list[str]:
    done = row["status"] == "done"
    cells = [_spread(row, "median", unit.factor) if done else row["status"]]
    if step:
        cells += [str(row["models"]) if done else NOTHING, _spread(row, "steps")]
        cells += [_spread(row, "steps", 1 / row["models"]), _spread(row, "bare")]
    cells += ["1" if row["contender"] == OURS and not row["remark"] else _spread(row, "ratio")]
    cells += [NOTHING if pd.isna(row["error"]) else f"{row['error']:.0e}"]
    cells += [significant(_percent(row, "fraction"), 2), NOTHING if pd.isna(row["binds"]) else row["binds"]]
    peak = None if pd.isna(row["peak_bytes"]) else row["peak_bytes"] * memory_unit.factor
    return [*cells, significant(peak), number(row["compile_seconds"])]


def _percent(row: dict[Any, Any], name: str) -> float | None:
    return None if pd.isna(row[name]) else 100 * row[name]


def _against(block: TimingBlock) -> Table:
    """Nfbench's time of every case, with the ratios of the others to it."""
    unit, names, step = _unit(block.rows["median"], _TIMES), _sizes(block), block.is_step
    head = [
        *names.values(),
        f"nfbench ({unit.name})",
        *(["textbook steps", "times bare"] if step else []),
        "fastest peer",
    ]
    sides = [COMPILE, *([SPLIT] if SPLIT in set(block.rows["contender"]) else []), TEXTBOOK]
    head += ["against it", *(f"against {side}" for side in sides), "of the floor (%)", "bound", "pace (%)"]
    rows, keys = [], []
    for row in against(block.rows).to_dict("records"):
        cells = [*_facts(row, names), _spread(row, "median", unit.factor)]
        cells += [_spread(row, "steps"), _spread(row, "bare")] if step else []
        cells += [row["peer"], *(_spread(row, f"{side}_ratio") for side in ("peer", *sides))]
        cells += [significant(_percent(row, "fraction"), 2), NOTHING if pd.isna(row["binds"]) else row["binds"]]
        rows.append([*cells, significant(_percent(row, "pace"), 2)])
        keys.append(key(row))
    notes = [
        "Against another: its time" + (" a model" if step else "") + " over nfbench's, round by round: median with "
        "quartiles. Above 1, nfbench is faster. A dash: not timed, not in turn with nfbench, or not in agreement.",
        "Pace: this machine's rate of a matrix product around the case, in % of its best in all records. Where it is "
        "low, something held the machine up, and times are long; so are the others', but not a floor of bytes.",
    ]
    if SPLIT in sides:
        notes += [
            "Numbers of each data point's own reach textbook and compile as an inference network puts them out, one "
            "tensor a kind that every map slices; split is compile with a tensor for each map, which nothing slices."
        ]
    heading = f"{block.title}: nfbench against the others"
    return Table(heading, protocol(block), head, rows, keys, notes, leading=len(names))


def _notes(block: TimingBlock) -> list[str]:
    rows, step = block.rows, block.is_step
    done = rows[rows["status"] == "done"]
    notes = [
        f"Times are medians over {_span(done['rounds'])} rounds, with quartiles in brackets. The contenders of a run "
        "are timed in turn, round by round, and 'times nfbench' is the quotient of two times of one round"
        + (", each divided by the number of models trained" if step else "")
        + ": median with quartiles; above 1, nfbench is faster.",
        "Deviation: the largest from the float64 reference, relative to the largest value of that output. Quotients "
        "and fractions are given only where it is within the case's tolerance "
        f"({_span(rows['tolerance'], '{:.0e}'.format)}), on both sides.",
    ]
    if step:
        notes += [
            "Textbook steps: time in units of the textbook's step of one model, round by round; then the same for each "
            "model trained. Bare: the matrix products and the optimizer pass of the step alone, timed in the same run."
        ]
    if done["floor_seconds"].notna().any():
        notes += [
            "Floor: the bytes that must move at the measured copy bandwidth, "
            f"{_span(done['bandwidth'] / 1e9, three_digits)} GB/s, or the flops at the measured rate of a matrix "
            f"product, {_span(done['rate'] / 1e9, three_digits)} Gflop/s, whichever takes longer (the bound). Data "
            "that stay in a cache can beat the first."
        ]
    libraries = {part for text in rows["libraries"] for part in text.split(", ") if part}
    own = {f"nfbench {version}" for version in rows["nfbench"].dropna()}
    return [*notes, f"Versions: {', '.join([*sorted(own), *sorted(libraries - own)])}."]


def _span(values: pd.Series, form: Callable[[float], str] = str) -> str:
    """The least and the largest value as text, once where both read alike."""
    known = sorted(set(values.dropna()))
    texts = list(dict.fromkeys(form(value) for value in (known[:1] + known[-1:])))
    return " to ".join(texts) or "no"


def _exponents(block: TimingBlock) -> Table:
    names = _sizes(block)
    head = [*names.values(), "Contender", "size", "from", "to", "n", "exponent a", "s.e.", "95 % interval"]
    rows, keys = [], []
    for row in exponents(block.rows).to_dict("records"):
        cells = [*_swept(row, names), row["version"], row["size"], f"{row['first']:g}", f"{row['last']:g}"]
        cells += [str(row["n"]), f"{row['slope']:.3f}", f"{row['se']:.3f}", f"[{row['low']:.3f}, {row['high']:.3f}]"]
        rows.append(cells)
        keys.append(fit_key(row))
    note = (
        "time = c size^a by least squares of log time (the median) on log size, all else equal; n sizes, Student's t. "
        "An exponent below 1 says that a fixed cost, such as dispatch, has a share; a wide interval, that no one power "
        "law holds over the sweep."
    )
    heading = f"{block.title}: how time grows"
    return Table(heading, protocol(block), head, rows, keys, [note], leading=len(names) + 2, folded=True)


def _memory(block: TimingBlock) -> Table:
    names = _sizes(block)
    head = [*names.values(), "Contender", "from", "to", "n", "bytes a layer", "95 % interval"]
    head += ["bytes a layer and draw", "bytes of a draw's z"]
    rows, keys = [], []
    for row in memory(block.rows).to_dict("records"):
        cells = [*_swept(row, names), row["version"], f"{row['first']:g}", f"{row['last']:g}", str(row["n"])]
        cells += [f"{row['slope']:,.0f}", f"[{row['low']:,.0f}, {row['high']:,.0f}]", significant(row["per_draw"])]
        rows.append([*cells, str(row["vector"])])
        keys.append(fit_key(row))
    note = (
        "Slope of peak memory against K by least squares, Student's t; the last but one column divides it by S B, the "
        "last is D numbers. What keeps z of every layer grows by at least that; what rebuilds it grows by scalars. "
        "Amortized parameters and their gradients grow with K for every data point, and count."
    )
    heading = f"{block.title}: how peak memory grows with K"
    return Table(heading, protocol(block), head, rows, keys, [note], leading=len(names) + 1, folded=True)


def _swept(row: dict[Any, Any], names: dict[str, str]) -> list[str]:
    """The facts of a sweep, with its letter in place of what varies."""
    letters = {name: letter for name, letter in SIZES.items() if row.get(name) is None or pd.isna(row[name])}
    return _texts(row | {"K": depth(row)} | letters, names)
