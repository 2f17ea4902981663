"""The first screen of the report: who comes closest, in a sentence for each experiment and in one picture."""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from nfbench.analysis.blocks import Block, blocks
from nfbench.analysis.overview import overviews
from nfbench.analysis.variations import grid
from nfbench.present.plots.overview_words import leading, names
from nfbench.present.report.chapter import Chapter, Shot
from nfbench.records.results import OWN

OVERVIEW = "-overview"  # ending of the name of the picture


class Front(NamedTuple):
    """What the report begins with.

    Attributes:
        answers: experiment, and who is the best or tied with it on how many of its targets.
        overview: the picture of posteriors and targets; None where no experiment makes one.
        experiment: whose picture that is.
    """

    answers: list[tuple[str, str]]
    overview: Shot | None
    experiment: str


def front(frame: pd.DataFrame, chapters: Sequence[Chapter]) -> Front:
    """Choose the sentences and the picture.

    Args:
        frame: a table of all records.
        chapters: of the report, with the pictures that were drawn.

    Returns:
        A sentence for each experiment whose posteriors can be compared; the picture of that with the most
        configurations, the user's own records before the stored ones.
    """
    known = {chapter.name: main_block(frame, chapter.name) for chapter in chapters}
    drawn = {name: block for name, block in known.items() if block is not None}
    answers = [(name, sentence) for name, block in drawn.items() if (sentence := _answer(block))]
    shots = [
        (drawn[chapter.name], shot)
        for chapter in chapters
        for group in chapter.pictures
        for shot in group
        if shot.name.endswith(OVERVIEW) and shot.source == drawn[chapter.name].source
    ]
    if not shots:
        return Front(answers, None, "")
    block, shot = max(shots, key=lambda pair: (pair[0].source == OWN, len(_cells(pair[0])), pair[1].height))
    return Front(answers, shot, block.experiment)


def main_block(frame: pd.DataFrame, experiment: str) -> Block | None:
    """The block that stands for an experiment, no variation: that with the most cells, a user's own where there is one.

    Args:
        frame: a table of records.
        experiment: its name.

    Returns:
        The block; None without a record.
    """
    parts = list(blocks(grid(frame[frame["experiment"] == experiment]))) if len(frame) else []
    return max(parts, key=lambda part: (part.source == OWN, len(part.rows)), default=None)


def _cells(block: Block) -> pd.DataFrame:
    return block.rows[["target", "posterior"]].drop_duplicates()


def _answer(block: Block) -> str:
    if block.done["posterior"].nunique() < 2:
        return ""
    shown = list(overviews(block))
    parts = [leading(each, names(block), alone=len(shown) == 1) for each in shown]
    text = " ".join(part for part in parts if part)
    profile, changed, _ = block.profile.partition("[")
    budget = f"{profile}{' with changes' if changed else ''}, {block.seeds(block.rows)}"
    return f"{text} ({budget})" if text else ""
