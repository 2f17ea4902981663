"""Claims of groups: what of a plan this process may run now, in a folder of records that others may work on too."""

import contextlib
import errno
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nfbench.executors.progress import name as name_of
from nfbench.foundation.errors import InputError
from nfbench.foundation.interrupts import deferred
from nfbench.foundation.leases import RENEWALS, SECONDS, SUFFIX, Kept, Lease, claim
from nfbench.records.cells import FINISHED
from nfbench.records.store import finished, path, read
from nfbench.specification.config import Cell, Group

FOLDER = "leases"  # of an experiment's folder of records
_LEAST_LEASE = 1  # second
_PAUSE = 2.0  # seconds between two attempts at groups that others hold


@dataclass(frozen=True)
class Sharing:
    """How a process shares a folder of records with others.

    Attributes:
        lease_seconds: without a sign of life after which others may take a group over.
        retry: run the cells again that had failed when this process began; else a failure is an outcome like others.
        failed_before: with `retry`, only those whose failure was stored before this time of the file system's clock, in
            seconds since 1970: of several processes that begin at different times for one sweep, none repeats what
            another has just seen fail.
        most_groups: number of groups after which no more are claimed; None: without limit.
        wait: for the groups that others hold, to take them over should their process die.
    """

    lease_seconds: float = SECONDS
    retry: bool = True
    failed_before: float = float("inf")
    most_groups: int | None = None
    wait: bool = True

    def __post_init__(self) -> None:
        if not _LEAST_LEASE <= self.lease_seconds < float("inf"):
            raise InputError(f"lease_seconds={self.lease_seconds!r}: expected a number of seconds from {_LEAST_LEASE}")


def lease_of(group: Group, root: Path) -> Path:
    """Where the lease of a group lies, whichever cells of its block are asked for.

    Args:
        group: cells that train as one program.
        root: folder of the records.

    Returns:
        ``<root>/<experiment>/leases/<key>.lease``.
    """
    return root / group.cells[0].experiment / FOLDER / f"{group.key}{SUFFIX}"


