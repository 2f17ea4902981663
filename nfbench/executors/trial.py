"""Calls that run somebody else's code in a process of its own, where exits, crashes and hangs do no harm."""

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from nfbench.executors.messages import Begun, Lost
from nfbench.executors.origins import foreign_modules
from nfbench.executors.processes import crash, death, end, main_hidden
from nfbench.executors.worker import prepare, refuse_second_run, where
from nfbench.foundation.errors import InputError, MissingDataError, reason, traceback_of
from nfbench.foundation.terminal import fill_closed_streams

LONGEST = 300.0  # seconds of a call
_START = 120.0  # seconds in which a process must have imported what it needs
_MOMENT = 0.3  # seconds in which a process writes where it is

T = TypeVar("T")


class _Refused(NamedTuple):
    """An `InputError` in words, as a user's own class of errors could not be sent.

    Attributes:
        message: its line.
        missing_data: whether it is a `MissingDataError`.
    """

    message: str
    missing_data: bool


def try_each(function: Callable[[str], T], arguments: Sequence[str], seconds: float = LONGEST) -> list[T | Lost]:
    """Call a function with one argument after the other, in another process; a new one where that has died.

    Args:
        function: at the top of a module, so that the other process can import it.
        arguments: of the calls.
        seconds: after which a call is given up and its process ended.

    Returns:
        For each argument the value, which must be one that can be pickled, or how the call was lost: by an error, by
        the death of its process, or for lack of time.

    Raises:
        InputError: the function raised it.
    """
    refuse_second_run()
    fill_closed_streams()
    answers: list[T | Lost] = []
    with tempfile.TemporaryDirectory(prefix="nfbench-") as folder:
        child: _Child[T] | None = None
        try:
            for number, argument in enumerate(arguments):
                child = child or _Child(function, Path(folder) / f"crash-{number}")
                answer = child.answer(argument, seconds)
                if isinstance(answer, _Refused):
                    raise (MissingDataError if answer.missing_data else InputError)(answer.message)
                answers.append(answer)
                if child.ended:
                    child = None
        finally:
            if child is not None:
                child.end()
    return answers


class _Child(Generic[T]):
    """A process that calls a function, again and again."""

    def __init__(self, function: Callable[[str], T], crash_file: Path) -> None:
        context = multiprocessing.get_context("spawn")
        crash_file.touch()
        self.ended = False
        self._starts = True
        self._crash_file = crash_file
        self._connection, other_end = context.Pipe()
        self._process: BaseProcess = context.Process(
            target=_serve, args=(other_end, function, foreign_modules(), crash_file), name="nfbench-trial"
        )
        with main_hidden():
            self._process.start()
        other_end.close()

    def answer(self, argument: str, seconds: float) -> T | Lost | _Refused:
        """Call the function, and wait for its value or for the end of the process."""
        began = time.monotonic()
        try:
            self._connection.send(argument)
            for limit in (_START, seconds) if self._starts else (seconds,):
                if not wait([self._connection, self._process.sentinel], limit):
                    where(self._process.pid or 0)
                    time.sleep(_MOMENT)
                    return self._lost(f"not done after {limit:g} s", began)
                if not self._connection.poll():
                    break
                value: T | Lost | _Refused | Begun = self._connection.recv()
                if not isinstance(value, Begun):
                    return value
                self._starts = False
        except (OSError, EOFError):
            pass
        self._process.join(_MOMENT)
        return self._lost(f"its process died: {death(self._process.exitcode)}", began)

    def _lost(self, message: str, began: float) -> Lost:
        place, traceback = crash(self._crash_file)
        self.end()
        return Lost(f"{message}{place}", traceback, time.monotonic() - began)

    def end(self) -> None:
        """Kill it with all that it has started."""
        self.ended = True
        end(self._process)
        self._connection.close()


def _serve(
    connection: Connection, function: Callable[[str], object], modules: tuple[str, ...], crash_file: Path
) -> None:
    """Answer calls until the process is killed."""
    streams = prepare(modules, crash_file)
    connection.send(Begun())
    while True:
        argument = connection.recv()
        streams.renew(argument)
        answer: object
        try:
            answer = function(argument)
        except InputError as error:
            answer = _Refused(str(error), isinstance(error, MissingDataError))
        except BaseException as error:  # a user's code may raise anything, and torch has its own errors for no memory
            answer = Lost(reason(error), traceback_of(error))
        connection.send(answer)
