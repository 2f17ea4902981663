"""By how many nats each variation of an experiment moves its posteriors, and which comes closest to the paper."""

import math
from dataclasses import asdict

import pandas as pd

from nfbench.analysis.blocks import Block
from nfbench.analysis.summary import Estimate
from nfbench.analysis.variations import Move, Point, added, by_recipe, distance, expected, reached
from nfbench.present.tables.labels import budget, depth, statistic
from nfbench.present.tables.render import NOTHING, Table, number
from nfbench.published.catalogue import published
from nfbench.records.glossary import measure

_PATTERN = "figure4"  # F, the gap and -ln p(x) of the same models, which no other source has together
_BASE = "as it is"


def tables(rows: pd.DataFrame) -> list[Table]:
    """One table for each profile and source of records that have variations, and for each recipe that the grid has.

    Args:
        rows: records of one experiment.

    Returns:
        None where no record is of a variation.
    """
    return [_table(block, found) for block, found in by_recipe(rows) if any(move.variation for move in found)]


def _table(block: Block | None, found: list[Move]) -> Table:
    source = published(_PATTERN)
    theirs = expected(found, source) if source else {}
    names = [name for name in dict.fromkeys(name for move in found for name in move.values)]
    titles = [measure(name).title for name in names]
    configurations = {(move.variation, str(move.row["posterior"])) for move in found}
    several = len(configurations) < len(found)
    head = [
        "Variation",
        *["Target"] * several,
        "Posterior",
        "K",
        *titles,
        *(f"difference of {title}" for title in titles),
        "to the paper (nats)",
    ]
    rows = []
    for move in found:
        cells = [move.variation or _BASE, *[str(move.row["target"])] * several]
        cells += [str(move.row["label"]), depth(dict(move.row))]
        cells += [_text(move.values.get(name)) for name in names]
        cells += [_text(move.moves.get(name), sign="+") for name in names]
        own = {point: value for point, value in theirs.items() if point[:2] == move.place}
        rows.append([*cells, number(distance(reached(found, move.variation), own), 2)])
    notes = [
        "Differences are to the grid as it is, seed by seed; ± is half the 95 % interval, for which two seeds are few.",
        *_lost(found),
        *_closest(found, theirs, source.source if source else ""),
    ]
    first = found[0].row
    title = f"{first['experiment']}, profile {first['profile']}, {first['source']} records: what each variation moves"
    protocol = budget(block) if block else ""
    return Table(title, protocol, head, rows, [()] * len(rows), notes, leading=3 + several)


def _lost(found: list[Move]) -> list[str]:
    """Which runs no mean counts, and which variations have nothing beside them, in a sentence each or none."""
    notes = []
    counts = {name: [0, 0] for name in dict.fromkeys(move.variation for move in found)}
    for move in found:
        for place, number_of in enumerate((move.lost, move.runs)):
            counts[move.variation][place] += number_of
    if several := [f"{name or _BASE} {lost} of {runs}" for name, (lost, runs) in counts.items() if lost]:
        notes.append(f"Runs that are not done, and in no mean: {'; '.join(several)}.")
    if alone := [
        f"{move.variation}, {move.row['target']}, {move.row['posterior']}" for move in found if move.base is None
    ]:
        notes.append(f"Without records of the grid to differ from: {'; '.join(alone)}.")
    return notes


def _closest(found: list[Move], theirs: dict[Point, float], source: str) -> list[str]:
    """Which variation, and which of them together, come closest to the published values of all posteriors."""
    alone = {name: distance(reached(found, name), theirs) for name in dict.fromkeys(move.variation for move in found)}
    known = {name: value for name, value in alone.items() if not math.isnan(value)}
    if not known:
        return []
    best = min(known, key=lambda name: known[name])
    told = [
        f"To the paper: root mean square of ours less {source}, over F, gap and -ln p(x); a variation has the grid's "
        "own values where it has no record.",
        f"Closest, over all posteriors: {best or _BASE} ({known[best]:.2f} nats"
        + (f"; {_BASE}: {known['']:.2f})." if "" in known and best else ")."),
    ]
    together = min(added(found), key=lambda pair: distance(pair[1], theirs), default=None)
    if together and (predicted := distance(together[1], theirs)) < known[best]:
        names = ", ".join(together[0])
        told.append(f"If their differences added up, {names} together would come to {predicted:.2f}; that was not run.")
    return [" ".join(told)]


def _text(value: Estimate | None, *, sign: str = "") -> str:
    return NOTHING if value is None else statistic(asdict(value), "mean", sign=sign)
