"""The time that numba takes to compile kernels, told to the user and kept apart from the time of what they are for."""

import threading
import time
from collections.abc import Callable
from typing import Any

MESSAGE = "nfbench: compiling kernels (once; later runs load them)"
_LOCK = threading.Lock()


class _Clock:
    """Seconds spent compiling in this process; of compilations within others, the outermost count."""

    def __init__(self) -> None:
        self.installed = False
        self.seconds = 0.0
        self.tell: Callable[[str], object] | None = None
        self._depth = 0
        self._began = 0.0

    def on_start(self, event: Any) -> None:
        """A compilation begins."""
        if self._depth == 0:
            self._began = time.perf_counter()
            if self.tell is not None:
                self.tell(MESSAGE)
        self._depth += 1

    def on_end(self, event: Any) -> None:
        """A compilation has ended."""
        self._depth -= 1
        if self._depth == 0:
            self.seconds += time.perf_counter() - self._began


_CLOCK = _Clock()


def watch(tell: Callable[[str], object] | None) -> None:
    """Say it when a kernel is compiled, as its cache has none for this machine and version yet.

    Args:
        tell: called with `MESSAGE` at each compilation; None: nobody is told.
    """
    _CLOCK.tell = tell


def compile_seconds() -> float:
    """The seconds that this process has spent compiling kernels since this function was first called.

    Returns:
        Seconds; a kernel that is loaded from numba's cache takes none.
    """
    with _LOCK:
        if not _CLOCK.installed:
            from numba.core import event

            listener = type("Listener", (event.Listener,), {"on_start": _CLOCK.on_start, "on_end": _CLOCK.on_end})
            register: Any = event.register
            register("numba:compile", listener())
            _CLOCK.installed = True
    return _CLOCK.seconds


def clock() -> float:
    """A clock that stands still while kernels are compiled: differences of its values are durations without that.

    Returns:
        Seconds since an arbitrary moment.
    """
    return time.perf_counter() - compile_seconds()
