"""The clock of a file system, by which ages of its files are told: no machine's own clock matters for them."""

import os
from pathlib import Path

from nfbench.foundation.files import hidden_beside


def file_clock(folder: Path) -> float:
    """The time that the file system of a folder gives a file that is made now.

    Args:
        folder: that can be written.

    Returns:
        Seconds since 1970.

    Raises:
        OSError: it cannot be written.
    """
    probe = hidden_beside(folder / "clock")
    handle = os.open(probe, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        return os.fstat(handle).st_mtime
    finally:
        os.close(handle)
        probe.unlink(missing_ok=True)
