"""The local executor: runs the groups of a plan on this machine, in this process where that is safe."""

import functools
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nfbench.executors.claims import Claims, Sharing
from nfbench.executors.limits import Limits
from nfbench.executors.messages import Interrupted, Lost, Run, Statuses, Task, own_interrupt
from nfbench.executors.origins import check_importable, foreign_modules, may_run_here, needs_script
from nfbench.executors.pool import Pool
from nfbench.executors.progress import GroupProgress, Update
from nfbench.executors.progress import name as name_of
from nfbench.executors.worker import refuse_second_run, statuses
from nfbench.foundation.compiling import watch
from nfbench.foundation.errors import traceback_of
from nfbench.foundation.interrupts import Signals, Withdrawn, interruptible
from nfbench.records.cells import Record
from nfbench.records.store import finished
from nfbench.specification.config import Cell, Group
from nfbench.specification.registry import posteriors

ALONE = Sharing()
_PAUSE = 0.5  # seconds between two looks at groups that other processes hold

Lose = Callable[[Group, Path, str, Lost], Sequence[Record]]
NO_LIMITS = Limits()


@dataclass
class Summary:
    """The outcomes of a plan's cells.

    Attributes:
        counts: number of cells run in this call, by status.
        skipped: number of cells that an earlier run had finished.
        elsewhere: cells to which other processes gave an outcome during this call.
        left: cells without an outcome, as other processes hold them, or as no more groups were asked for.
        failures: one line for each distinct error of a group.
        statuses: a cell's id -> how it ended in this call.
    """

    counts: Counter[str] = field(default_factory=Counter)
    skipped: int = 0
    elsewhere: list[Cell] = field(default_factory=list)
    left: list[Cell] = field(default_factory=list)
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
    sharing: Sharing = ALONE,
    more_signals: Sequence[int] = (),
) -> Summary:
    """Run the cells that are not finished yet, the groups with most work first, and store every outcome under `root`.

    Any number of processes may do this at once, on any machines that share the folder: each claims the groups that it
    runs (`nfbench.executors.claims`).

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
        sharing: how the folder is shared with other processes.
        more_signals: that interrupt the run, beside Ctrl-C, SIGTERM and SIGHUP.

    Returns:
        How many cells ended with which status, and the errors of those that failed.

    Raises:
        InputError: several jobs or limits are asked for, and something is registered in this session only; or the
            folder is removed or cannot be written any more.
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
    with GroupProgress(waiting) as progress, interruptible(more_signals) as signals:
        session = _Session(run, lose, root, device, summary, progress, signals)
        share = functools.partial(Claims, root=root, sharing=sharing, force=force, closed=session.closed)
        with share(here) as own, share(apart) as foreign:
            task = Task(run, root, device, foreign_modules())
            pool = Pool(task, jobs, limits, signals, hide_main=not needs_script(run))
            while True:
                if foreign.left:
                    session.claims = foreign
                    pool.run(foreign.take, session.finish, session.update, progress.say)
                session.claims = own
                session.run_here()
                if not (own.left or foreign.left) or not sharing.wait:
                    break
                session.say_waiting(own.left + foreign.left)
                time.sleep(_PAUSE)
            summary.left = [*own.unfinished, *foreign.unfinished]
    return summary


class _Session:
    """The run of a plan in this process and those that it starts.

    Args:
        run: runs a group and stores its records.
        lose: stores failed records for a group whose process ended.
        root: folder of the records.
        device: torch device.
        summary: takes the outcomes.
        progress: shows them.
        signals: of this process, since the run began.

    Attributes:
        claims: where the groups come from that run now.
    """

    claims: Claims

    def __init__(
        self,
        run: Run,
        lose: Lose,
        root: Path,
        device: str,
        summary: Summary,
        progress: GroupProgress,
        signals: Signals,
    ) -> None:
        self._run, self._lose, self._root, self._device = run, lose, root, device
        self._summary, self._progress, self._signals = summary, progress, signals

    def finish(self, group: Group, outcome: Statuses | Lost | Interrupted) -> None:
        """Count what became of a group, and return its lease."""
        try:
            if isinstance(outcome, Interrupted):  # by a signal that ends the run, or as others have taken it over
                self.claims.put_back(group)
                return
            if isinstance(outcome, Lost):
                outcome = statuses(self._lose(group, self._root, self._device, outcome))
        finally:
            self.claims.give_back(group)
        summary, pairs = self._summary, zip(group.cells, outcome, strict=False)
        summary.counts.update(status for status, _ in outcome)
        summary.statuses.update((cell.id, status) for cell, (status, _) in pairs)
        failed = {message for status, message in outcome if status == "failed"}
        summary.failures.extend(f"{group.target} | {group.cells[0].name}: {message}" for message in sorted(failed))
        self._progress.finish(group, outcome)

    def closed(self, group: Group) -> None:
        """Count a group to which others have given its outcomes."""
        self._summary.elsewhere.extend(group.cells)
        self._progress.finish(group, [("finished by another process", "")] * len(group.cells))

    def update(self, group: Group, update: Update) -> None:
        """Show the progress of a group, and have others know it; one that others have taken over is left to them."""
        if self.claims.is_lost(group):
            raise Withdrawn
        self.claims.note(group, update.done, update.bound)
        self._progress.update(update)

    def run_here(self) -> None:
        """Run the groups that can be claimed, one after the other, in this process."""
        watch(self._progress.say)
        try:
            while (group := self.claims.take()) is not None:
                self.finish(group, self._inline(group))
        finally:
            watch(None)

    def say_waiting(self, groups: int) -> None:
        """Tell once that what is left is in other hands."""
        self._progress.say(f"waiting for groups that other processes hold ({groups} when this was written)")

    def _inline(self, group: Group) -> Statuses | Lost | Interrupted:
        """Run a group in this process; an error or an interrupt that its own code raised is its end."""

        def report(done: int, bound: float) -> None:
            self.update(group, Update(name_of(group), done, bound))

        try:
            return statuses(self._run(group, self._root, self._device, report))
        except Withdrawn:
            return Interrupted()
        except KeyboardInterrupt as error:
            if self._signals.count or not self._signals.watched:
                raise
            return Lost(own_interrupt(error), traceback_of(error))


def _length(group: Group) -> int:
    """An estimate of the work in a group: its updates times one more than its depth."""
    training = group.cells[0].training
    return (training.updates if training else 1) * (1 + posteriors.choose(group.posterior).depth)
