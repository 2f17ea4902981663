"""What stored timings say: one row a record, and who may be compared with whom.

A *block* is what may stand in one table: one source, profile, mode, machine, device, number of threads and precision.
A *case* is the same work for every contender. A speed-up is a number only where both sides were timed in turn, in one
run, and both agree with the float64 reference; where it is not, the remark says why.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from nfbench.records.results import SOURCES, StoredResults
from nfbench.records.timings import Spread, Timing

OURS, TEXTBOOK, COMPILE, SPLIT = "nfbench", "textbook", "compile", "split"
BARE = "bare"  # what no program for a step can do without; it trains nothing, and no speed-up is formed with it
HOUSE = (OURS, TEXTBOOK, COMPILE, SPLIT, "reference", BARE)  # all others are peers, libraries of other people
WHERE = ("machine", "device", "threads", "dtype")  # what a rate is of
BLOCK = ("source", "profile", "mode", *WHERE)
SIZES = {"K": "K", "draws": "S", "batch": "B", "dim": "D", "seeds": "E"}  # columns with their letters
CASE = (*BLOCK, "target", "posterior", "amortized", "dim", "draws", "batch", "seeds")
ITEM_BYTES = {"float32": 4, "float64": 8}
_SORTED = (*BLOCK, "target", "place", "family", "amortized", "dim", "draws", "batch", "K", "seeds", "rank", "contender")


def timed(results: StoredResults) -> pd.DataFrame:
    """One row a timing record, own and reference; empty where there is none.

    Times are in seconds, `peak_bytes` in bytes. `ratio` is this contender's time for a model over nfbench's, round by
    round; `steps` is its time in units of the textbook's step of one model, `bare` in units of a step's bare matrix
    products; `fraction` is of the floor. All are missing where a comparison would mislead, and `remark` says why.
    `low` and `high` are quartiles. `pace` is the machine's rate of a matrix product around the case over its best in
    all these records: where it is low, something held the machine up, and times are long.
    """
    by_source: dict[str, list[Timing]] = {source: [] for source in SOURCES}
    for (source, _), timing in results.timing_records.items():
        by_source[source].append(timing)
    frame = pd.DataFrame([row for source, timings in by_source.items() for row in _rows(timings, source)])
    if frame.empty:
        return frame
    frame["place"] = frame.groupby([*BLOCK, "family"], dropna=False)["place"].transform("min")
    frame["rate"] = pd.to_numeric(frame["rate"])
    frame["pace"] = frame["rate"] / frame.groupby(list(WHERE), dropna=False)["rate"].transform("max")
    frame = frame.sort_values(list(_SORTED), kind="stable", ignore_index=True)
    return frame.drop(columns=["place", "rank"])


@dataclass(frozen=True, eq=False)
class TimingBlock:
    """Timings that may stand in one table, with what all of them have in common.

    Attributes:
        rows: of a table of timings, one a case and contender.
        source: ``own`` or ``reference``.
        profile: name of the budget.
        mode: what was timed; `MODES` of the glossary says it in words.
        machine: processor, cores, and the accelerator where one was used.
        device: torch device.
        threads: of the CPU.
        dtype: ``float32`` or ``float64``.
    """

    rows: pd.DataFrame
    source: str
    profile: str
    mode: str
    machine: str
    device: str
    threads: int
    dtype: str

    @classmethod
    def of(cls, rows: pd.DataFrame) -> Self:
        """The block of these rows.

        Args:
            rows: of a table of timings, at least one.

        Raises:
            ValueError: there is no row, or the rows are of several blocks.
        """
        if rows[list(BLOCK)].drop_duplicates().shape[0] != 1:
            raise ValueError(f"one block has one {', '.join(BLOCK)}; got {len(rows)} rows of another number of them")
        common = {name: rows[name].iloc[0] for name in BLOCK}
        return cls(rows, **(common | {"threads": int(common["threads"])}))

    @property
    def title(self) -> str:
        """Profile, mode and source, for the head of a table or the start of a sentence."""
        return f"timing, profile {self.profile}, {self.mode}, {self.source} records"

    @property
    def place(self) -> str:
        """Where it was timed: machine, threads, device and precision."""
        return f"{self.machine}; threads {self.threads}, {self.device}, {self.dtype}"

    @property
    def key(self) -> tuple[str, ...]:
        """What its rows have in common, as text in the order of `BLOCK`."""
        return tuple(str(getattr(self, name)) for name in BLOCK)

    @property
    def is_step(self) -> bool:
        """Whether training steps were timed, of which contenders train different numbers of models."""
        return self.mode == "step"

    @property
    def number_of_threads(self) -> str:
        """Such as ``1 thread``."""
        return f"{self.threads} thread{'' if self.threads == 1 else 's'}"


def blocks(frame: pd.DataFrame) -> Iterator[TimingBlock]:
    """The blocks of a table of timings, sorted by what their rows have in common."""
    if len(frame):
        for _, rows in frame.groupby(list(BLOCK), dropna=False, sort=True):
            yield TimingBlock.of(rows)


def cases(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Split a table of timings into its cases, each the rows of its contenders, in the order of the rows."""
    if len(frame):
        for _, rows in frame.groupby(list(CASE), dropna=False, sort=False):
            yield rows


