"""What a group may use of time and memory."""

from dataclasses import dataclass
from pathlib import Path

from nfbench.foundation.checks import brief
from nfbench.foundation.errors import InputError


@dataclass(frozen=True)
class Limits:
    """What a group may use; a group over a limit is ended and has failed records.

    Attributes:
        seconds: wall-clock time; None: without limit.
        memory: resident memory of the group's process in GiB, the libraries' share (about 0.4) included; None: without
            limit. It is looked at ten times a second, on Linux.
    """

    seconds: float | None = None
    memory: float | None = None

    def __post_init__(self) -> None:
        for name, value, unit in (("seconds", self.seconds, "seconds"), ("memory", self.memory, "GiB")):
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not (number and 0 < value < float("inf")):
                raise InputError(f"run: group_{name}={brief(value)}: expected a positive number of {unit}, or None")
        if self.memory is not None and not Path("/proc/self/statm").exists():
            raise InputError(
                f"run: group_memory={self.memory!r}: expected None, as memory can be watched on Linux only"
            )

    def __bool__(self) -> bool:
        return self.seconds is not None or self.memory is not None
