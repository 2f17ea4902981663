"""Every posterior of an experiment beside what `nfbench verify` said of it: what it reached, and how long that took."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from nfbench.analysis.blocks import Block, blocks
from nfbench.analysis.courses import Course, Race, races
from nfbench.records.results import Row, StoredResults
from nfbench.records.verdicts import StoredVerdict

QUALITIES = ("kl", "box_kl", "free_energy")  # the first that a target has: each is read off the curve of a training too


class Runner(NamedTuple):
    """One posterior on all targets.

    Attributes:
        row: of a table of records, the first of the posterior.
        verdict: of the same version of its library; None where none is stored.
        seconds: of a seed's training, the mean over targets; None where no cell is done.
        relative: those seconds over the median posterior's, the geometric mean over targets; None likewise.
        courses: what it reached on each target, in their order; None where no cell of that target is done.
        lost: number of cells that are not done.
    """

    row: Row
    verdict: StoredVerdict | None
    seconds: float | None
    relative: float | None
    courses: list[Course | None]
    lost: int


class Shootout(NamedTuple):
    """All posteriors of one recipe, on targets with data and without.

    Attributes:
        blocks: of the records, one for the densities and one for each protocol of data.
        races: one a target.
        runners: one a posterior, in the order of the experiment.
    """

    blocks: list[Block]
    races: list[Race]
    runners: list[Runner]


def shootouts(results: StoredResults, frame: pd.DataFrame) -> Iterator[Shootout]:
    """The posteriors of an experiment, one shootout for each recipe.

    Args:
        results: where the curves and the verdicts are.
        frame: a table of records of one experiment.

    Yields:
        A shootout; none where records do not keep the seconds of trainings.
    """
    recipes: dict[tuple[str, str, str], list[Block]] = {}
    for block in blocks(frame):
        recipes.setdefault((block.source, block.profile, block.recipe), []).append(block)
    for parts in recipes.values():
        shown = [race for part in parts for race in races(part, results.curves, QUALITIES)]
        shown.sort(key=lambda race: race.courses[0].row["order"][0])
        if shown:
            yield Shootout(parts, shown, _runners(results, pd.concat([part.rows for part in parts]), shown))


def _runners(results: StoredResults, rows: pd.DataFrame, shown: list[Race]) -> list[Runner]:
    runners = []
    for posterior, cells in rows.groupby("posterior", sort=False):
        courses = [next((each for each in race.courses if each.row["posterior"] == posterior), None) for race in shown]
        known = [(race, course) for race, course in zip(shown, courses, strict=True) if course is not None]
        ratios = [math.log(course.seconds / race.time) for race, course in known]
        runners.append(
            Runner(
                row=cells.iloc[0],
                verdict=_verdict(results, cells.iloc[0]),
                seconds=float(np.mean([course.seconds for _, course in known])) if known else None,
                relative=math.exp(float(np.mean(ratios))) if known else None,
                courses=courses,
                lost=int((cells["status"] != "done").sum()),
            )
        )
    return sorted(runners, key=lambda runner: runner.row["order"][1])


def _verdict(results: StoredResults, row: Any) -> StoredVerdict | None:
    cell = results.record(row).cell
    return results.verdicts.get((cell.posterior, cell.library))
