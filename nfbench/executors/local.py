"""The local executor: the groups of a plan in a pool of processes on this machine."""

import functools
import multiprocessing
import os
import queue
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.managers import SyncManager
from pathlib import Path

import torch

from nfbench.executors.progress import GroupProgress, Update
from nfbench.executors.progress import name as _name
from nfbench.records.cells import Record
from nfbench.records.store import finished
from nfbench.specification.config import Group
from nfbench.specification.registry import posteriors

_PATIENCE = 5.0  # seconds for the last updates to be shown
Report = Callable[[int, float], None]
Run = Callable[[Group, Path, str, Report | None], Sequence[Record]]
Lose = Callable[[Group, Path, str], Sequence[Record]]
Statuses = list[tuple[str, str]]  # (status, message) of each cell of a group


@dataclass
class Summary:
    """The outcomes of a plan's cells.

    Attributes:
        counts: number of cells run in this call, by status.
        skipped: number of cells that an earlier run had finished.
        failures: one line for each distinct error of a group.
    """

    counts: Counter[str] = field(default_factory=Counter)
    skipped: int = 0
    failures: list[str] = field(default_factory=list)


def execute(
    run: Run,
    lose: Lose,
    groups: Sequence[Group],
    root: Path,
    *,
    device: str = "cpu",
    jobs: int | None = None,
    force: bool = False,
) -> Summary:
    """Run the cells that are not finished yet, the groups with most work first, and store every outcome under `root`.

    Args:
        run: runs a group and stores its records: ``(group, root, device, report) -> records``; a function at the top of
            a module, so that processes can be given it.
        lose: stores failed records for a group whose process died: ``(group, root, device) -> records``.
        groups: the plan.
        root: folder of the records.
        device: torch device; the processes share it.
        jobs: processes at once; None: one for each core, or one on a GPU, as small programs use one core best.
        force: run finished cells again.

    Returns:
        How many cells ended with which status, and the errors of those that failed.
    """
    summary = Summary()
    waiting = []
    for group in groups:
        cells = tuple(cell for cell in group.cells if force or not finished(root, cell))
        summary.skipped += len(group.cells) - len(cells)
        if cells:
            waiting.append(group.model_copy(update={"cells": cells}))
    waiting.sort(key=_length, reverse=True)
    jobs = min(jobs or (1 if device.startswith("cuda") else os.cpu_count() or 1), max(1, len(waiting)))
    task = functools.partial(_run, run, root, device)
    with GroupProgress(waiting) as progress:
        outcomes = _inline(task, waiting, progress) if jobs == 1 else _isolated(task, waiting, jobs, progress)
        for group, outcome in outcomes:
            statuses = _statuses(lose(group, root, device)) if outcome is None else outcome
            summary.counts.update(status for status, _ in statuses)
            failed = {message for status, message in statuses if status == "failed"}
            summary.failures += [f"{group.target} | {group.posterior}: {message}" for message in sorted(failed)]
            progress.finish(group, statuses)
    return summary


def _length(group: Group) -> int:
    """An estimate of the work in a group: its updates times one more than its depth."""
    training = group.cells[0].training
    return (training.updates if training else 1) * (1 + posteriors.choose(group.posterior).depth)


def _statuses(records: Sequence[Record]) -> Statuses:
    """Status and message of every record."""
    return [(record.status, record.message or "") for record in records]


def _run(run: Run, root: Path, device: str, group: Group, report: Report) -> Statuses:
    """Run a group; only the statuses of its records return from a process."""
    return _statuses(run(group, root, device, report))


Task = Callable[[Group, Report], Statuses]
Outcomes = Iterator[tuple[Group, Statuses | None]]  # None: the process died


def _inline(task: Task, groups: Sequence[Group], progress: GroupProgress) -> Outcomes:
    """Run the groups one after the other in this process."""
    for group in groups:
        yield group, task(group, functools.partial(_send, progress.update, _name(group)))


def _isolated(task: Task, groups: Sequence[Group], jobs: int, progress: GroupProgress) -> Outcomes:
    """Run the groups in a pool of processes.

    A process that dies breaks its pool: each lost group is then tried once more, in a pool of its own.
    """
    lost = []
    for group, outcome in _pool(task, groups, jobs, progress):
        if outcome is None:
            lost.append(group)
        else:
            yield group, outcome
    for group in lost:
        yield from _pool(task, [group], 1, progress)


def _pool(task: Task, groups: Sequence[Group], jobs: int, progress: GroupProgress) -> Outcomes:
    """Run the groups in spawned processes, each with an equal share of the cores as threads."""
    context = multiprocessing.get_context("spawn")
    manager = SyncManager(ctx=context)
    manager.start(_end_with_parent)
    with manager:
        updates = manager.Queue()
        threads = max(1, (os.cpu_count() or 1) // jobs)
        pool = ProcessPoolExecutor(jobs, context, _start_worker, (threads, updates))
        try:
            with _shown(updates, progress):
                futures = {pool.submit(_in_worker, task, group): group for group in groups}
                for future in as_completed(futures):
                    yield futures[future], _result(future)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _result(future: "Future[Statuses]") -> Statuses | None:
    """A finished group's statuses; None where its process, or another of the pool, died."""
    try:
        return future.result()
    except BrokenProcessPool:
        return None


@contextmanager
def _shown(updates: "queue.Queue[Update | None]", progress: GroupProgress) -> Iterator[None]:
    """Show the workers' updates, from a thread that ends with the block; none where the queue is lost."""

    def listen() -> None:
        with suppress(Exception):
            while (update := updates.get()) is not None:
                progress.update(update)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        yield
    finally:
        with suppress(Exception):
            updates.put(None)
        listener.join(_PATIENCE)


_updates: "queue.Queue[Update | None] | None" = None  # the queue of a worker process for its updates


def _end_with_parent() -> None:
    """Exit this process as soon as its parent has ended, in whatever way; a rerun resumes from the checkpoint."""
    parent = multiprocessing.parent_process()
    if parent is None:
        raise RuntimeError("only a process that was started by another can end with it")

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _start_worker(threads: int, updates: "queue.Queue[Update | None]") -> None:
    """Set up a worker process: its threads, its warnings and its queue."""
    global _updates
    _end_with_parent()
    warnings.formatwarning = lambda message, *_: f"nfbench: warning: {message}\n"
    torch.set_num_threads(threads)
    _updates = updates


def _in_worker(task: Task, group: Group) -> Statuses:
    """Run a group in a worker process, with updates sent through the queue."""
    global _updates
    if _updates is None:
        raise RuntimeError("a worker runs groups only between its start, with a queue for updates, and an interrupt")
    try:
        return task(group, functools.partial(_send, _updates.put, _name(group)))
    except KeyboardInterrupt:
        _updates = None  # the pool has already handed out further groups, which must not be started
        raise


def _send(show: Callable[[Update], None], name: str, done: int, bound: float) -> None:
    """Show or queue an update; a failure, as when the queue's process was killed, does not stop the training."""
    with suppress(Exception):
        show(Update(name, done, bound))
