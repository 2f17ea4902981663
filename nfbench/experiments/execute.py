"""An experiment from its name to its records: the plan, its execution, and the outcomes."""

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any

from nfbench.executors.claims import Sharing
from nfbench.executors.limits import Limits
from nfbench.executors.local import ALONE, NO_LIMITS, Summary
from nfbench.executors.local import execute as execute_locally
from nfbench.experiments.folders import gone, prepare
from nfbench.experiments.library import load
from nfbench.experiments.plan import label, parse_seeds, plan, profile_of, typed
from nfbench.experiments.plans import remove_plan, store_plan
from nfbench.experiments.run_group import lose_group, run_group
from nfbench.foundation.checks import brief, instance, whole_number
from nfbench.foundation.environment import check_device
from nfbench.foundation.errors import InputError
from nfbench.present.results import Results
from nfbench.published.catalogue import experiment_of
from nfbench.specification.config import Cell, Group
from nfbench.training.acceleration import PLAIN, Acceleration


@dataclass(frozen=True)
class Run:
    """The outcomes of the cells of a plan.

    Attributes:
        groups: the plan.
        root: folder of the records.
        counts: number of cells by outcome in this call: done, diverged, failed, interrupted; lost, where the record
            was removed meanwhile.
        skipped: number of cells that an earlier run had finished.
        elsewhere: number of cells to which other processes gave an outcome meanwhile.
        left: number of cells without an outcome, as other processes hold them, or as no more groups were asked for.
        failures: one line for each distinct error of a group.
    """

    groups: Sequence[Group] = field(repr=False)
    root: Path
    counts: Counter[str]
    skipped: int
    failures: list[str]
    elsewhere: int = 0
    left: int = 0

    @functools.cached_property
    def results(self) -> Results:
        """The results of these cells only, read when they are first asked for."""
        return Results(self.root).narrowed(cell.id for group in self.groups for cell in group.cells)

    @property
    def tracebacks(self) -> list[str]:
        """The distinct tracebacks of the cells that failed, each under the name of its target and posterior."""
        records = self.results.records.values()
        failed = (record for record in records if record.status == "failed" and record.traceback)
        texts = (f"{record.cell.target} | {record.cell.name}:\n{record.traceback}" for record in failed)
        return list(dict.fromkeys(texts))

    @property
    def summary(self) -> str:
        """One line: cells by outcome, and where the records are."""
        total = sum(len(group.cells) for group in self.groups)
        counts = ", ".join(f"{count} {status}" for status, count in self.counts.items() if count)
        before = f"{self.skipped} were finished before"
        others = f"; {self.elsewhere} by other processes meanwhile" if self.elsewhere else ""
        left = f"; {self.left} left" if self.left else ""
        cells = f"{total} cell{'s' * (total != 1)}"
        return f"{cells}: {counts or 'none run'}; {before}{others}{left}; records in {self.root}"


