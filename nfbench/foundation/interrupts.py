"""Ctrl-C, SIGTERM and SIGHUP as one kind of interrupt, which comes once: what it asks to be stored is stored."""

import contextlib
import re
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from types import FrameType

from nfbench.foundation.errors import first_line

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
PREEMPTION = tuple(getattr(signal, name) for name in ("SIGUSR1", "SIGUSR2") if hasattr(signal, name))
TIME_UP = getattr(signal, "SIGALRM", signal.SIGINT)
_INSISTENT = 3  # signals after which even what the first one asked to be stored is left
_NAMES = "|".join(signal.Signals(number).name for number in {*SIGNALS, *PREEMPTION, TIME_UP})
_MASKED = re.compile(rf"\bInterrupt: ({_NAMES})\b")  # an interrupt in the message of another error


class Interrupt(KeyboardInterrupt):
    """A signal that asks this process to store what it has and to end.

    Args:
        number: of the signal.

    Attributes:
        number: of the signal.
        exit_code: 128 plus that number, as shells have it: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number
        self.exit_code = 128 + number


class Withdrawn(KeyboardInterrupt):
    """The work has been taken over by another process: this one ends it, and stores nothing more of it."""


class Signals:
    """The signals that came within a block of `interruptible`.

    Attributes:
        count: how many.
        watched: whether they are seen at all: a thread other than the main one gets none.
    """

    def __init__(self, *, watched: bool) -> None:
        self.count = 0
        self.watched = watched

    def receive(self, number: int, frame: FrameType | None = None) -> None:
        """Count a signal; the first raises, the second is only counted, every later one raises again.

        Within a block of `deferred` the first is remembered, and raises at the block's end.

        Args:
            number: of the signal.
            frame: where the process was; not used.

        Raises:
            Interrupt: at the first signal, and from the third on.
        """
        self.count += 1
        if self.count == 1 and _DEFERRAL.active:
            _DEFERRAL.number = number
        elif self.count == 1 or self.count >= _INSISTENT:
            raise Interrupt(number)


class _Deferral:
    """A block of the main thread that the first signal does not interrupt: it raises at the block's end.

    Attributes:
        active: whether the main thread is within the block.
        number: of the signal that came meanwhile; None: none came.
    """

    def __init__(self) -> None:
        self.active = False
        self.number: int | None = None

    def __enter__(self) -> None:
        self.active = threading.current_thread() is threading.main_thread()

    def __exit__(self, *error: object) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        self.active = False
        if self.number is not None:
            number, self.number = self.number, None
            raise Interrupt(number)


_DEFERRAL = _Deferral()


def deferred() -> AbstractContextManager[None]:
    """A block that the first signal does not interrupt, such as the writes of an update: it raises at the block's end.

    The third signal raises at once even there. Blocks do not nest. Within a block of a thread other than the main one,
    which gets no signals, nothing is deferred.

    Returns:
        A context manager, which raises `Interrupt` at its end where a signal of `interruptible` came meanwhile.

    >>> try:
    ...     with interruptible(), deferred():
    ...         signal.raise_signal(signal.SIGTERM)
    ...         print("the block is whole")
    ... except Interrupt as error:
    ...     print(error)
    the block is whole
    SIGTERM
    """
    return _DEFERRAL


@contextlib.contextmanager
def unmasked() -> Iterator[None]:
    """Within the block an error that other code has made of an `Interrupt` is that interrupt again.

    A signal may come while compiled code calls back, and pydantic, for one, gives out an error of its own for whatever
    a serializer raises: without this block the interrupt would pass for a fault of the work.

    Returns:
        A context manager.

    Raises:
        Interrupt: instead of an error with one behind it.
    """
    try:
        yield
    except Exception as error:
        match = _MASKED.search(first_line(error))
        if match:
            raise Interrupt(signal.Signals[match[1]]) from error
        raise


@contextlib.contextmanager
def interruptible(more: Sequence[int] = ()) -> Iterator[Signals]:
    """Within the block the signals of `SIGNALS` raise `Interrupt`; afterwards they do what they did before.

    A signal that is ignored stays ignored, as under ``nohup``, and one for which the user's program has a handler stays
    with that. In a thread other than the main one, which Python sends no signals, nothing is changed.

    Args:
        more: signals that interrupt too, such as `PREEMPTION`, by which queueing systems say that time is up.

    Yields:
        The signals so far.
    """
    signals = Signals(watched=threading.current_thread() is threading.main_thread())
    earlier = {}
    try:
        if signals.watched:
            for number in (*SIGNALS, *more):
                if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                    earlier[number] = signal.signal(number, signals.receive)
        with unmasked():
            yield signals
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