def three_digits(value: float) -> str:
    """A rate or a bandwidth as it is printed, written out.

    >>> three_digits(3827.4), three_digits(10.84), three_digits(51240.0)
    ('3,830', '10.8', '51,200')
    """
    return f"{float(f'{value:.3g}'):,g}"


def _rows(timings: list[Timing], source: str) -> list[dict[str, Any]]:
    beside: dict[str, dict[str, Timing]] = {}
    for timing in timings:
        beside.setdefault(timing.case.model_dump_json(), {})[timing.contender] = timing
    return [_row(timing, case, source) for case in beside.values() for timing in case.values()]


def _row(timing: Timing, beside: dict[str, Timing], source: str) -> dict[str, Any]:
    facts, provenance = timing.facts, timing.provenance
    rank = HOUSE.index(timing.contender) if timing.contender in HOUSE else len(HOUSE)
    row: dict[str, Any] = {"source": source, "id": timing.id, "machine": _machine(timing)}
    row |= timing.case.model_dump()
    row |= {"family": facts.family, "label": facts.label, "cite": facts.cite, "K": facts.K, "place": facts.order[0]}
    row |= {"contender": timing.contender, "version": _version(timing), "rank": rank, "status": timing.status}
    row |= {"message": timing.message, "models": timing.models, "run": timing.run, "rounds": len(timing.seconds)}
    row |= _spread("", timing.spread if timing.status == "done" else None)
    row |= {"agrees": _agrees(timing), "error": None, "tolerance": None}
    if timing.agreement:
        row |= timing.agreement.model_dump()
    row |= {"compile_seconds": timing.compile_seconds, "peak_bytes": timing.peak_bytes} | _floor(timing)
    row |= _compared(timing, beside)
    row |= {"nfbench": provenance.get("nfbench"), "revision": provenance.get("revision")}
    row |= {"libraries": ", ".join(f"{name} {version}" for name, version in sorted(timing.versions.items()))}
    return row | {"finished": timing.finished}


def _machine(timing: Timing) -> str:
    facts = timing.provenance
    parts = [facts.get("processor") or "unknown processor", f"{facts.get('cores') or 'unknown'} cores"]
    parts += [facts["device"]] if facts.get("device") not in (None, timing.case.device) else []
    return ", ".join(map(str, parts))


def _version(timing: Timing) -> str:
    """The contender with its backend, or with the version of what it is made of; torch apart, which all share."""
    if timing.contender == OURS and timing.provenance.get("backend"):
        return f"{OURS} ({timing.provenance['backend']})"
    own = {name: version for name, version in timing.versions.items() if name != "torch"}
    if timing.contender in own:
        return f"{timing.contender} {own[timing.contender]}"
    text = ", ".join(f"{name} {version}" for name, version in sorted(own.items()))
    return f"{timing.contender} ({text})" if text else timing.contender


def _spread(name: str, found: Spread | None) -> dict[str, float | None]:
    names = (name, f"{name}_low", f"{name}_high") if name else ("median", "low", "high")
    return dict(zip(names, (found.median, found.low, found.high) if found else (None,) * 3, strict=True))


def _agrees(timing: Timing) -> bool:
    return timing.status == "done" and timing.agreement is not None and timing.agreement.holds


def _floor(timing: Timing) -> dict[str, Any]:
    names = ("floor_bytes", "floor_flops", "bandwidth", "rate", "floor_seconds", "binds", "fraction")
    if not (floor := timing.floor):
        return dict.fromkeys(names)
    binds = "bytes" if floor.bytes / floor.bandwidth >= floor.flops / floor.rate else "flops"
    fraction = floor.seconds / timing.spread.median if timing.spread and _agrees(timing) else None
    values = (floor.bytes, floor.flops, floor.bandwidth, floor.rate, floor.seconds, binds, fraction)
    return dict(zip(names, values, strict=True))


