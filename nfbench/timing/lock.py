"""One timing at a time on a machine, as two would disturb each other: a lock on a file that all its users share.

It is a lock of the system (``flock``), which ends with its process. The package filelock is not used: it refuses a file
in a shared folder that another user has made (4.2), where this opens it for reading and locks it all the same.
"""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from nfbench.foundation.errors import InputError

_NAME = "nfbench-time.lock"


@contextlib.contextmanager
def lane(*, wait: bool = True, say: Callable[[str], None] = print, file: Path | None = None) -> Iterator[None]:
    """Hold the lock within the block; the system frees it if the process dies.

    Args:
        wait: for another timing to end; else refuse.
        say: is given one line before a wait.
        file: of the lock; one for all users of the machine if None.

    Returns:
        A context manager.

    Raises:
        InputError: another process holds the lock and `wait` is False, or the file cannot be opened.
    """
    file = file or Path(tempfile.gettempdir()) / _NAME
    handle = _open(file)
    try:
        _enter(handle, file, say, wait=wait)
        with contextlib.suppress(OSError):  # another user's file can be locked but not written
            os.ftruncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        fcntl.flock(handle, fcntl.LOCK_UN)
        os.close(handle)


def _open(file: Path) -> int:
    """A handle that can be locked; another user's file opens for reading only."""
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    except PermissionError:
        pass
    except OSError as error:
        raise InputError(f"cannot open the lock {file}: {error.strerror}; expected a file that can be opened") from None
    try:
        return os.open(file, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise InputError(f"cannot open the lock {file}: {error.strerror}; expected a readable file") from None


def _enter(handle: int, file: Path, say: Callable[[str], None], *, wait: bool) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    except BlockingIOError:
        who = _holder(handle)
    if not wait:
        raise InputError(f"another timing runs on this machine ({who}, lock {file}); expected none with --no-wait")
    say(f"waiting for another timing on this machine to end ({who})")
    fcntl.flock(handle, fcntl.LOCK_EX)


def _holder(handle: int) -> str:
    text = os.pread(handle, 32, 0).decode(errors="replace").strip()
    return f"process {text}" if text.isdigit() and _alive(int(text)) else "a process of another user"


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
