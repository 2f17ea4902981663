"""The table that all timings make together: one row a record, and who may be compared with whom.

A speed-up is a number only where both sides were timed in turn, in one run, and both agree with the float64 reference;
where it is not, the remark says why.
"""

import math
from typing import Any

import numpy as np
import pandas as pd

from nfbench.analysis.timing_blocks import BARE, BLOCK, CASE, COMPILE, HOUSE, OURS, SPLIT, TEXTBOOK, WHERE
from nfbench.records.results import SOURCES, StoredResults
from nfbench.records.timings import Spread, Timing

_SORTED = (*BLOCK, "target", "place", "family", "amortized", "dim", "draws", "batch", "K", "seeds", "rank", "contender")


def timed(results: StoredResults) -> pd.DataFrame:
    """The stored timings as a table, and who may be compared with whom.

    Args:
        results: own and reference records.

    Returns:
        One row a timing record, sorted by block and case; empty where there is none. Times are in seconds, `peak_bytes`
        in bytes, `low` and `high` are quartiles. `pace` is the machine's rate of a matrix product around the case over
        its best in all these records: where it is low, something held the machine up, and times are long. Where a
        comparison would mislead it is missing, and `remark` says why:

        - `ratio`: this contender's time for a model over nfbench's, round by round;
        - `steps`: its time in units of the textbook's step of one model;
        - `bare`: its time in units of a step's bare matrix products;
        - `fraction`: the floor of the case over its time.
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


def _spread(name: str, spread: Spread | None) -> dict[str, float | None]:
    """Median and quartiles as columns that begin with `name`; of an empty name `median`, `low` and `high`."""
    names = (name, f"{name}_low", f"{name}_high") if name else ("median", "low", "high")
    return dict(zip(names, (spread.median, spread.low, spread.high) if spread else (None,) * 3, strict=True))


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


def _scaled(spread: Spread, factor: float) -> Spread:
    return Spread(median=spread.median * factor, low=spread.low * factor, high=spread.high * factor)


def _quotient(timing: Timing, unit: Timing) -> Spread | None:
    """Time over that of one model of `unit`; quartiles only where both took part in the same rounds.

    A contender takes part in as many rounds as it can afford, so that equally many are the same ones; nfbench takes
    part in all of them, and the ratio of another is over those that they share.
    """
    if unit.run != timing.run or not (timing.spread and unit.spread):
        return None
    if timing.contender == OURS and (ratio := unit.ratio):
        return _scaled(Spread(median=1 / ratio.median, low=1 / ratio.high, high=1 / ratio.low), unit.models)
    if len(timing.seconds) == len(unit.seconds):
        low, median, high = np.quantile(np.array(timing.seconds) / np.array(unit.seconds), [0.25, 0.5, 0.75])
        return _scaled(Spread(median=median, low=low, high=high), unit.models)
    value = timing.spread.median / unit.spread.median * unit.models
    return Spread.model_construct(median=value, low=math.nan, high=math.nan)  # no record has such quartiles


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
    """Set nfbench beside the others, case by case.

    Args:
        frame: a table of timings.

    Returns:
        One row a case: nfbench's own row with the ratios of the fastest peer that agrees, of compile, split and
        textbook. `peer` names that peer, or says why there is none.
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
    comparable = [side for side in peers if pd.notna(side["ratio"])]
    fastest = min(comparable, key=lambda side: float(side["ratio"]), default={})
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
