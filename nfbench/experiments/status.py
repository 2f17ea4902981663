"""The state of a folder of results: what is done, running where, waiting, failed and stale."""

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nfbench.executors.claims import FOLDER, lease_of
from nfbench.executors.engine import engine_files, log_of
from nfbench.experiments.folders import checkpoint_of
from nfbench.experiments.plans import stored_plans
from nfbench.foundation.file_clock import file_clock
from nfbench.foundation.files import entries
from nfbench.foundation.leases import SUFFIX, Held, look
from nfbench.records.cells import FINISHED, Record
from nfbench.records.store import DIFFERS, records
from nfbench.specification.choices import LOGS
from nfbench.specification.config import Cell, Group

_KEPT = (".damaged", DIFFERS)  # in names of files that stand aside for somebody to look at


@dataclass(frozen=True)
class Work:
    """A group that a process holds, or held when it ended.

    Attributes:
        name: experiment, target, posterior and seeds.
        cells: number of its cells without an outcome; of what it says itself where no plan has it.
        owner: host and process.
        since: seconds since it was claimed.
        silent: seconds since the last sign of life.
        done: number of updates done.
        updates: number of updates that it has.
        bound: mean bound F in nats at the last sign of life; None where there is none yet.
        log: file of what the worker says; None where no engine has started it.
    """

    name: str
    cells: int
    owner: str
    since: float
    silent: float
    done: int
    updates: int
    bound: float | None
    log: str | None = None


@dataclass(frozen=True)
class Failure:
    """Cells of one target and posterior that failed alike.

    Attributes:
        name: experiment, target and posterior.
        seeds: of the cells.
        message: why.
    """

    name: str
    seeds: tuple[int, ...]
    message: str


@dataclass(frozen=True)
class Waiting:
    """Cells of one target and posterior that nobody runs.

    Attributes:
        name: experiment, target and posterior.
        seeds: of the cells.
        resumable: whether the state of an unfinished training is stored.
    """

    name: str
    seeds: tuple[int, ...]
    resumable: bool


@dataclass(frozen=True)
class Status:
    """The state of a folder of results.

    Attributes:
        root: the folder.
        counts: number of cells: done, diverged, failed, running, stale, waiting.
        running: groups whose holders live.
        stale: groups whose holders have ended or were silent for too long; the next worker takes them over.
        waiting: groups of stored plans that nobody runs.
        failed: why cells failed.
        aside: files that stand aside for somebody to look at: damaged ones, and second outcomes of other numbers.
        logs: files of what workers said that an engine has started.
    """

    root: Path
    counts: dict[str, int]
    running: list[Work]
    stale: list[Work]
    waiting: list[Waiting]
    failed: list[Failure]
    aside: list[Path]
    logs: list[Path]

    @property
    def is_over(self) -> bool:
        """Whether nothing runs and nothing waits."""
        return not (self.running or self.stale or self.waiting)


def status(root: Path) -> Status:
    """Look at a folder of results.

    Args:
        root: folder of the records.

    Returns:
        What the plans, records and leases in it say.

    Raises:
        InputError: the folder or a plan cannot be read.
    """
    groups: dict[Path, list[Group]] = {}
    for group in (group for plan in stored_plans(root).values() for group in plan):
        groups.setdefault(lease_of(group, root), []).append(group)
    outcomes = {record.id: record for record in records(root)}
    counts: Counter[str] = Counter(record.status for record in outcomes.values() if record.status != "interrupted")
    running: list[Work] = []
    stale: list[Work] = []
    waiting: list[Waiting] = []
    now = _now(root)
    held = {lease.file: lease for lease in leases(root)}
    for file, lease in held.items():
        open_cells = [cell for group in groups.get(file, []) for cell in _open(group, outcomes)]
        work = _work(lease, len(open_cells), now, root)
        works, kind = (stale, "stale") if lease.is_stale(now) else (running, "running")
        works.append(work)
        counts[kind] += work.cells
        counts["failed"] -= sum(cell.id in outcomes and outcomes[cell.id].status == "failed" for cell in open_cells)
    for file, parts in groups.items():
        for group in parts if file not in held else ():
            if cells := [cell for cell in _open(group, outcomes) if not _has_failed(cell, outcomes)]:
                seeds = tuple(cell.seed for cell in cells)
                waiting.append(Waiting(_name(cells[0]), seeds, checkpoint_of(group, root).exists()))
                counts["waiting"] += len(cells)
    failed = _failures([record for record in outcomes.values() if record.status == "failed"])
    kinds = ("done", "diverged", "failed", "running", "stale", "waiting")
    known = {kind: counts[kind] for kind in kinds}
    return Status(root, known, running, stale, waiting, failed, aside(root), logs(root))


def leases(root: Path, suffix: str = SUFFIX) -> list[Held]:
    """The leases in a folder of results.

    Args:
        root: folder of the records.
        suffix: of their names.

    Returns:
        What each says, sorted by file.

    Raises:
        InputError: a folder cannot be read.
    """
    files = [file for folder in entries(root) for file in entries(folder / FOLDER) if file.name.endswith(suffix)]
    return [held for file in files if (held := look(file)) is not None]


def aside(root: Path) -> list[Path]:
    """Files that stand aside for somebody to look at.

    Args:
        root: folder of the records.

    Returns:
        Damaged records, and second outcomes of finished cells with other numbers.

    Raises:
        InputError: a folder cannot be read.
    """
    return [file for folder in entries(root) for file in entries(folder) if any(kind in file.name for kind in _KEPT)]


def logs(root: Path) -> list[Path]:
    """Files of what workers said that an engine has started, and of the engine itself.

    Args:
        root: folder of the records.

    Returns:
        Paths, the workers' first.

    Raises:
        InputError: a folder cannot be read.
    """
    return [file for folder in (root / LOGS, engine_files(root)) for file in entries(folder) if file.is_file()]


def _now(root: Path) -> float:
    """The time of the folder's file system; of this machine where nothing can be written there."""
    try:
        return file_clock(root)
    except OSError:
        return time.time()


def _open(group: Group, outcomes: dict[str, Record]) -> list[Cell]:
    return [cell for cell in group.cells if cell.id not in outcomes or outcomes[cell.id].status not in FINISHED]


def _has_failed(cell: Cell, outcomes: dict[str, Record]) -> bool:
    return cell.id in outcomes and outcomes[cell.id].status == "failed"


def _name(cell: Cell) -> str:
    return f"{cell.experiment} {cell.target} {cell.name}"


def _work(lease: Held, cells: int, now: float, root: Path) -> Work:
    about: dict[str, Any] = lease.about
    bound = about.get("bound")
    log = log_of(lease.owner, root) if lease.owner else None
    return Work(
        name=f"{about.get('name', lease.file.stem)} | seeds {about.get('seeds', '?')}",
        cells=cells or int(about.get("cells", 0)),
        owner=lease.owner.name if lease.owner else "unknown",
        since=max(0.0, now - lease.since) if lease.since else 0.0,
        silent=lease.age(now),
        done=int(about.get("done", 0)),
        updates=int(about.get("updates", 0)),
        bound=float(bound) if isinstance(bound, int | float) else None,
        log=str(log) if log is not None and log.is_file() else None,
    )


def _failures(failed: list[Record]) -> list[Failure]:
    alike: dict[tuple[str, str], list[int]] = {}
    for record in failed:
        alike.setdefault((_name(record.cell), record.message or "no message"), []).append(record.cell.seed)
    return [Failure(name, tuple(sorted(seeds)), message) for (name, message), seeds in alike.items()]
