"""What the HTML pages of a report need beside its content: links between pages, sources of pictures, the charts."""

import base64
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.colors import to_hex

from nfbench.present.plots.looks import looks
from nfbench.present.report.chapter import Shot

_CHARTS = Path(__file__).parent / "vendor" / "chart-4.6.1.umd.min.js.gz"  # https://www.chartjs.org, MIT licence
_MARKS: dict[str, tuple[str, int]] = {  # of Matplotlib -> Chart.js' name, and by how many degrees it is turned
    "o": ("circle", 0),
    "s": ("rect", 0),
    "D": ("rectRot", 0),
    "d": ("rectRot", 0),
    "^": ("triangle", 0),
    ">": ("triangle", 90),
    "v": ("triangle", 180),
    "<": ("triangle", 270),
    "P": ("cross", 0),
    "X": ("crossRot", 0),
    "*": ("star", 0),
    "p": ("rectRounded", 0),
    "h": ("rectRounded", 45),
}


def page(pages: Mapping[str, str], here: str = "") -> dict[str, Any]:
    """What a template of a page is told of its place.

    Args:
        pages: name of a chapter -> file of its page; empty where one page holds all chapters.
        here: the chapter that the page is of; empty for the first page.

    Returns:
        ``pages`` and ``here``; ``at``, the link to a section; ``source``, that of a picture; ``charts``, the library of
        interactive pictures, packed.

    >>> at = page({"figure3": "chapter-figure3.html"}, "figure3")["at"]
    >>> at("figure3"), at("glossary"), page({})["at"]("figure3")
    ('#figure3', 'index.html#glossary', '#figure3')
    """

    def at(section: str) -> str:
        if section == here or not pages:
            return f"#{section}"
        return pages.get(section, f"index.html#{section}" if here else f"#{section}")

    def source(shot: Shot) -> str:
        return shot.file if pages else f"data:image/webp;base64,{shot.data}"

    return {"pages": pages, "here": here, "at": at, "source": source, "charts": _charts()}


def looks_of(rows: pd.DataFrame) -> dict[str, tuple[str, str, int]]:
    """The looks of families in interactive pictures, which are those of the others.

    Args:
        rows: with the columns ``label`` and ``family``.

    Returns:
        By label the colour, Chart.js' name of the mark, and by how many degrees it is turned.
    """
    families = dict(zip(rows["label"], rows["family"], strict=True))
    known = looks(families.values())
    return {
        label: (to_hex(known[family].colour), *_MARKS.get(known[family].mark, ("circle", 0)))
        for label, family in families.items()
    }


@cache
def _charts() -> str:
    return base64.b64encode(_CHARTS.read_bytes()).decode()
