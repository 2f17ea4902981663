"""The report: everything that stored records show, as one HTML file that opens offline, and as Markdown and LaTeX."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from nfbench.analysis.blocks import Block, blocks, metrics
from nfbench.analysis.checks import checks
from nfbench.foundation.environment import installed_version
from nfbench.foundation.errors import InputError
from nfbench.foundation.files import replace
from nfbench.present.plots.style import slug
from nfbench.present.report import html, verdict
from nfbench.present.report import timings as timing_chapter
from nfbench.present.report.chapter import Chapter, Shot, anchor, cell, chapter
from nfbench.present.report.front import OVERVIEW, front, main_block
from nfbench.present.results import Results
from nfbench.present.tables import claims
from nfbench.present.tables.latex import escape, latex
from nfbench.present.tables.render import NOTHING, markdown, markdown_row, plain
from nfbench.published.catalogue import sources
from nfbench.records.glossary import KINDS, LETTERS, MEASURES, TIMING_WORDS, WORDS
from nfbench.records.timings import Timing
from nfbench.specification.choices import TIMING

_LINES = 7  # on an experiment at a glance
_TEMPLATES = Path(__file__).parent / "templates"


class Markdown(str):
    """Text that is Markdown already; any other is shown as it is."""

    __slots__ = ()


def report(results: Results, out: Path, *, folder: bool = False) -> Path:
    """Write ``index.html``, ``report.md``, ``report.tex`` and their ``figures/``.

    Args:
        results: what is reported.
        out: folder to write to, made if missing.
        folder: whether each chapter has a page of its own and pictures stay files, as large results need; else
            ``index.html`` holds everything, and can be sent by itself.

    Returns:
        The HTML file.

    Raises:
        InputError: there is no record, or `out` cannot be written.
    """
    if results.frame.empty and results.timings.empty:
        raise InputError(f"no records under {str(results.root)!r}; expected what 'nfbench run' or 'nfbench time' wrote")
    context = _context(results, out)
    pages = {each.name: f"chapter-{slug(each.name)}.html" for each in context["chapters"]} if folder else {}
    for template, name in (("report.md", "report.md"), ("report.tex", "report.tex")):
        write(out / name, template, context)
    write(out / "index.html", "report.html", context | html.page(pages) | {"listed": context["chapters"]})
    for each in context["chapters"] if folder else ():
        shown = {"chapter": each, "listed": [each]}
        write(out / pages[each.name], "chapter.html", context | html.page(pages, each.name) | shown)
    return out / "index.html"


def write(file: Path, template: str, context: dict[str, Any]) -> None:
    """Write what a template makes.

    Args:
        file: whose folder is made if missing.
        template: name of the template.
        context: what it shows, by the names that it uses.
    """
    replace(file, _environment(template).get_template(template).render(context).encode())


def verdicts(frame: pd.DataFrame, experiment: str) -> list[str]:
    """A sentence for each block of an experiment: what became of its cells, and how it compares with the paper.

    Args:
        frame: a table of records.
        experiment: its name; rows of other experiments are left out.

    Returns:
        The sentences, in the order of the blocks.
    """
    rows, papers = frame[frame["experiment"] == experiment], sources(experiment)
    return [verdict.sentence(block, papers) for block in blocks(rows)]


def outcomes(frame: pd.DataFrame, experiment: str) -> list[str]:
    """A few lines for each block of an experiment, for a terminal.

    Args:
        frame: a table of records.
        experiment: its name; rows of other experiments are left out.

    Returns:
        The lines, in the order of the blocks.
    """
    rows, papers = frame[frame["experiment"] == experiment], sources(experiment)
    return [line for block in blocks(rows) for line in verdict.outcome(block, papers)]


def _context(results: Results, out: Path) -> dict[str, Any]:
    """What the templates show, by the names that they use."""
    frame, times = results.frame, results.timings
    columns, timings = results.rows.columns, list(results.timing_records.values())
    finished = columns["finished"] + [timing.finished for timing in timings]
    names = sorted(frame["experiment"].unique(), key=lambda name: (not sources(name), name))
    papers = [source for name in names for source in sources(name)]
    chapters = [chapter(results, out, name) for name in names]
    chapters += [timing_chapter.chapter(results, out)] if len(times) else []
    return {
        "version": installed_version("nfbench"),
        "span": (min(finished), max(finished)),
        "cells": len(frame),
        "timings": len(times),
        "verdicts": [sentence for name in names for sentence in verdicts(frame, name)] + timing_chapter.verdicts(times),
        "checks": [(_title(block), check) for block in blocks(frame) for check in checks(block.rows)]
        + timing_chapter.checks(times),
        "chapters": chapters,
        "front": front(frame, chapters),
        "lost": [cell(results, out, row) for row in frame[frame["status"] != "done"].to_dict("records")],
        "environments": _environments(columns["_provenance"], timings),
        "letters": list(LETTERS.items()),
        "words": KINDS,
        "measures": [MEASURES[name] for name in metrics(frame) if name in MEASURES],
        "terms": (WORDS if len(frame) else {}) | (TIMING_WORDS if len(times) else {}),
        "citations": sorted(_citations(columns, timings) | {paper.citation for paper in papers}),
        "claims": [(claims.of_paper(paper, each), each) for paper, each in claims.judged(frame)],
        "anchor": anchor,
        "glance": {name: _glance(frame, name) for name in names} | {TIMING: timing_chapter.verdicts(times)[:1]},
        "lead": _lead,
        "looks": html.looks_of(pd.concat([part[["label", "family"]] for part in (frame, times) if len(part)])),
        "picture_id": _picture_id,
        "markdown": lambda table: Markdown(markdown(table)),
        "line": lambda cells: Markdown(markdown_row(cells)),
        "latex": latex,
        "nothing": NOTHING,
    }


def _glance(frame: pd.DataFrame, name: str) -> list[str]:
    """A few lines on an experiment: of its block with the most cells, the user's own where there is one."""
    block = main_block(frame, name)
    assert block is not None, "an experiment of the report has records"
    return [line.strip() for line in verdict.outcome(block, sources(name))][:_LINES]