def plan_experiment(
    name: str,
    profile: str,
    posteriors: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    seeds: Sequence[int] | str | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> list[Group]:
    """Plan the cells of an experiment; a published figure's name stands for its experiment.

    Args:
        name: of a packaged experiment or published figure, or a ``.yaml`` file.
        profile: name of the budget.
        posteriors: specs in place of the experiment's.
        targets: specs in place of the experiment's.
        seeds: seeds in place of the profile's: numbers, or a text such as ``0-9``.
        overrides: dotted keys of the profile -> values; they become part of the profile's name in records.

    Returns:
        One group for each target and posterior, with a cell for each seed.

    Raises:
        InputError: an unknown name, spec, option or key, a seed that is none, or missing data.
    """
    _check_list("posteriors", posteriors)
    _check_list("targets", targets)
    instance("run", "profile", profile, str, "the name of a profile, such as quick")
    instance("run", "overrides", overrides, (Mapping, NoneType), "keys with values, such as {'training.updates': 100}")
    instance("run", "seeds", seeds, (Sequence, NoneType), "numbers, or a text such as 0-9")
    if seeds is not None and not seeds:
        raise InputError(f"run: seeds={seeds!r}: expected at least one")
    numbers = parse_seeds(seeds) if isinstance(seeds, str) else seeds
    for seed in numbers or ():
        whole_number("run", "seed", seed)
    name = experiment_of(name)
    experiment = load(name)
    profile_of(experiment, profile)
    changes = dict(overrides or {})
    for key in changes:
        instance("run", "overrides", key, str, "dotted keys as text, such as training.updates")
    if changes:
        experiment = load(name, {f"profiles.{profile}.{key}": value for key, value in changes.items()})
        changes = typed(profile_of(experiment, profile), changes)
    return plan(
        experiment, profile, posteriors=posteriors, targets=targets, seeds=numbers, overrides_label=label(changes)
    )


def _check_list(name: str, specs: Sequence[str] | None) -> None:
    if specs is None:
        return
    if isinstance(specs, str) or not isinstance(specs, Sequence) or not all(isinstance(spec, str) for spec in specs):
        raise InputError(f"{name}={brief(specs)}: expected a list of specs, e.g. ['planar:K=8']")


def execute(
    groups: Sequence[Group],
    root: Path,
    device: str = "cpu",
    jobs: int | None = None,
    *,
    force: bool = False,
    acceleration: Acceleration = PLAIN,
    limits: Limits = NO_LIMITS,
    sharing: Sharing = ALONE,
    more_signals: Sequence[int] = (),
) -> Run:
    """Run the groups that are not finished and store every outcome, beside any other processes that do the same.

    The plan is stored in the folder while cells of it are without an outcome, so that others can help.

    Args:
        groups: the plan.
        root: folder of the records.
        device: torch device.
        jobs: processes at once; None: one for each core, or one on a GPU.
        force: run finished cells again.
        acceleration: how updates are run.
        limits: what a group may use of time and memory.
        sharing: how the folder is shared with other processes.
        more_signals: that interrupt the run, beside Ctrl-C, SIGTERM and SIGHUP.

    Returns:
        The outcomes, with access to the records.

    Raises:
        InputError: no such device, a folder that cannot be written, or an acceleration that the device does not have.
        KeyboardInterrupt: Ctrl-C, SIGTERM or SIGHUP came; finished cells are stored, the same call resumes the rest.
    """
    check_device(device)
    if jobs is not None:
        whole_number("run", "jobs", jobs, least=1)
    acceleration.check(device)
    prepare(groups, root)
    run = functools.partial(run_group, acceleration=acceleration, first_wins=not force)
    stored = store_plan(groups, root)
    summary = execute_locally(
        run,
        lose_group,
        groups,
        root,
        device=device,
        jobs=jobs,
        force=force,
        limits=limits,
        sharing=sharing,
        more_signals=more_signals,
    )
    left = {cell.id for cell in summary.left}
    if not left:
        remove_plan(stored)
    _count_lost(summary, [cell for cell in gone(groups, root) if cell.id not in left], root)
    elsewhere = len(summary.elsewhere)
    return Run(groups, root, summary.counts, summary.skipped, summary.failures, elsewhere, len(left))


def _count_lost(summary: Summary, cells: Sequence[Cell], root: Path) -> None:
    """Count cells whose records are not there any more as lost, whatever they were counted as."""
    for cell in cells:
        if status := summary.statuses.get(cell.id):
            summary.counts[status] -= 1
        elif cell in summary.elsewhere:
            summary.elsewhere.remove(cell)
        else:
            summary.skipped -= 1
    if cells:
        summary.counts["lost"] += len(cells)
        number = f"{len(cells)} record{'s' * (len(cells) != 1)}"
        summary.failures.append(f"{number} under {root} disappeared during the run, such as that of {cells[0].id}")
