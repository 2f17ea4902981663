"""Running random cells of a folder of results again, to see whether its records hold."""

import contextlib
import math
import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import scipy

from nfbench.analysis.changes import within_error
from nfbench.analysis.comparison import holm
from nfbench.executors.limits import Limits
from nfbench.executors.local import NO_LIMITS
from nfbench.experiments.execute import execute
from nfbench.experiments.recheck_sample import Pick, Sample
from nfbench.foundation.environment import now
from nfbench.foundation.errors import InputError
from nfbench.foundation.files import check_writable
from nfbench.records import rechecks
from nfbench.records.cells import FINISHED, Metric, Record
from nfbench.records.glossary import measure, ordered
from nfbench.records.outcomes import Outcome
from nfbench.records.rechecks import Recheck, Verdict
from nfbench.records.store import path, read
from nfbench.specification.choices import RECHECKS
from nfbench.specification.config import Cell, Group

LEVEL = 0.05  # of the tests of all metrics of all cells together


@dataclass(frozen=True)
class Checked:
    """A cell that was run again.

    Attributes:
        cell: of the record.
        verdict: ``equal`` bit by bit, ``within error``, ``differs``, or None where the new run gave no outcome.
        detail: by how much the metrics differ, or why there is no outcome.
    """

    cell: Cell
    verdict: Verdict | None
    detail: str


def recheck(sample: Sample, root: Path, jobs: int | None = None, limits: Limits = NO_LIMITS) -> list[Checked]:
    """Run the cells of a sample again in a temporary folder, and store beside the records what came out.

    The seeds of a block train together again, so that on the same machine and versions numbers are equal bit by bit.
    Elsewhere rounding differs, and with it what a training ends at: then each metric is tested against its stored
    Monte-Carlo error and that of the new run, with p-values adjusted by Holm's method over all metrics of all cells.

    Args:
        sample: the cells.
        root: folder of the records.
        jobs: processes at once; None: as many as a run has.
        limits: what a training may use of time and memory, as a record may ask for anything.

    Returns:
        One verdict a cell, in the order of the sample.

    Raises:
        InputError: the folder cannot be written, or a device is not here.
        KeyboardInterrupt: interrupted; nothing is stored.
    """
    check_writable(root / RECHECKS)
    try:
        return _judged(sample.picks, _run(sample, jobs, limits), root)
    finally:
        with contextlib.suppress(OSError):  # some are stored
            (root / RECHECKS).rmdir()


def _run(sample: Sample, jobs: int | None, limits: Limits) -> dict[str, Record | str]:
    """By id of the cell its new record, or why there is none."""
    again: dict[str, Record | str] = {}
    with tempfile.TemporaryDirectory(prefix="nfbench-recheck-") as folder:
        for (device, acceleration), picks in sample.by_machine().items():
            groups = _groups(picks)
            execute(groups, Path(folder), device, jobs, acceleration=acceleration, limits=limits)
            again |= {pick.cell.id: _outcome(Path(folder), pick.cell) for pick in picks}
    return again


def _groups(picks: Sequence[Pick]) -> list[Group]:
    """The cells of each block together; of records from before there were blocks with all cells that trained along."""
    together: dict[str, list[Pick]] = {}
    for pick in picks:
        together.setdefault(pick.group.key, []).append(pick)
    return [
        Group(cells=tuple({cell.id: cell for pick in those for cell in pick.group.cells}.values()), order=(0, number))
        for number, those in enumerate(together.values())
    ]


def _outcome(folder: Path, cell: Cell) -> Record | str:
    """The new record, or why there is none."""
    try:
        record = read(path(folder, cell.experiment, cell.id))
    except InputError as error:
        return f"no outcome: {error}"
    return record if record.status in FINISHED else f"{record.status}: {record.message}"


def _judged(picks: Sequence[Pick], again: dict[str, Record | str], root: Path) -> list[Checked]:
    tests = {pick.cell.id: dict(_tests(pick.outcome, again[pick.cell.id])) for pick in picks}
    names = [(id, name) for id, values in tests.items() for name in values]
    adjusted = dict(zip(names, holm([tests[id][name] for id, name in names]), strict=True))
    checked = []
    for pick in picks:
        record = again[pick.cell.id]
        if isinstance(record, str):
            checked.append(Checked(pick.cell, None, record))
            continue
        p_values = {name: adjusted[pick.cell.id, name] for name in tests[pick.cell.id]}
        verdict, detail = _verdict(pick.outcome, record, p_values)
        checked.append(Checked(pick.cell, verdict, detail))
        rechecks.write(root, _stored(pick.outcome, record, verdict, detail))
    return checked


def _tests(old: Outcome, new: Record | str) -> Iterator[tuple[str, float]]:
    """By metric the p-value that both values estimate the same; NaN where no error is stored."""
    if isinstance(new, str) or old.equals(Outcome.of(new)):
        return
    for name in [name for name in old.metrics if name in new.metrics]:
        yield name, _p_value(old.metrics[name], new.metrics[name])


def _p_value(old: Metric, new: Metric) -> float:
    error = math.hypot(old.se or 0.0, new.se or 0.0)
    if within_error(Metric(value=old.value), Metric(value=new.value)):
        return 1.0  # rounding
    return 2 * float(scipy.stats.norm.sf(abs(new.value - old.value) / error)) if error else math.nan


def _verdict(old: Outcome, new: Record, p_values: dict[str, float]) -> tuple[Verdict, str]:
    if old.equals(Outcome.of(new)):
        return "equal", "bit by bit"
    if old.status != new.status:
        return "differs", f"{old.status} -> {new.status}"
    if old.metrics.keys() != new.metrics.keys():
        return "differs", f"other metrics: {', '.join(ordered(sorted(old.metrics.keys() ^ new.metrics.keys())))}"
    if all(metric.value == new.metrics[name].value for name, metric in old.metrics.items()):
        return "differs", "the metrics are equal, but not the curves or arrays"
    if all(math.isnan(value) for value in p_values.values()):
        return "differs", "no metric has an error to compare with"
    beyond = [name for name, value in p_values.items() if value <= LEVEL]
    shown = ordered(beyond) or [min(p_values, key=lambda name: (math.isnan(p_values[name]), p_values[name]))]
    detail = ", ".join(_change(name, old.metrics[name], new.metrics[name]) for name in shown)
    return ("differs" if beyond else "within error"), detail if beyond else f"largest: {detail}"


def _change(name: str, old: Metric, new: Metric) -> str:
    error = math.hypot(old.se or 0.0, new.se or 0.0)
    difference = new.value - old.value
    far = f", {abs(difference) / error:.1f} standard errors" if error else ""
    return f"{measure(name).title} {old.value:.6g} -> {new.value:.6g} ({difference:+.2g}{far})"


def _stored(old: Outcome, new: Record, verdict: Verdict, detail: str) -> Recheck:
    return Recheck(
        id=new.id,
        numbers=old.numbers,
        verdict=verdict,
        detail=detail,
        status=new.status,
        metrics=new.metrics,
        finished=now(),
        provenance=new.provenance,
    )


def seed_of_chance() -> int:
    """A seed that nobody has chosen.

    Returns:
        Up to six digits.
    """
    return random.SystemRandom().randrange(10**6)
