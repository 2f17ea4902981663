"""The report: everything that stored records show, as one HTML file that opens offline, and as Markdown and LaTeX."""

import base64
import hashlib
import inspect
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import pandas as pd

import nfbench
from nfbench.errors import InputError
from nfbench.glossary import MEASURES, WORDS, measure
from nfbench.plots import saved
from nfbench.published import Published, published
from nfbench.records import REFERENCE, Record, path, records, replace, results
from nfbench.statistics import CONFIGURATION, RANKING, beside, blocks, checks, compare, metrics
from nfbench.tables.experiment import depth, key, spread, tables
from nfbench.tables.text import NOTHING, Table, escape, latex, markdown

_TEMPLATES = Path(__file__).parent / "templates"
_FIGURES = "figures"  # folder beside the report


class Shot(NamedTuple):
    """A drawn picture and where its files are."""

    name: str
    caption: str
    source: str
    file: str  # PNG, relative to the report
    data: str  # the PNG in base64


class Pair(NamedTuple):
    """Own and reference results of one configuration, as text, with the keys of both."""

    cells: list[str]
    own: tuple[str, ...]
    reference: tuple[str, ...]


class Chapter(NamedTuple):
    """What the report says of one experiment."""

    name: str
    tables: list[Table]
    beside: list[Pair]
    beside_note: str
    pictures: list[list[Shot]]  # own and reference of one kind stand together
    configurations: list[dict[str, Any]]


def report(root: Path, out: Path) -> Path:
    """Write ``index.html``, ``report.md``, ``report.tex`` and their ``figures/`` to `out`; return the HTML file.

    Raises:
        InputError: there is no record under `root`, or `out` cannot be written.
    """
    frame = results(root)
    if frame.empty:
        raise InputError(f"no records under {str(root)!r}; expected what 'nfbench run' wrote")
    context = _context(root, out, frame)
    for template, name in (("report.html", "index.html"), ("report.md", "report.md"), ("report.tex", "report.tex")):
        replace(out / name, _environment(template).get_template(template).render(context).encode())
    return out / "index.html"


def verdicts(frame: pd.DataFrame, experiment: str) -> list[str]:
    """A sentence for each block of an experiment: what became of its cells, and how it compares with the paper."""
    rows = frame[frame["experiment"] == experiment]
    return [_verdict(block, published(experiment)) for block in blocks(rows)]


def _verdict(block: pd.DataFrame, source: Published | None) -> str:
    first, counts = block.iloc[0], block["status"].value_counts()
    told = ", ".join(f"{count} {status}" for status, count in counts.items())
    text = f"{first['experiment']}, profile {first['profile']}, {first['source']} records: {len(block)} cells, {told}."
    found = compare(block, source) if source else pd.DataFrame()
    if source is None or found.empty:
        return text
    tested = found[~found["verdict"].isin(["not comparable", "baseline"])]
    words = ", ".join(f"{count} {verdict}" for verdict, count in tested["verdict"].value_counts().items()) or "none"
    return (
        f"{text} Against {source.source}, {len(tested)} differences of {measure(source.metric).label} to "
        f"{source.baseline.posterior} K={source.baseline.K} (margin {source.margin:g} nats): {words}; "
        f"{(found['verdict'] == 'not comparable').sum()} more are not comparable."
    )


def _context(root: Path, out: Path, frame: pd.DataFrame) -> dict[str, Any]:
    stored = [*records(root), *records(root / REFERENCE)]
    names = sorted(frame["experiment"].unique(), key=lambda name: (published(name) is None, name))
    papers = [source for source in map(published, names) if source]
    return {
        "version": nfbench.__version__,
        "span": (frame["finished"].min(), frame["finished"].max()),
        "cells": len(frame),
        "verdicts": [sentence for name in names for sentence in verdicts(frame, name)],
        "checks": [(_title(block), check) for block in blocks(frame) for check in checks(block)],
        "chapters": [_chapter(root, out, frame, name) for name in names],
        "lost": [_cell(root, out, row) for row in frame[frame["status"] != "done"].to_dict("records")],
        "environments": _environments(stored),
        "letters": _letters(),
        "words": _own_words(),
        "measures": [MEASURES[name] for name in metrics(frame) if name in MEASURES],
        "terms": WORDS,
        "citations": sorted(_citations(stored) | {paper.citation for paper in papers}),
        "anchor": anchor,
        "markdown": markdown,
        "latex": latex,
        "nothing": NOTHING,
    }


def _title(block: pd.DataFrame) -> str:
    first = block.iloc[0]
    return f"{first['experiment']}, {first['profile']}, {first['source']} ({first['recipe']})"