class Claims:
    """The groups of a plan that are left for this process; a context manager around its work.

    A thread renews the leases that the process holds.

    Args:
        groups: those with cells that are not finished, in the order in which they are tried.
        root: folder of the records.
        sharing: how the folder is shared.
        force: claim all cells of a group, also finished ones.
        closed: called with each group whose cells others have finished.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        root: Path,
        sharing: Sharing,
        *,
        force: bool = False,
        closed: Callable[[Group], None] = lambda _: None,
    ) -> None:
        self._left, self._root, self._sharing, self._force, self._closed = deque(groups), root, sharing, force, closed
        self._failed = {
            cell.id: failure
            for group in groups
            for cell in group.cells
            if (failure := self._failure(cell)) and self._is_earlier(cell)
        }
        self._claimed = 0
        self._pause_ends = 0.0
        self._held: dict[str, tuple[Lease, Group]] = {}
        self._lost: set[str] = set()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._folder: int | None = None  # the folder of the records, opened, so that another of its name is told apart

    def __enter__(self) -> "Claims":
        with contextlib.suppress(OSError):
            self._root.mkdir(parents=True, exist_ok=True)
            self._folder = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        threading.Thread(target=self._renew, daemon=True, name="nfbench-leases").start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._ended.set()
        for _, group in list(self._held.values()):
            self.give_back(group)
        if self._folder is not None:
            with contextlib.suppress(OSError):  # a group's code may have closed it
                os.close(self._folder)

    @property
    def left(self) -> int:
        """Number of groups that were neither claimed nor closed: others hold them, or held them lately."""
        exhausted = self._sharing.most_groups is not None and self._claimed >= self._sharing.most_groups
        return 0 if exhausted else len(self._left)

    @property
    def unfinished(self) -> list[Cell]:
        """The cells of the groups that are left."""
        return [cell for group in self._left for cell in group.cells]

    def take(self) -> Group | None:
        """Claim the next group.

        Returns:
            It, with those of its cells that have no outcome yet; None where there is none now.

        Raises:
            InputError: the folder of the records is gone or cannot be written.
        """
        if not self.left or time.monotonic() < self._pause_ends:
            return None
        if not self._is_there():
            raise InputError(
                f"folder of results {str(self._root)!r} was removed or replaced during the run: expected it to stay"
            )
        for _ in range(len(self._left)):
            group = self._left.popleft()
            if not self._claim(group):
                self._left.append(group)
                continue
            cells = tuple(cell for cell in group.cells if self._is_open(cell))
            if cells:
                self._claimed += 1
                return group.model_copy(update={"cells": cells})
            self.give_back(group)
            self._closed(group)
        self._pause_ends = time.monotonic() + min(_PAUSE, self._sharing.lease_seconds / RENEWALS)
        return None

    def give_back(self, group: Group) -> None:
        """Return the lease of a group that has ended, in whatever way.

        Args:
            group: one that `take` gave.
        """
        with deferred():
            with self._lock:
                lease, _ = self._held.pop(group.key, (None, None))
            if lease is not None:
                lease.release()

    def put_back(self, group: Group) -> None:
        """Have a group that has ended without outcomes be tried again later.

        Args:
            group: one that `take` gave.
        """
        self.give_back(group)
        self._left.append(group)

    def is_lost(self, group: Group) -> bool:
        """Whether another process has taken a group over, as this one was silent for too long.

        Args:
            group: one that `take` gave.

        Returns:
            True from when a renewal has found that out.
        """
        return group.key in self._lost

    def note(self, group: Group, done: int, bound: float) -> None:
        """Keep how far a group is; the next renewal tells it to others.

        Args:
            group: one that `take` gave.
            done: number of updates done.
            bound: mean bound F in nats.
        """
        held = self._held.get(group.key)
        if held is not None:
            held[0].about |= {"done": done, "bound": bound if abs(bound) < float("inf") else None}

    def _renew(self) -> None:
        with contextlib.suppress(AttributeError, OSError):  # signals are for the thread that runs groups
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while not self._ended.wait(self._sharing.lease_seconds / RENEWALS):
            for lease, group in list(self._held.values()):
                with self._lock:
                    if group.key in self._held and self._is_taken(lease, group):
                        self._lost.add(group.key)

    def _claim(self, group: Group) -> bool:
        """Hold the lease of a group, if it can be had; a signal at this moment does not leave it behind."""
        with deferred():
            lease = claim(lease_of(group, self._root), self._about(group), self._sharing.lease_seconds)
            if lease is not None:
                with self._lock:
                    self._held[group.key] = lease, group
                    self._lost.discard(group.key)
        return lease is not None

    def _is_taken(self, lease: Lease, group: Group) -> bool:
        """Renew a lease; whether it is another's by now, or its group has been finished by another."""
        kept = lease.renew()
        if kept is Kept.ABSENT:
            with contextlib.suppress(OSError, InputError):
                return all(finished(self._root, cell, tell=False) for cell in group.cells) or not lease.create()
        return kept is Kept.LOST

    def _is_there(self) -> bool:
        """Whether the folder of the records is still the one that it was."""
        try:
            there = self._root.stat()
            return self._folder is None or os.path.samestat(os.fstat(self._folder), there)
        except OSError as error:
            return error.errno == errno.EBADF  # a group's code has closed it

    def _is_open(self, cell: Cell) -> bool:
        """Whether a cell is to be run: it has no outcome, or one that this process is to try again."""
        if self._force:
            return True
        failure = self._failure(cell)  # before the look that follows: meanwhile another may finish the cell
        if failure is not None:
            return self._sharing.retry and failure == self._failed.get(cell.id)
        return not finished(self._root, cell, tell=False)  # the executor has told of a damaged record

    def _failure(self, cell: Cell) -> str | None:
        """What tells one failure of a cell from the next; None where it has not failed."""
        with contextlib.suppress(InputError):
            record = read(path(self._root, cell.experiment, cell.id))
            return f"{record.finished} {record.digest}" if record.status not in (*FINISHED, "interrupted") else None
        return None

    def _is_earlier(self, cell: Cell) -> bool:
        """Whether a failure was stored before those of this sweep."""
        with contextlib.suppress(OSError):
            return path(self._root, cell.experiment, cell.id).stat().st_mtime < self._sharing.failed_before
        return False

    def _about(self, group: Group) -> dict[str, object]:
        training = group.cells[0].training
        return {
            "name": name_of(group),
            "seeds": f"{min(group.seeds)}-{max(group.seeds)}",
            "cells": len(group.cells),
            "done": 0,
            "updates": training.updates if training else 1,
        }
