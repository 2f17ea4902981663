"""Processes for somebody else's code: how they start without the user's script, end, and what they died of."""

import contextlib
import os
import signal
import sys
import types
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

from nfbench.foundation.errors import foreign_place


def end(process: BaseProcess) -> None:
    """Kill a process with all that it has started, and wait for its end.

    Args:
        process: one that was started, and may have ended.
    """
    pid = process.pid or 0
    with contextlib.suppress(OSError, AttributeError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)
    process.kill()
    process.join()


def crash(file: Path) -> tuple[str, str | None]:
    """Where the code of a process was when it died or was asked.

    Args:
        file: what `nfbench.executors.worker.where` and faulthandler have written.

    Returns:
        Such as `` (mine.py:12)``, or nothing where that is not known, and the traceback.
    """
    try:
        text = file.read_text(errors="replace")
    except OSError:
        text = ""
    frames = [line.strip()[6:] for line in text.splitlines() if line.strip().startswith('File "')]
    places = (frame.partition('", line ') for frame in frames)
    place = foreign_place((file, int(rest.split()[0])) for file, _, rest in places if rest[:1].isdigit())
    return (f" ({place})" if place else ""), text.strip() or None


def death(code: int | None) -> str:
    """How a process ended.

    Args:
        code: its exit code, as multiprocessing has it; None: it has not ended.

    Returns:
        Such as ``exit code 3`` or ``SIGSEGV``.

    >>> death(3), death(-11)
    ('exit code 3', 'SIGSEGV')
    """
    if code is None:
        return "it closed its connection"
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"{name}, by somebody or for lack of memory" if -code == signal.SIGKILL else name


@contextlib.contextmanager
def main_hidden() -> Iterator[None]:
    """Within the block new processes are not told of the script that this one runs, and do not import it.

    So a script needs no ``if __name__ == "__main__":`` unless it registers something, and may come from a pipe.

    Yields:
        Nothing.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
