"""Progress of a plan: how far each group is, the bound that it has reached, and what became of its cells."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from nfbench.foundation.progress import Progress
from nfbench.specification.config import Group


class Update(NamedTuple):
    """Where one group stands.

    Attributes:
        name: of the group.
        done: updates.
        bound: F, the mean over its seeds, in nats.
    """

    name: str
    done: int
    bound: float


def name(group: Group) -> str:
    """What a group is called while it runs.

    Args:
        group: cells of one target and posterior.
    """
    cell = group.cells[0]
    return f"{cell.experiment} {group.target} {group.posterior}"


class GroupProgress(Progress):
    """Shows the groups of a plan as they are trained; a context manager around the run."""

    def __init__(self, groups: Sequence[Group]) -> None:
        super().__init__(len(groups), "all groups")
        self._updates = {name(group): _updates(group) for group in groups}
        self._ended = 0

    def update(self, update: Update) -> None:
        """Take note of an update.

        Args:
            update: of a group that runs.
        """
        note = f"F = {update.bound:.4f} nats"
        self.show(update.name, update.done, self._updates[update.name], note, "updates")

    def finish(self, group: Group, statuses: Sequence[tuple[str, str]]) -> None:
        """Take note of a group's end.

        Args:
            group: that has ended.
            statuses: (status, message) of each of its cells.
        """
        self._ended += 1
        counts = ", ".join(f"{count} {status}" for status, count in Counter(s for s, _ in statuses).items())
        self.report(self._ended, f"{name(group)}: {counts}", name(group))


def _updates(group: Group) -> int:
    training = group.cells[0].training
    return training.updates if training else 1