def anchor(key: Iterable[str]) -> str:
    """The HTML id of a configuration's entry in the appendix."""
    return "c" + hashlib.sha256("\n".join(key).encode()).hexdigest()[:12]


def _chapter(root: Path, out: Path, frame: pd.DataFrame, name: str) -> Chapter:
    rows = frame[frame["experiment"] == name]
    pictures: dict[str, list[Shot]] = {}
    for block, picture, files in saved(root, name, out / _FIGURES, frame):
        data = base64.b64encode(files[0].read_bytes()).decode()
        file = f"{_FIGURES}/{files[0].name}"
        shot = Shot(picture.name, picture.caption, str(block["source"].iloc[0]), file, data)
        pictures.setdefault(picture.name, []).append(shot)
    lines, note = _beside(rows)
    return Chapter(name, tables(rows, name), lines, note, list(pictures.values()), _configurations(root, out, rows))


def _beside(rows: pd.DataFrame) -> tuple[list[Pair], str]:
    """Own and reference results of equal configuration, and what to say where there are none."""
    if rows["source"].nunique() < 2:
        return [], ""
    found = beside(rows)
    if found.empty:
        return [], "Own and reference records share no configuration: their recipes differ, so nothing is subtracted."
    lines = []
    for _, group in found.groupby(["profile", "recipe", "target", "posterior"], sort=False):
        ranked = {row["metric"]: row for row in group.to_dict("records")}
        row = next(ranked[name] for name in (*RANKING, *ranked) if name in ranked)
        sides = [f"{spread(row[side])} ({row[side].n})" for side in ("own", "reference")]
        difference = f"{spread(row['paired'])} ({row['paired'].n})"
        cells = [row["target_label"], row["label"], depth(row), measure(row["metric"]).title, *sides, difference]
        own, reference = (key(row | {"source": side}) for side in ("own", "reference"))
        lines.append(Pair(cells, own, reference))
    return lines, "Equal configurations only; in brackets the number of seeds. The difference is paired by seed."


def _configurations(root: Path, out: Path, rows: pd.DataFrame) -> list[dict[str, Any]]:
    found = []
    for _, cells in rows.groupby(list(CONFIGURATION), dropna=False, sort=False):
        names = key(cells.iloc[0].to_dict())
        members = [_cell(root, out, row) for row in cells.sort_values("seed").to_dict("records")]
        found.append({"anchor": anchor(names), "title": ", ".join(name for name in names if name), "cells": members})
    return found


def _cell(root: Path, out: Path, row: dict[Any, Any]) -> dict[str, Any]:
    base = root / REFERENCE if row["source"] == REFERENCE else root
    file = os.path.relpath(path(base, row["experiment"], row["id"]).resolve(), out.resolve())
    shown = ("experiment", "source", "profile", "target", "posterior", "seed", "status", "message", "id")
    return {name: row[name] for name in shown} | {"file": Path(file).as_posix()}


def _environments(stored: list[Record]) -> list[tuple[int, dict[str, str]]]:
    """Distinct provenances, each with the number of its records, the most frequent first."""
    counts: dict[str, int] = {}
    for record in stored:
        text = json.dumps(record.provenance, sort_keys=True)
        counts[text] = counts.get(text, 0) + 1
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [(count, {key: _plain(value) for key, value in json.loads(text).items()}) for text, count in ranked]


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(part)}" for key, part in value.items())
    return "unknown" if value is None else str(value)


def _citations(stored: list[Record]) -> set[str]:
    facts = [record.facts for record in stored]
    own = {f"{fact.label}: {fact.cite}" for fact in facts if fact.cite}
    return own | {f"{fact.target_label}: {fact.target_cite}" for fact in facts if fact.target_cite}


def _letters() -> list[tuple[str, str]]:
    """The letters that the package's docstring defines."""
    return re.findall(r"^([A-Z]) {3,}(.+)$", inspect.getdoc(nfbench) or "", flags=re.MULTILINE)


def _own_words() -> str:
    """The paragraph of the package's docstring that says what a family, a target and a cell are."""
    paragraphs = (inspect.getdoc(nfbench) or "").split("\n\n")
    return " ".join(next((text for text in paragraphs if "*family*" in text), "").replace("*", "").split())


def _environment(template: str) -> jinja2.Environment:
    """Jinja with autoescape for HTML; LaTeX gets delimiters of its own and an escaping filter."""
    options: dict[str, Any] = {}
    if template.endswith(".tex"):
        options = {"block_start_string": "<%", "block_end_string": "%>", "variable_start_string": "<<"}
        options |= {"variable_end_string": ">>", "comment_start_string": "<#", "comment_end_string": "#>"}
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=template.endswith(".html"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **options,
    )
    environment.filters["tex"] = escape
    return environment