def _compared(timing: Timing, beside: dict[str, Timing]) -> dict[str, Any]:
    ours, textbook, bare = (beside.get(name) for name in (OURS, TEXTBOOK, BARE))
    remark, ratio = _objection(timing, ours), None
    if not remark and ours and ours is not timing and timing.ratio:
        ratio = _scaled(timing.ratio, ours.models / timing.models)
    step = timing.case.mode == "step" and _agrees(timing)
    steps = _quotient(timing, textbook) if step and textbook and _agrees(textbook) else None
    bares = _quotient(timing, bare) if step and bare else None
    return {"remark": remark} | _spread("ratio", ratio) | _spread("steps", steps) | _spread("bare", bares)


def _scaled(found: Spread, factor: float) -> Spread:
    return Spread(median=found.median * factor, low=found.low * factor, high=found.high * factor)


def _quotient(timing: Timing, unit: Timing) -> Spread | None:
    """Time over that of one model of `unit`; quartiles only where both took part in the same rounds.

    A contender takes part in as many rounds as it can afford, so that equally many are the same ones; nfbench takes
    part in all of them, and the ratio of another is over those that they share.
    """
    if unit.run != timing.run or not (timing.spread and unit.spread):
        return None
    if timing.contender == OURS and (found := unit.ratio):
        return _scaled(Spread(median=1 / found.median, low=1 / found.high, high=1 / found.low), unit.models)
    if len(timing.seconds) == len(unit.seconds):
        low, median, high = np.quantile(np.array(timing.seconds) / np.array(unit.seconds), [0.25, 0.5, 0.75])
        return _scaled(Spread(median=median, low=low, high=high), unit.models)
    value = timing.spread.median / unit.spread.median * unit.models
    return Spread(median=value, low=math.nan, high=math.nan)


def _objection(timing: Timing, ours: Timing | None) -> str:
    """Why a contender's time may not be divided by nfbench's; empty where it may."""
    if reason := _fault(timing):
        return reason
    if timing is ours:
        return ""
    if ours is None:
        return "nfbench was not timed beside it"
    if _fault(ours):
        return "nfbench itself gave nothing to compare with"
    return "" if ours.run == timing.run else "not timed in turn with nfbench"


def _fault(timing: Timing) -> str:
    if timing.status != "done":
        reason = " ".join((timing.message or "no reason given").split())
        return reason if len(reason) <= 160 else f"{reason[:157]}..."
    if timing.contender == BARE:
        return "a bound: it trains nothing"
    if timing.agreement is None:
        return "not compared with the float64 reference"
    if timing.agreement.holds:
        return ""
    return f"disagrees: {timing.agreement.error:.1e} from the reference, {timing.agreement.tolerance:.0e} allowed"


def against(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a case: nfbench's own row with the ratios of the fastest agreeing peer, of compile, split and textbook.

    `peer` names that peer, or says why there is none.
    """
    beside: dict[tuple[str, ...], list[dict[Any, Any]]] = {}
    for row in frame.to_dict("records"):
        beside.setdefault(tuple(str(row[name]) for name in CASE), []).append(row)
    return pd.DataFrame([_against({row["contender"]: row for row in case}) for case in beside.values()])


def _against(case: dict[str, dict[Any, Any]]) -> dict[Any, Any]:
    row = dict(case.get(OURS) or next(iter(case.values())))
    if OURS not in case:
        row |= dict.fromkeys(("median", "low", "high", "fraction", "peak_bytes", "steps", "bare"))
    peers = [side for name, side in case.items() if name not in HOUSE]
    told = [side for side in peers if pd.notna(side["ratio"])]
    fastest = min(told, key=lambda side: float(side["ratio"]), default={})
    row["peer"] = fastest.get("version") or _absent({side["status"] for side in peers})
    sides = {"peer": fastest} | {name: case.get(name, {}) for name in (COMPILE, SPLIT, TEXTBOOK)}
    for name, side in sides.items():
        row |= {f"{name}_ratio{part}": side.get(f"ratio{part}") for part in ("", "_low", "_high")}
    return row


def _absent(statuses: set[str]) -> str:
    if not statuses:
        return "none timed"
    if statuses == {"lacking"}:
        return "none has it"
    return "none agrees" if "done" in statuses else "none ran"
