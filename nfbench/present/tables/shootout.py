"""Every posterior of a shootout: verdict, speed, and how close it comes with equal updates and in equal time."""

import math

import pandas as pd

from nfbench.analysis.courses import Course, Race
from nfbench.analysis.shootout import Runner, Shootout, shootouts
from nfbench.present.tables import verdicts
from nfbench.present.tables.labels import budget, depth
from nfbench.present.tables.render import NOTHING, Table, number, significant
from nfbench.records.glossary import measure
from nfbench.records.results import StoredResults

_CUT = (
    "A training that is read before its end counts with the bound of its own draws at that time, plus ln Z where it is "
    "known, which is noisier than what an evaluation finds; one that was over by then counts with its end."
)


def tables(results: StoredResults, frame: pd.DataFrame) -> list[Table]:
    """Two tables for each recipe, at equal updates and in equal seconds, then what families cannot do.

    Args:
        results: where curves and verdicts are.
        frame: a table of records of the experiment only.

    Returns:
        The tables; none where records do not keep the seconds of trainings.
    """
    shown: list[Table] = []
    for each in shootouts(results, frame):
        shown += [_table(each, same=False), _table(each, same=True)]
    known = results.verdicts
    return [*shown, verdicts.table(list(known.values()))] if shown and known else shown


def _table(shootout: Shootout, *, same: bool) -> Table:
    first = shootout.blocks[0]
    names = [race.courses[0].row["target_label"] for race in shootout.races]
    kinds = [f" {measure(race.metric).label}" if race.metric != "kl" else "" for race in shootout.races]
    head = ["Posterior", "K", "verdict", *(f"{name}{kind}" for name, kind in zip(names, kinds, strict=True))]
    head += ["s", "times the median", "not done"]
    columns = [_values(shootout, place, same=same) for place in range(len(shootout.races))]
    rows = []
    for place, runner in enumerate(shootout.runners):
        cells = [runner.row["label"], depth(dict(runner.row)), verdicts.words(runner.verdict)]
        cells += [_text(values[place]) for values in columns]
        cells += [significant(runner.seconds), significant(runner.relative), str(runner.lost) if runner.lost else ""]
        rows.append(cells)
    best = {
        (place, 3 + column): "best"
        for column, (race, values) in enumerate(zip(shootout.races, columns, strict=True))
        for place in _best(race, values, shootout.runners)
    }
    metrics = " and ".join(dict.fromkeys(measure(race.metric).title for race in shootout.races))
    moment = f"after {first.updates:,} updates" if not same else "in the same seconds of training, the median of all"
    times = ", ".join(f"{name} {significant(race.time)} s" for name, race in zip(names, shootout.races, strict=True))
    known = [runner.verdict for runner in shootout.runners if runner.verdict]
    notes = [
        "s: seconds of a seed's training, the mean over targets, without compilation and evaluation. Times the median: "
        "those seconds over the median posterior's, the geometric mean over targets.",
        "Seeds are summed up by their median. A KL divergence below zero by more than its error is a wrong ln q.",
    ]
    notes += [f"The time: {times}. {_CUT}"] if same else []
    hidden = {family for block in shootout.blocks for family in block.auxiliary}
    auxiliary = [runner.row["label"] for runner in shootout.runners if runner.row["family"] in hidden]
    if auxiliary:
        notes.append(f"Of {', '.join(auxiliary)} the values are upper bounds: ln q is that of auxiliary variables too.")
    notes.append(
        f"verdict: {verdicts.protocol(known)}" if known else f"No verdict is stored: '{verdicts.COMMAND}' writes them."
    )
    data = [block.data for block in shootout.blocks if block.data]
    notes += [f"Data: {', '.join(data)}."] if data else []
    title = f"{first.title}: {'in equal seconds' if same else 'at equal updates'}"
    protocol = f"{budget(first)} {metrics}, {moment}."
    return Table(title, protocol, head, rows, [()] * len(rows), notes, leading=3, marks=best)


def _values(shootout: Shootout, place: int, *, same: bool) -> list[float]:
    """What each posterior reached on one target; NaN where nothing is known."""
    courses = [runner.courses[place] for runner in shootout.runners]
    return [_value(course, same=same) for course in courses]


def _value(course: Course | None, *, same: bool) -> float:
    if course is None:
        return math.nan
    return course.same if same else course.end


def _text(value: float) -> str:
    return number(value) if math.isfinite(value) else NOTHING


def _best(race: Race, values: list[float], runners: list[Runner]) -> list[int]:
    """The rows with the best value; a divergence below zero is no good one, nor is anything of a refuted posterior."""
    least = -0.01 if race.metric.endswith("kl") else -math.inf
    known = [
        (value, place)
        for place, (value, runner) in enumerate(zip(values, runners, strict=True))
        if value >= least and not (runner.verdict and runner.verdict.refuted)
    ]
    return [place for value, place in known if value == min(known)[0]]
