"""What a worker process tells the process that started it, and what it is told."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from nfbench.foundation.errors import reason
from nfbench.records.cells import Record
from nfbench.specification.config import Group

Report = Callable[[int, float], None]  # (updates done, mean bound in nats)
Run = Callable[[Group, Path, str, Report | None], Sequence[Record]]
Statuses = list[tuple[str, str]]  # (status, message) of each cell of a group


@dataclass(frozen=True)
class Task:
    """How a worker runs groups.

    Attributes:
        run: runs a group and stores its records; a function at the top of a module.
        root: folder of the records, an absolute path.
        device: torch device.
        modules: modules outside nfbench that register what the groups name; imported at the start.
    """

    run: Run
    root: Path
    device: str
    modules: tuple[str, ...] = field(default=())


class Begun(NamedTuple):
    """A worker begins with the group that it was sent."""


class Note(NamedTuple):
    """Something to tell the user once, whichever worker says it.

    Attributes:
        text: one line.
    """

    text: str


class Ended(NamedTuple):
    """A group has ended, and its records are stored.

    Attributes:
        statuses: status and message of each cell.
        reusable: whether the process is as it was; False where threads or processes of a plug-in are left.
    """

    statuses: Statuses
    reusable: bool


class Raised(NamedTuple):
    """A group ended by an error that is no interrupt and that the run of the group let pass.

    Attributes:
        message: type, text and place of the error in one line.
        traceback: the whole traceback.
    """

    message: str
    traceback: str


class Lost(NamedTuple):
    """The end of a group that stored no records of its own.

    Attributes:
        message: how it ended, in one line.
        traceback: where its code was; None where that is not known.
        seconds: how long it ran.
    """

    message: str
    traceback: str | None = None
    seconds: float = 0.0


class Interrupted(NamedTuple):
    """A group was interrupted by a signal; its state and its records are stored."""


def own_interrupt(error: KeyboardInterrupt) -> str:
    """What to say of an interrupt that no signal sent: the code of the group raised it, and only the group ends.

    Args:
        error: that came out of the group.

    Returns:
        Type, text and place of the error, and this reason, in one line.
    """
    return f"{reason(error)}: raised by its own code, as no signal came"
