"""What killed processes have left of files that they were writing."""

import fcntl
import os
import re
import time
from pathlib import Path

from nfbench.foundation.files import entries

_PART = re.compile(r"\..+\.[\w-]{1,32}\.\d+\.[0-9a-f]{8}\.part")
_ABANDONED = 24 * 3600.0  # seconds after which a partial file that cannot be locked is nobody's


def sweep(folder: Path) -> list[Path]:
    """Remove the partial files that killed processes left in a folder; those of living processes stay.

    Args:
        folder: where files were written by `replace`; it need not exist.

    Returns:
        What was removed.

    Raises:
        InputError: the folder cannot be read.
    """
    return [part for part in partial_files(folder) if _is_abandoned(part, remove=True)]


def abandoned(folder: Path) -> list[Path]:
    """The partial files that `sweep` would remove.

    Args:
        folder: where files were written by `replace`; it need not exist.

    Returns:
        Paths.

    Raises:
        InputError: the folder cannot be read.
    """
    return [part for part in partial_files(folder) if _is_abandoned(part, remove=False)]


def partial_files(folder: Path) -> list[Path]:
    """Files that are being written in a folder, or were when their process was killed.

    Args:
        folder: where files were written by `replace`; it need not exist.

    Returns:
        Paths.

    Raises:
        InputError: the folder cannot be read.
    """
    return [entry for entry in entries(folder) if _PART.fullmatch(entry.name)]


def _is_abandoned(part: Path, *, remove: bool) -> bool:
    """Whether the writer of a partial file has ended: its lock is free; without locks, whether it is old."""
    try:
        handle = os.open(part, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ended = os.fstat(handle).st_nlink > 0
        except BlockingIOError:
            return False
        except OSError:
            ended = time.time() - os.fstat(handle).st_mtime > _ABANDONED
        if ended and remove:
            part.unlink(missing_ok=True)
        return ended
    except OSError:
        return False
    finally:
        os.close(handle)
