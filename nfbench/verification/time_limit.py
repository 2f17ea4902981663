"""An end to what may take too long: checks of families whose inverse, or whose loops, do not come to one."""

import contextlib
import math
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from nfbench.foundation.process_state import ProcessState

_AGAIN = 1.0  # seconds until the next signal, where code has caught the first and gone on
_SOON, _OFTEN = 0.002, 50  # seconds by which a signal is put off, and how often at most
_ENDS = {"__exit__", "__del__"}  # what these put back would stay as it is
_CALLBACKS = {"<lambda>", "remove", "_remove_id"}  # of weak references, out of which no exception comes


class OutOfTime(BaseException):
    """The time is over; no `Exception`, so that no check takes it for a failure of what it checks."""


class TimeLimit:
    """Seconds that a battery has, from now on.

    In the main thread of a process, where there are timers (not on Windows), what runs is interrupted; elsewhere the
    limit is looked at between checks only. Modes of torch and Python that were interrupted are put back.

    Args:
        seconds: wall-clock time; None: without limit.

    >>> limit = TimeLimit(0.01)
    >>> try:
    ...     with limit.enforced():
    ...         time.sleep(10)
    ... except OutOfTime:
    ...     print("over")
    over
    """

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._end = math.inf if seconds is None else time.perf_counter() + seconds

    @contextlib.contextmanager
    def enforced(self) -> Iterator[None]:
        """Run a block as long as there is time.

        Yields:
            Nothing.

        Raises:
            OutOfTime: the time is over, or was so before.
        """
        left = self._end - time.perf_counter()
        if left <= 0:
            raise OutOfTime
        timed = math.isfinite(left) and hasattr(signal, "setitimer")
        if not timed or threading.current_thread() is not threading.main_thread():
            yield
            return
        state = ProcessState()
        before = signal.signal(signal.SIGALRM, _Interrupt())
        try:
            signal.setitimer(signal.ITIMER_REAL, left, _AGAIN)
            yield
        except OutOfTime:
            signal.setitimer(signal.ITIMER_REAL, 0)
            state.restore()  # the signal can come while a `with torch.no_grad()` ends, and keep it from doing so
            raise
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


class _Interrupt:
    """Raises `OutOfTime`, a little later where it would be lost, or keep something from being put back."""

    def __init__(self) -> None:
        self.put_off = 0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.put_off < _OFTEN and _ends_something(frame):
            self.put_off += 1
            signal.setitimer(signal.ITIMER_REAL, _SOON, _AGAIN)
            return
        raise OutOfTime


def _ends_something(frame: FrameType | None) -> bool:
    """Whether the end of a block, a finaliser or a callback is running."""
    names = []
    while frame is not None:
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    return not _ENDS.isdisjoint(names) or not _CALLBACKS.isdisjoint(names[:2])
