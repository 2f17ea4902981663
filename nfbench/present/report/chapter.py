"""A chapter of the report: what is said of one experiment."""

import base64
import hashlib
import io
import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from PIL import Image

from nfbench.analysis.blocks import CONFIGURATION, RANKING, configuration_key, places, variation
from nfbench.analysis.differences import beside
from nfbench.foundation.errors import InputError
from nfbench.present.plots.catalogue import Saved, saved
from nfbench.present.tables import own
from nfbench.present.tables.experiment import everything
from nfbench.present.tables.labels import depth, spread
from nfbench.present.tables.render import Table
from nfbench.present.tables.restarts import restarts_table
from nfbench.records.glossary import measure
from nfbench.records.results import Row, StoredResults

_LARGE = 80_000  # bytes of a PNG that may be no drawing of lines
_MOST = 5_000  # records whose arrays are read for a table
_QUALITY = 75  # of WebP, of 100
_COLOURS = 64  # of a drawing of lines, spread over all that it has: rare colours count as much as frequent ones
_SHOWN = ("experiment", "source", "profile", "target", "posterior", "seed", "status", "message", "id")  # of a record
FIGURES = "figures"  # folder beside the report


class Shot(NamedTuple):
    """A drawn picture and where its files are.

    Attributes:
        name: of the picture.
        caption: the text under it.
        source: of its records, ``own`` or ``reference``.
        file: the PNG's path from the folder of the report.
        data: the picture as WebP in base64.
        width: of the picture in pixels.
        height: likewise.
    """

    name: str
    caption: str
    source: str
    file: str
    data: str
    width: int
    height: int


class Pair(NamedTuple):
    """Own and reference results of one configuration.

    Attributes:
        cells: a row of a table as text: target, posterior, K, metric, own, reference and their paired difference.
        own: the own configuration's key.
        reference: the reference configuration's key.
    """

    cells: list[str]
    own: tuple[str, ...]
    reference: tuple[str, ...]


class Chapter(NamedTuple):
    """What the report says of one experiment, or of all timings.

    Attributes:
        name: of the experiment, or ``timing``.
        tables: in the order of the page.
        beside: own and reference results of equal configuration.
        beside_note: how to read these, or why there are none; empty where only one source has records.
        pictures: lists of pictures of one name, own and reference side by side.
        configurations: entries of the appendix, each with anchor, title and records.
        counted: what these entries are, in the plural.
    """

    name: str
    tables: list[Table]
    beside: list[Pair]
    beside_note: str
    pictures: list[list[Shot]]
    configurations: list[dict[str, Any]]
    counted: str = "configurations"


def chapter(results: StoredResults, out: Path, name: str) -> Chapter:
    """Make the chapter of one experiment: tables, pictures, which are written to `out`, and the list of records.

    Args:
        results: all that is reported.
        out: folder of the report.
        name: of the experiment.

    Returns:
        The chapter.
    """
    rows = results.frame[results.frame["experiment"] == name]
    pictures = shots(saved(results, name, out / FIGURES))
    lines, note = _beside(rows)
    shown = [*own.tables(results, rows, name), *everything(rows, name), *_restarts(results, rows)]
    return Chapter(name, shown, lines, note, pictures, _configurations(results, out, rows))


def _restarts(results: StoredResults, rows: pd.DataFrame) -> list[Table]:
    """How far seeds are from each other, where their moments are stored and not too many files are to be read."""
    if len(rows) > _MOST:
        return []
    try:
        return restarts_table(results, rows).tables
    except InputError:
        return []


def shots(drawn: Iterable[Saved]) -> list[list[Shot]]:
    """Pictures with their files inlined, those of one name together.

    Args:
        drawn: pictures that have just been written.

    Returns:
        One list a name: own and reference records side by side.
    """
    by_name: dict[str, list[Shot]] = {}
    for source, picture, files in drawn:
        data, size = _webp(files[0])
        shot = Shot(picture.name, picture.caption, source, f"{FIGURES}/{files[0].name}", data, *size)
        by_name.setdefault(picture.name, []).append(shot)
    return list(by_name.values())


