"""Worker processes that run groups: each has one group at a time, so that one which dies takes no other along."""

import contextlib
import multiprocessing
import os
import signal
import tempfile
import time
from collections import deque
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from pathlib import Path

from nfbench.executors.limits import Limits
from nfbench.executors.messages import Begun, Ended, Interrupted, Lost, Note, Raised, Statuses, Task
from nfbench.executors.processes import crash, death, end, main_hidden
from nfbench.executors.progress import Update
from nfbench.executors.worker import UNGUARDED, serve, where
from nfbench.foundation.errors import InputError
from nfbench.foundation.interrupts import Signals, Withdrawn
from nfbench.foundation.terminal import fill_closed_streams
from nfbench.specification.config import Group

_TICK = 0.1  # seconds between two looks at limits and at processes that died
_START = 120.0  # seconds in which a worker must have imported what it needs, where there is a limit
_GRACE = 5.0  # seconds in which a group over its time can store its state
_PATIENCE = 30.0  # seconds in which interrupted groups can store theirs
_GIBIBYTE = 2**30


Finish = Callable[[Group, Statuses | Lost | Interrupted], None]


class _Worker:
    """A process with a group."""

    def __init__(self, task: Task, group: Group, crash_file: Path, *, hide_main: bool) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection: Connection
        self.connection, other_end = context.Pipe()
        self.crash_file = crash_file
        self.process = context.Process(target=serve, args=(other_end, task, crash_file), name="nfbench-worker")
        with main_hidden() if hide_main else contextlib.nullcontext():
            self.process.start()
        other_end.close()
        self.group: Group | None = None
        self.limit: str | None = None  # the limit that its group went over
        self.deadline = float("inf")
        self.began = time.monotonic() + _START
        self.send(group)

    def send(self, group: Group) -> None:
        """Give it a group; one that is dead is found out later."""
        self.group = group
        with contextlib.suppress(OSError):
            self.connection.send(group)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        with contextlib.suppress(OSError):
            os.kill(self.process.pid or 0, number)

    def end(self) -> None:
        """Kill it with all that it has started, and wait for its end."""
        end(self.process)
        self.connection.close()

    def seconds(self) -> float:
        """How long its group has run; 0 where it has not begun."""
        return max(0.0, time.monotonic() - self.began)

    def memory(self) -> float:
        """Its resident memory in GiB."""
        try:
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        except (OSError, ValueError, IndexError):
            return 0.0
        return pages * os.sysconf("SC_PAGE_SIZE") / _GIBIBYTE


