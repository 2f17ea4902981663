"""The local executor: runs the groups of a plan on this machine, in this process where that is safe."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nfbench.executors.limits import Limits
from nfbench.executors.messages import Lost, Run, Statuses, Task, own_interrupt
from nfbench.executors.origins import check_importable, foreign_modules, may_run_here, needs_script
from nfbench.executors.pool import Pool
from nfbench.executors.progress import GroupProgress, Update
from nfbench.executors.progress import name as name_of
from nfbench.executors.worker import refuse_second_run, statuses
from nfbench.foundation.compiling import watch
from nfbench.foundation.errors import traceback_of
from nfbench.foundation.interrupts import Signals, interruptible
from nfbench.records.cells import Record
from nfbench.records.store import finished
from nfbench.specification.config import Group
from nfbench.specification.registry import posteriors

Lose = Callable[[Group, Path, str, Lost], Sequence[Record]]
NO_LIMITS = Limits()


@dataclass
class Summary:
    """The outcomes of a plan's cells.

    Attributes:
        counts: number of cells run in this call, by status.
        skipped: number of cells that an earlier run had finished.
        failures: one line for each distinct error of a group.
        statuses: a cell's id -> how it ended in this call.
    """

    counts: Counter[str] = field(default_factory=Counter)
    skipped: int = 0
    failures: list[str] = field(default_factory=list)
    statuses: dict[str, str] = field(default_factory=dict)


def execute(
    run: Run,
    lose: Lose,
    groups: Sequence[Group],
    root: Path,
    *,
    device: str = "cpu",
    jobs: int | None = None,
    force: bool = False,
    limits: Limits = NO_LIMITS,
) -> Summary:
    """Run the cells that are not finished yet, the groups with most work first, and store every outcome under `root`.

    With one job and no limits, groups whose target and posterior are nfbench's own, or registered by the script or the
    notebook that calls this, run in this process; all others run in processes of their own, so that code which exits,
    crashes or hangs ends its own group only.

    Args:
        run: runs a group and stores its records: ``(group, root, device, report) -> records``; a function at the top of
            a module, so that processes can be given it.
        lose: stores failed records for a group whose process ended: ``(group, root, device, lost) -> records``.
        groups: the plan.
        root: folder of the records.
        device: torch device; the processes share it.
        jobs: processes at once; None: one for each core, or one on a GPU, as small programs use one core best.
        force: run finished cells again.
        limits: of a group.

    Returns:
        How many cells ended with which status, and the errors of those that failed.

    Raises:
        InputError: several jobs or limits are asked for, and something is registered in this session only.
        KeyboardInterrupt: interrupted by a signal; the groups in training have stored their state.
    """
    refuse_second_run()
    summary = Summary()
    waiting = []
    for group in groups:
        cells = tuple(cell for cell in group.cells if force or not finished(root, cell))
        summary.skipped += len(group.cells) - len(cells)
        if cells:
            waiting.append(group.model_copy(update={"cells": cells}))
    root = Path(os.path.abspath(root))  # noqa: PTH100  a plug-in may change the folder; links stay as they are
    waiting.sort(key=_length, reverse=True)
    jobs = min(jobs or (1 if device.startswith("cuda") else os.cpu_count() or 1), max(1, len(waiting)))
    here: list[Group] = []
    apart: list[Group] = []
    for group in waiting:
        (here if jobs == 1 and not limits and may_run_here(group) else apart).append(group)
    for group in apart:
        check_importable(group, jobs)
    with GroupProgress(waiting) as progress, interruptible() as signals:

        def finish(group: Group, outcome: Statuses | Lost) -> None:
            if isinstance(outcome, Lost):
                outcome = statuses(lose(group, root, device, outcome))
            summary.counts.update(status for status, _ in outcome)
            summary.statuses.update((cell.id, status) for cell, (status, _) in zip(group.cells, outcome, strict=False))
            failed = {message for status, message in outcome if status == "failed"}
            summary.failures.extend(f"{group.target} | {group.posterior}: {message}" for message in sorted(failed))
            progress.finish(group, outcome)

        if apart:
            task = Task(run, root, device, foreign_modules())
            pool = Pool(task, jobs, limits, signals, hide_main=not needs_script(run))
            pool.run(apart, finish, progress.update, progress.say)
        watch(progress.say)
        try:
            for group in here:
                finish(group, _inline(run, group, root, device, progress, signals))
        finally:
            watch(None)
    return summary


def _length(group: Group) -> int:
    """An estimate of the work in a group: its updates times one more than its depth."""
    training = group.cells[0].training
    return (training.updates if training else 1) * (1 + posteriors.choose(group.posterior).depth)


def _inline(
    run: Run, group: Group, root: Path, device: str, progress: GroupProgress, signals: Signals
) -> Statuses | Lost:
    """Run a group in this process; an error or an interrupt that its own code raised is its end."""

    def report(done: int, bound: float) -> None:
        progress.update(Update(name_of(group), done, bound))

    try:
        return statuses(run(group, root, device, report))
    except KeyboardInterrupt as error:
        if signals.count or not signals.watched:
            raise
        return Lost(own_interrupt(error), traceback_of(error))
