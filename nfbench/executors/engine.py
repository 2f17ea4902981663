"""The contract of engines: they start workers somewhere, and know nothing of what these do.

A plan lies in a folder that all machines share. An engine starts processes of ``nfbench worker`` and waits for their
end; who runs what, what is resumed and what is published is settled by the workers' own rules
(`nfbench.executors.claims`), whatever the engine loses, starts again or starts twice.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from nfbench.foundation.errors import InputError
from nfbench.foundation.owner import Owner, this_process
from nfbench.foundation.settings import environment
from nfbench.specification.choices import LOGS

_PATIENCE = 60.0  # seconds in which workers that are told to end can store their state
_PAUSE = 0.1  # seconds between two looks at workers


@dataclass(frozen=True)
class Sweep:
    """What workers are started for.

    Attributes:
        arguments: of ``nfbench worker``.
        device: torch device of each worker, ``cpu`` or ``cuda``.
        seconds: estimate for each group that is not finished; None where there is none.
        files: folder for the engine's own files.
        environment: variables that every worker has beside those of its machine.
    """

    arguments: tuple[str, ...]
    device: str
    seconds: Sequence[float | None]
    files: Path
    environment: Mapping[str, str] = field(default_factory=dict)


class EngineLostError(InputError):
    """An engine that has started workers is gone; they may be at work, and the same command goes on."""


class Engine(Protocol):
    """Starts workers.

    Attributes:
        waits: whether `run` waits for the workers' end.
        patient: whether workers wait for groups that others run, to take them over should these die, rather than free
            their machine once there is nothing to claim.
    """

    @property
    def waits(self) -> bool: ...

    @property
    def patient(self) -> bool: ...

    def run(self, sweep: Sweep) -> None:
        """Start workers and wait for their end, whatever that is.

        Args:
            sweep: what they are for.

        Raises:
            InputError: the engine's package is not installed, there is no cluster, or it refuses what it was asked for.
            KeyboardInterrupt: interrupted; the workers have been told to store what they train and to end.
        """


class Workers:
    """Workers beside each other on one machine, such as those that share a GPU; called, it starts them and waits.

    Args:
        sweep: what they are for.
        count: how many.
    """

    def __init__(self, sweep: Sweep, count: int = 1) -> None:
        self.sweep, self.count = sweep, count
        self._running: list[subprocess.Popen[bytes]] = []

    def __call__(self) -> list[int]:
        """Start the workers, and wait for their end.

        Returns:
            The exit code of each; -n where signal n has ended it.
        """
        command = (sys.executable, "-m", "nfbench", "worker", *self.sweep.arguments)
        variables = environment() | dict(self.sweep.environment)
        try:
            for _ in range(self.count):  # who dies closes the worker's input, which it ends with
                self._running.append(subprocess.Popen(command, stdin=subprocess.PIPE, env=variables))
            while True:  # no blocking wait: within that a signal's handler could not learn that a worker has ended
                codes = [worker.poll() for worker in self._running]
                if None not in codes:
                    return [code for code in codes if code is not None]
                time.sleep(_PAUSE)
        finally:
            self.stop()

    def stop(self) -> None:
        """Have the workers store what they train and return their leases; who has not ended in a minute is killed."""
        running, self._running = self._running, []
        for worker in running:
            with contextlib.suppress(OSError):
                worker.terminate()
        last = time.monotonic() + _PATIENCE
        for worker in running:
            try:
                worker.wait(max(0.0, last - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.kill()
            if worker.stdin is not None:
                worker.stdin.close()


def log_of(owner: Owner, root: Path) -> Path:
    """Where a worker that an engine has started writes what it says.

    Args:
        owner: the worker's process.
        root: folder of the records.

    Returns:
        ``<root>/logs/<host>.<process>.log``.
    """
    return root / LOGS / f"{owner.host}.{owner.process}.log"


def engine_files(root: Path) -> Path:
    """Where an engine keeps files of its own, such as SLURM's logs.

    Args:
        root: folder of the records.

    Returns:
        ``<root>/logs/engine``.
    """
    return root / LOGS / "engine"


def begin(root: Path) -> None:
    """Make this process a worker of an engine: it writes what it says into its log, and ends when its starter does.

    Its starter holds the other end of its standard input. When that ends this process gets SIGTERM, and SIGKILL where
    it is still there a minute later.

    Args:
        root: folder of the records.

    Raises:
        InputError: the log cannot be written.
    """
    log = log_of(this_process(), root)
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise InputError(f"cannot write {log}: {error.strerror}; expected a writable folder") from None
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)
    end_with(0)


def end_with(handle: int) -> None:
    """Have this process get SIGTERM when a stream ends, and SIGKILL a minute later.

    Args:
        handle: of the stream's file; 0 is standard input.
    """

    def wait() -> None:
        with contextlib.suppress(AttributeError, OSError):  # signals are for the main thread
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        with contextlib.suppress(OSError):
            while os.read(handle, 1):
                pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_PATIENCE)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True, name="nfbench-input").start()


def missing(engine: str, package: str) -> InputError:
    """What to say where an engine's package is not installed.

    Args:
        engine: its name.
        package: that is missing.

    Returns:
        The error to be raised.
    """
    return InputError(f"--executor {engine}: {package} is not installed; expected: pip install 'nfbench[{engine}]'")