class Pool:
    """Workers for groups: as many at once as `jobs`, each used again while it is as it was at its start.

    Args:
        task: how groups are run.
        jobs: processes at once.
        limits: of a group.
        signals: of this process, since the run began.
        hide_main: whether workers start without the script that this process runs.
    """

    def __init__(self, task: Task, jobs: int, limits: Limits, signals: Signals, *, hide_main: bool) -> None:
        self._task, self._jobs, self._limits, self._signals, self._hide_main = task, jobs, limits, signals, hide_main
        self._workers: list[_Worker] = []
        self._killed: list[Group] = []  # by somebody; tried once more, alone

    def run(
        self,
        take: Callable[[], Group | None],
        finish: Finish,
        update: Callable[[Group, Update], None],
        note: Callable[[str], None],
    ) -> None:
        """Run groups as workers become free, until there are none to be had.

        Args:
            take: gives the next group; None where there is none now.
            finish: called with each group at its end.
            update: called with a group and its progress; what it raises as `Withdrawn` ends the group.
            note: called with what a worker has to tell.

        Raises:
            InputError: the script that this process runs cannot be imported by workers.
            KeyboardInterrupt: a signal came; the groups in training have stored their state.
        """
        fill_closed_streams()
        with tempfile.TemporaryDirectory(prefix="nfbench-") as folder:
            self._finish, self._update, self._note, self._folder = finish, update, note, Path(folder)
            try:
                self._run(take, self._jobs, alone=False)
                killed = deque(self._killed)
                self._run(lambda: killed.popleft() if killed else None, 1, alone=True)
            except KeyboardInterrupt:
                self._store_all()
                raise
            finally:
                for worker in self._workers:
                    worker.end()
                self._workers.clear()

    def _run(self, take: Callable[[], Group | None], jobs: int, *, alone: bool) -> None:
        while True:
            for worker in self._workers:
                if worker.group is None and (group := take()) is not None:
                    worker.send(group)
            while len(self._workers) < jobs and (group := take()) is not None:
                self._start(group)
            if not any(worker.group for worker in self._workers):
                return
            self._listen()
            for worker in list(self._workers):
                self._limit(worker)
                if worker.process.exitcode is not None:
                    self._bury(worker, again=not alone)

    def _start(self, group: Group) -> None:
        number = len(list(self._folder.iterdir()))
        crash_file = self._folder / f"crash-{number}"
        crash_file.touch()
        self._workers.append(_Worker(self._task, group, crash_file, hide_main=self._hide_main))

    def _listen(self) -> None:
        """Take every message that workers have sent; wait a moment for one."""
        connections = {worker.connection: worker for worker in self._workers}
        for connection in wait(list(connections), _TICK):
            worker, broken = connections[connection], False  # type: ignore[index]
            try:
                while worker.connection.poll():
                    self._receive(worker, worker.connection.recv())
            except InputError:  # an outcome cannot be stored
                raise
            except Exception:  # it died, or its code has written into its connection
                broken = True
            if broken:
                self._bury(worker, again=False)

    def _receive(self, worker: _Worker, message: object) -> None:
        group = worker.group
        if isinstance(message, Update) and group is not None:
            try:
                self._update(group, message)
            except Withdrawn:
                worker.signal(signal.SIGINT)
        elif isinstance(message, Note):
            self._note(message.text)
        elif isinstance(message, Begun):
            worker.began = time.monotonic()
        elif group is not None and isinstance(message, Ended | Raised):
            if worker.limit is not None:
                return  # it is ended, and its group lost, in any case
            worker.group = None
            if isinstance(message, Ended):
                self._finish(group, message.statuses)
                if not message.reusable:
                    self._remove(worker)
            else:
                self._finish(group, Lost(message.message, message.traceback, worker.seconds()))
        elif isinstance(message, Interrupted) and worker.limit is None and group is not None:
            worker.group = None
            self._finish(group, message)

    def _limit(self, worker: _Worker) -> None:
        """Ask a worker whose group is over a limit to store its state, and end it a little later."""
        if worker.group is None:
            return
        now, limits = time.monotonic(), self._limits
        if worker.limit is not None:
            if now > worker.deadline:
                worker.end()
        elif limits.seconds is not None and now - worker.began > limits.seconds:
            worker.limit = f"over its limit of {limits.seconds:g} s (--group-seconds)"
            worker.deadline = now + _GRACE
            where(worker.process.pid or 0)
            worker.signal(signal.SIGINT)
        elif limits.memory is not None and (used := worker.memory()) > limits.memory:
            worker.limit = f"over its limit of {limits.memory:g} GiB (--group-memory), with {used:.2f} GiB in use"
            where(worker.process.pid or 0)
            worker.deadline = now + 2 * _TICK

    def _bury(self, worker: _Worker, *, again: bool) -> None:
        """Take a dead worker away, and tell what became of its group."""
        if worker not in self._workers:
            return
        worker.process.join(_TICK)
        code = worker.process.exitcode
        place, traceback = crash(worker.crash_file)
        self._remove(worker)
        if code == UNGUARDED:
            raise InputError(
                "run: a script that registers what its run uses: expected the run in if __name__ == '__main__':"
            )
        if worker.group is None:
            return
        if worker.limit is not None:
            message = f"{worker.limit}{place}; a rerun resumes what it has stored"
            self._finish(worker.group, Lost(message, traceback, worker.seconds()))
        elif again and code is not None and code == -signal.SIGKILL:
            self._killed.append(worker.group)
        else:
            self._finish(worker.group, Lost(f"its process died: {death(code)}{place}", traceback, worker.seconds()))

    def _remove(self, worker: _Worker) -> None:
        worker.end()
        if worker in self._workers:
            self._workers.remove(worker)

    def _store_all(self) -> None:
        """Pass the interrupt on to the groups in training, and wait until they have stored their state."""
        for worker in self._workers:
            if worker.group is not None:
                worker.signal(signal.SIGINT)
        end = time.monotonic() + _PATIENCE
        while any(worker.group for worker in self._workers):
            if time.monotonic() > end or self._signals.count > 1:
                return
            self._listen()
            for worker in list(self._workers):
                if worker.process.exitcode is not None:
                    self._remove(worker)
