"""Progress of a plan: for each group the updates done and the bound, and at its end the outcomes of its cells."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from nfbench.foundation.progress import Progress
from nfbench.specification.config import Group


class Update(NamedTuple):
    """The progress of one group.

    Attributes:
        name: the group's name, as of `name`.
        done: number of updates done.
        bound: mean bound F in nats over the seeds that have not diverged.
    """

    name: str
    done: int
    bound: float


def name(group: Group) -> str:
    """The name of a group in progress displays.

    Args:
        group: cells of one target and posterior.

    Returns:
        Experiment, target, posterior and variation.
    """
    cell = group.cells[0]
    return f"{cell.experiment} {cell.target} {cell.name}"


class GroupProgress(Progress):
    """A display of the groups of a plan while they train; a context manager around the run.

    Args:
        groups: the groups that will run.
    """

    def __init__(self, groups: Sequence[Group]) -> None:
        super().__init__(len(groups), "all groups")
        self._updates = {name(group): _updates(group) for group in groups}
        self._ended = 0
        self._said: set[str] = set()

    def say(self, text: str) -> None:
        """Show a line, the same one only once.

        Args:
            text: the line.
        """
        if text not in self._said:
            self._said.add(text)
            self.line(text)

    def update(self, update: Update) -> None:
        """Show the progress of a group.

        Args:
            update: updates done and bound of a running group.
        """
        note = f"F = {update.bound:.4f} nats"
        self.show(update.name, update.done, self._updates[update.name], note, "updates")

    def finish(self, group: Group, statuses: Sequence[tuple[str, str]]) -> None:
        """Show that a group has ended.

        Args:
            group: the group.
            statuses: (status, message) of each of its cells.
        """
        self._ended += 1
        counts = ", ".join(f"{count} {status}" for status, count in Counter(s for s, _ in statuses).items())
        self.report(self._ended, f"{name(group)}: {counts}", name(group))


def _updates(group: Group) -> int:
    """The number of updates of a group; 1 without training."""
    training = group.cells[0].training
    return training.updates if training else 1
