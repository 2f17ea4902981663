"""What the report says of timings: a sentence and checks for each block, tables, pictures, and the list of records."""

from pathlib import Path
from typing import Any

import pandas as pd

from nfbench.analysis.checks import Check
from nfbench.analysis.scaling import exponents, memory
from nfbench.analysis.timing_blocks import COMPILE, OURS, SPLIT, TEXTBOOK, TimingBlock, blocks, cases
from nfbench.analysis.timings import against
from nfbench.present.plots.catalogue import timings
from nfbench.present.report.chapter import FIGURES, Chapter, anchor, link, shots
from nfbench.present.results import Results
from nfbench.present.tables.render import significant
from nfbench.present.tables.timings import fit_key, key, tables
from nfbench.specification.choices import TIMING


def chapter(results: Results, out: Path) -> Chapter:
    """Make the chapter of all timings: tables, pictures, which are written to `out`, and the list of records.

    Args:
        results: all that is reported.
        out: folder of the report.

    Returns:
        The chapter.
    """
    times = results.timings
    pictures = shots(timings(times, out / FIGURES))
    return Chapter(TIMING, tables(times), [], "", pictures, _entries(results, out), "cases and sweeps")


def verdicts(times: pd.DataFrame) -> list[str]:
    """A sentence for each block: what became of its timings, and how nfbench compares.

    Args:
        times: a table of timings.

    Returns:
        The sentences, in the order of the blocks.
    """
    return [_verdict(block) for block in blocks(times)]


def _verdict(block: TimingBlock) -> str:
    counts = ", ".join(f"{count} {status}" for status, count in block.rows["status"].value_counts().items())
    text = f"{block.title} ({block.place}): {len(block.rows)} timings, {counts}."
    compared = against(block.rows)
    sides = {"the fastest peer": "peer", "the compiled textbook": COMPILE, "the same without slices": SPLIT}
    sides |= {"the textbook": TEXTBOOK}
    ranges = [f"{name} {_range(compared[f'{side}_ratio'])}" for name, side in sides.items()]
    shown = "; ".join(part for part in ranges if not part.endswith(" "))
    model = " for a model" if block.is_step else ""
    return f"{text} Time{model} over nfbench's, where both agree with the reference: {shown}." if shown else text


def _range(ratios: pd.Series) -> str:
    """The least and the largest ratio, and in how many cases there is one; empty where there is none."""
    known = ratios.dropna().astype(float)
    if known.empty:
        return ""
    number = f"{len(known)} case" + ("" if len(known) == 1 else "s")
    low, high = significant(known.min()), significant(known.max())
    return f"{low} in {number}" if low == high else f"{low} to {high} in {number}"


def checks(times: pd.DataFrame) -> list[tuple[str, Check]]:
    """What must hold of any timings, with the block that it is about.

    Args:
        times: a table of timings.

    Returns:
        Pairs of a block's title and place, and a check; two for each block.
    """
    return [(f"{block.title} ({block.place})", check) for block in blocks(times) for check in _checks(block.rows)]


def _checks(rows: pd.DataFrame) -> list[Check]:
    failed, ours = rows[rows["status"] == "failed"], rows[rows["contender"] == OURS]
    lost = f"{len(rows)} timings, {len(failed)} failed, {(rows['status'] == 'lacking').sum()} lacking"
    wrong = ours[~ours["agrees"]]
    names = "; ".join(f"{row['posterior']}: {row['remark']}" for row in wrong.to_dict("records"))
    agreed = f"{len(ours)} cases, {len(wrong)} without agreement{': ' + names if names else ''}"
    return [
        Check("no timing failed", failed.empty, lost),
        Check("nfbench agrees with the float64 reference", wrong.empty and len(ours) > 0, agreed),
    ]


def _entries(results: Results, out: Path) -> list[dict[str, Any]]:
    """Every case with its contenders' records, every sweep with the records that its line was fitted to."""
    times = results.timings
    entries = [_entry(results, out, key(case.iloc[0].to_dict()), case) for case in cases(times)]
    fits = {fit_key(row): row for lines in (exponents(times), memory(times)) for row in lines.to_dict("records")}
    for names, row in fits.items():
        members = times[(times["source"] == row["source"]) & times["id"].isin(row["records"])]
        entry = _entry(results, out, names, members)
        entries.append(entry | {"title": f"sweep, {row['mode']}, {row['family']}, {row['contender']}, {row['source']}"})
    return entries


def _entry(results: Results, out: Path, names: tuple[str, ...], members: pd.DataFrame) -> dict[str, Any]:
    lines = [_member(results, out, row) for row in members.to_dict("records")]
    return {"anchor": anchor(names), "title": ", ".join(name for name in names if name), "cells": lines}


def _member(results: Results, out: Path, row: dict[Any, Any]) -> dict[str, Any]:
    return {"name": row["contender"], "id": row["id"], "status": row["status"], "file": link(results, out, row)}
