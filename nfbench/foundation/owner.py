"""Which process of which machine something belongs to, and whether that process is known to have ended."""

import contextlib
import os
import platform
import re
from pathlib import Path
from typing import NamedTuple

_START_FIELD = 18  # of /proc/<process>/stat behind name and state: when the process started, in ticks since the boot
_ENDED = (b"Z", b"X")  # states of a process that runs no more


class Owner(NamedTuple):
    """A process.

    Attributes:
        host: name of its machine.
        process: its number.
        machine: text that only processes share which see each other's numbers: a boot of a machine and, in containers,
            the same space of processes. Empty where the system does not say.
        started: when it started, in the kernel's ticks; -1 where the system does not say.
    """

    host: str
    process: int
    machine: str
    started: int

    @property
    def name(self) -> str:
        """Host and process, as messages have them."""
        return f"{self.host}:{self.process}"


def host_name() -> str:
    """The name of this machine, as a part of names of files.

    Returns:
        At most 32 letters, digits, underscores and hyphens.
    """
    return re.sub(r"[^\w-]", "-", platform.node())[:32] or "host"


def this_process() -> Owner:
    """This process as an owner.

    Returns:
        What `has_ended` can judge, also in another process.
    """
    process = os.getpid()
    return Owner(host_name(), process, _machine(), _start_of(process))


def has_ended(owner: Owner) -> bool:
    """Whether a process is known to have ended, which can be known on its own machine only.

    Args:
        owner: the process.

    Returns:
        False where it lives, and where nobody can tell.

    >>> has_ended(this_process()), has_ended(this_process()._replace(started=1))
    (False, True)
    """
    if not owner.machine or owner.machine != _machine() or owner.started < 0:
        return False
    try:
        os.kill(owner.process, 0)
    except ProcessLookupError:
        return True
    except OSError:  # of another user
        return False
    return _start_of(owner.process) != owner.started


def _machine() -> str:
    """The boot of this machine with this process's space of process numbers."""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    return ""


def _start_of(process: int) -> int:
    """When a process started, in ticks; -1 where it does not run."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        state, *fields = Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()
        return -1 if state in _ENDED else int(fields[_START_FIELD])
    return -1