def _webp(file: Path) -> tuple[str, tuple[int, int]]:
    """A PNG as WebP in base64, and its width and height; the same file gives the same text.

    Drawings of lines have few colours and are stored without further loss; of a large picture, which may be densities
    or photographs, the smaller one of this and a lossy form is taken.
    """
    with Image.open(file) as image:
        picture = image.convert("RGB")
    drawn = picture.quantize(_COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).convert("RGB")
    forms = [_encoded(drawn, lossless=True)]
    if file.stat().st_size > _LARGE:
        forms.append(_encoded(picture, quality=_QUALITY))
    return base64.b64encode(min(forms, key=len)).decode(), picture.size


def _encoded(picture: Image.Image, **how: Any) -> bytes:
    """A picture as WebP."""
    stream = io.BytesIO()
    picture.save(stream, "WEBP", **how)
    return stream.getvalue()


def _beside(rows: pd.DataFrame) -> tuple[list[Pair], str]:
    """Own and reference results of equal configuration, and what to say where there are none."""
    if rows["source"].nunique() < 2:
        return [], ""
    table = beside(rows)
    if table.empty:
        return [], "Own and reference records share no configuration: their recipes differ, so nothing is subtracted."
    lines = []
    for _, group in table.groupby(["profile", "recipe", "target", "posterior"], sort=False):
        ranked = {row["metric"]: row for row in group.to_dict("records")}
        row = next(ranked[name] for name in (*RANKING, *ranked) if name in ranked)
        sides = [f"{spread(row[side])} ({row[side].n})" for side in ("own", "reference")]
        difference = f"{spread(row['paired'])} ({row['paired'].n})"
        label = row["label"] + _changed(row)
        cells = [row["target_label"], label, depth(row), measure(row["metric"]).title, *sides, difference]
        own, reference = (configuration_key(row | {"source": side}) for side in ("own", "reference"))
        lines.append(Pair(cells, own, reference))
    return lines, "Equal configurations only; in brackets the number of seeds. The difference is paired by seed."


def _configurations(results: StoredResults, out: Path, rows: pd.DataFrame) -> list[dict[str, Any]]:
    """The list of records: each configuration with its anchor, its title and its cells."""
    records, entries = rows[list({*CONFIGURATION, *_SHOWN, *({"variation"} & {*rows})})].to_dict("records"), []
    for cells in places(rows, CONFIGURATION):
        names = configuration_key(records[cells[0]])
        members = [cell(results, out, row) for row in sorted((records[c] for c in cells), key=itemgetter("seed"))]
        title = ", ".join(name for name in (*names, variation(records[cells[0]])) if name)
        entries.append({"anchor": anchor(names), "title": title, "cells": members})
    return entries


def link(results: StoredResults, out: Path, row: Row) -> str:
    """The path from the folder of the report to the file of a record, with forward slashes.

    Args:
        results: where the record lies.
        out: folder of the report.
        row: of a table of records or of timings.

    Returns:
        A relative path.
    """
    file = results.file(row)
    return f"{_way(out.absolute(), file.parent.absolute())}/{file.name}"


@lru_cache
def _way(start: Path, folder: Path) -> str:
    return Path(os.path.relpath(folder.resolve(), start.resolve())).as_posix()


def cell(results: StoredResults, out: Path, row: dict[Any, Any]) -> dict[str, Any]:
    """A record as the report's lists show it, with the path from `out` to its file.

    Args:
        results: where the record lies.
        out: folder of the report.
        row: of a table of records.

    Returns:
        Facts of the record by name, with ``name`` (its seed) and ``file``.
    """
    shown = {name: row[name] for name in _SHOWN}
    shown["posterior"] += _changed(row)
    return shown | {"name": row["seed"], "file": link(results, out, row)}


def _changed(row: Mapping[Any, Any]) -> str:
    """The variation of a row in brackets, behind its posterior; empty for the grid as it is."""
    return f" ({name})" if (name := variation(row)) else ""


def anchor(key: Iterable[str]) -> str:
    """The HTML id of a configuration's entry in the appendix.

    Args:
        key: the configuration or case as text.

    Returns:
        Letter c and twelve hexadecimal digits of a hash; equal for equal keys.
    """
    return "c" + hashlib.sha256("\n".join(key).encode()).hexdigest()[:12]