def _lead(shown: Chapter) -> Shot:
    """The picture that stands for a chapter: a metric against K where there is one, else its first but the overview."""
    every = [shot for group in shown.pictures for shot in group]
    every = [shot for shot in every if not shot.name.endswith(OVERVIEW)] or every
    return next((shot for shot in every if shot.name.endswith("depth")), every[0])


def _picture_id(shot: Shot) -> str:
    return slug(f"picture-{Path(shot.file).stem}")


def _title(block: Block) -> str:
    changed = f", {block.variation}" if block.variation else ""
    return f"{block.experiment}, {block.profile}{changed}, {block.source} ({block.recipe})"


def _environments(provenances: list[str], timings: list[Timing]) -> list[tuple[int, dict[str, str]]]:
    """Distinct provenances, those of cells as JSON, each with the number of its records, the most frequent first.

    Of timings the backend is left out: it is one contender's own, and stands beside its name in the table.
    """
    of_timings = [{key: fact for key, fact in timing.provenance.items() if key != "backend"} for timing in timings]
    counts = Counter(provenances + [json.dumps(facts, sort_keys=True) for facts in of_timings])
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [(count, {key: _plain(value) for key, value in json.loads(text).items()}) for text, count in ranked]


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(part)}" for key, part in value.items())
    return "unknown" if value is None else str(value)


def _citations(columns: dict[str, list[Any]], timings: Iterable[Timing]) -> set[str]:
    """The sources of all families and targets, each as ``label: citation``."""
    pairs = {*zip(columns["label"], columns["cite"], strict=True)}
    pairs |= {*zip(columns["target_label"], columns["_target_cite"], strict=True)}
    pairs |= {(timing.facts.label, timing.facts.cite) for timing in timings}
    return {f"{label}: {cite}" for label, cite in pairs if cite}


def _environment(template: str) -> jinja2.Environment:
    """Jinja that escapes by itself for HTML and Markdown; LaTeX gets delimiters of its own and an escaping filter."""
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
    if template.endswith(".md"):
        environment.finalize = lambda value: value if isinstance(value, Markdown) else plain(str(value))
    environment.filters["tex"] = escape
    return environment
