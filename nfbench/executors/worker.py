"""A worker process: runs groups that it is sent, tells of them, and dies without taking others along."""

import contextlib
import faulthandler
import functools
import importlib
import io
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TextIO

from nfbench.executors.messages import Begun, Ended, Interrupted, Note, Raised, Statuses, Task, own_interrupt
from nfbench.executors.progress import Update
from nfbench.executors.progress import name as name_of
from nfbench.foundation.compiling import watch
from nfbench.foundation.errors import reason, traceback_of
from nfbench.foundation.interrupts import PREEMPTION, SIGNALS, Signals
from nfbench.foundation.process_state import leftovers
from nfbench.records.cells import Record
from nfbench.specification.config import Group

UNGUARDED = 78  # exit code of a worker that would start the run of an unguarded script again
_MOST_OUTPUT = 64 * 1024  # bytes that the code of one group may print
_WHERE_SIGNAL = getattr(signal, "SIGUSR1", None)  # makes a worker write where it is


def refuse_second_run() -> None:
    """End this process if it is a worker that, on its way in, imports a script which starts a run without a guard."""
    if getattr(multiprocessing.process.current_process(), "_inheriting", False):
        os._exit(UNGUARDED)


def where(process_id: int) -> None:
    """Make a worker write into its crash file where its code is, even if that never comes back to Python.

    Args:
        process_id: of the worker.
    """
    if _WHERE_SIGNAL is not None:
        with contextlib.suppress(OSError):
            os.kill(process_id, _WHERE_SIGNAL)


def serve(connection: Connection, task: Task, crash_file: Path) -> None:
    """Run the groups that come through a connection, one after the other, until None comes.

    Args:
        connection: gives a `Group` or None; takes the messages of `nfbench.executors.messages` and `Update`.
        task: how groups are run.
        crash_file: file for the traceback of a crash; `where` adds to it.
    """
    streams = prepare(task.modules, crash_file)

    def tell(text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            connection.send(Note(text))

    watch(tell)
    with contextlib.suppress(KeyboardInterrupt, EOFError, OSError):
        while (group := connection.recv()) is not None:
            streams.renew(name_of(group))
            connection.send(Begun())
            connection.send(_outcome(task, group, connection))


def prepare(modules: Sequence[str], crash_file: Path) -> "Streams":
    """Make this process one for somebody else's code: it ends with its parent, and tells where it died.

    Args:
        modules: outside nfbench, that register something; imported.
        crash_file: file for the traceback of a crash; `where` adds to it.

    Returns:
        The standard streams, to be renewed for each piece of code.
    """
    _end_with_parent()
    for number in PREEMPTION:  # queueing systems send them to all processes; the parent passes on what it makes of them
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError, AttributeError):
        os.setpgid(
            0, 0
        )  # a terminal's Ctrl-C goes to the parent, which passes it on; all children can be ended at once
    _write_crashes_to(crash_file)
    streams = Streams()
    warnings.formatwarning = lambda message, *_: f"nfbench: warning: {message}\n"
    for module in modules:
        with contextlib.suppress(ImportError):  # one that cannot be imported here: its names are unknown, which is said
            importlib.import_module(module)
    return streams


def _outcome(task: Task, group: Group, connection: Connection) -> Ended | Raised | Interrupted:
    """Run a group; whatever happens is an answer."""
    process_id, signals, before = os.getpid(), Signals(watched=True), leftovers()
    for number in SIGNALS:
        signal.signal(number, signals.receive)
    answer: Ended | Raised | Interrupted
    try:
        records = task.run(group, task.root, task.device, functools.partial(_send, connection, group, process_id))
        answer = Ended(statuses(records), reusable=leftovers() <= before)
    except KeyboardInterrupt as error:
        answer = Interrupted() if signals.count else Raised(own_interrupt(error), traceback_of(error))
    except BaseException as error:
        answer = Raised(reason(error), traceback_of(error))
    _end_if_forked(process_id)
    return answer


def statuses(records: Any) -> Statuses:
    """What a process tells of its records.

    Args:
        records: outcomes of the cells of a group.

    Returns:
        Status and message of each.
    """
    return [(record.status, record.message or "") for record in records if isinstance(record, Record)]


def _send(connection: Connection, group: Group, process_id: int, done: int, bound: float) -> None:
    """Tell of the progress of a group; where nobody listens any more the training goes on."""
    _end_if_forked(process_id)
    with contextlib.suppress(OSError, ValueError):
        connection.send(Update(name_of(group), done, bound))


def _end_if_forked(process_id: int) -> None:
    """End a copy of the worker that a plug-in's fork has made and let run on."""
    if os.getpid() != process_id:
        os._exit(1)


def _end_with_parent() -> None:
    """Exit this process as soon as its parent has ended, in whatever way; a rerun resumes from the checkpoint."""
    parent = multiprocessing.parent_process()
    if parent is None:
        raise RuntimeError("only a process that was started by another can end with it")

    def wait() -> None:
        with contextlib.suppress(AttributeError, OSError):  # signals are for the thread that runs groups
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        parent.join()
        with contextlib.suppress(OSError, AttributeError):
            if os.getpgid(0) == os.getpid():
                os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=wait, daemon=True, name="nfbench-parent").start()


def _write_crashes_to(file: Path) -> None:
    """Have the traceback written when this process crashes, exits at once, or gets the signal of `where`."""
    stream = file.open("w")
    faulthandler.enable(stream, all_threads=False)
    if _WHERE_SIGNAL is not None:
        faulthandler.register(_WHERE_SIGNAL, stream, all_threads=True)
    exit_at_once: Callable[[int], Any] = os._exit

    def exit_with_traceback(status: int) -> None:
        with contextlib.suppress(Exception):
            faulthandler.dump_traceback(stream, all_threads=False)
        exit_at_once(status)

    os._exit = exit_with_traceback  # type: ignore[assignment]


class Streams:
    """The standard streams of a worker: both are the command's standard error, and no fault of theirs stops anything.

    The standard output of a command is for its results: what plug-ins print would get between them.
    """

    def __init__(self) -> None:
        self._saved = -1
        with contextlib.suppress(OSError):
            self._saved = os.dup(2)

    def renew(self, owner: str) -> None:
        """Open both streams anew, whatever a plug-in has done to them.

        Args:
            owner: name of the group that writes to them from now on.
        """
        for descriptor in (1, 2) if self._saved >= 0 else ():
            with contextlib.suppress(OSError):
                os.dup2(self._saved, descriptor)
        sys.stdout = sys.stderr = _stream(owner)


def _stream(owner: str) -> TextIO:
    return io.TextIOWrapper(io.BufferedWriter(_Limited(owner)), "utf-8", errors="backslashreplace", line_buffering=True)


class _Limited(io.RawIOBase):
    """The command's standard error for one group: takes everything, shows its first bytes, ignores faults."""

    def __init__(self, owner: str) -> None:
        super().__init__()
        self._owner = owner
        self._left = _MOST_OUTPUT

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        size, content = len(data), bytes(data)[: max(0, self._left)]
        if size > self._left >= 0:
            content += f"\nnfbench: {self._owner}: what else its code prints is left out\n".encode()
        self._left -= size
        with contextlib.suppress(OSError):
            os.write(2, content)
        return size
