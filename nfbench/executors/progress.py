"""Progress of a plan: bars with bound, rate and time left on a terminal, plain lines elsewhere."""

import math
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, Self

from rich.console import Console
from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Column

from nfbench.specification.config import Group

PLAIN_SECONDS = 30.0  # between two plain lines of one group


class Update(NamedTuple):
    """Where one group stands: its name, updates done, mean bound of its seeds in nats."""

    name: str
    done: int
    bound: float


def name(group: Group) -> str:
    """What a group is called while it runs."""
    cell = group.cells[0]
    return f"{cell.experiment} {group.target} {group.posterior}"


class Progress:
    """Shows updates as they come; a context manager around the run."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self.totals = {name(group): _updates(group) for group in groups}
        self.started: dict[str, float] = {}
        self.printed: dict[str, float] = {}
        self.tasks: dict[str, TaskID] = {}
        self.finished = 0
        console = Console(stderr=True)
        self.bars = _bars(console) if console.is_terminal else None
        self.all = self.bars.add_task("all groups", total=len(groups), note="") if self.bars else TaskID(0)

    def __enter__(self) -> Self:
        if self.bars:
            self.bars.start()
        return self

    def __exit__(self, *raised: object) -> None:
        if self.bars:
            self.bars.stop()

    def show(self, update: Update) -> None:
        """Take note of an update."""
        now = time.monotonic()
        started = self.started.setdefault(update.name, now)
        rate = update.done / (now - started) if now > started else math.nan
        note = f"F = {update.bound:.4f} nats, {rate:.0f} updates/s"
        if self.bars:
            if update.name not in self.tasks:
                self.tasks[update.name] = self.bars.add_task(update.name, total=self.totals[update.name], note="")
            self.bars.update(self.tasks[update.name], completed=update.done, note=note)
        elif now - self.printed.setdefault(update.name, now) > PLAIN_SECONDS:
            self.printed[update.name] = now
            total = self.totals[update.name]
            left = (total - update.done) / rate
            _line(f"{update.name}: {update.done}/{total}, {note}, {left:.0f} s left")

    def finish(self, group: Group, statuses: Sequence[tuple[str, str]]) -> None:
        """Take note of a group's end."""
        self.finished += 1
        if self.bars:
            if (task := self.tasks.pop(name(group), None)) is not None:
                self.bars.remove_task(task)
            self.bars.update(self.all, completed=self.finished)
        else:
            counts = ", ".join(f"{count} {status}" for status, count in Counter(s for s, _ in statuses).items())
            _line(f"[{self.finished}/{len(self.totals)}] {name(group)}: {counts}")


def _bars(console: Console) -> Bars:
    """Bars whose names, not numbers, give way on a narrow terminal."""
    named = TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"))
    note = TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True, min_width=32))
    columns = (named, BarColumn(12), TaskProgressColumn(), note, TimeRemainingColumn(compact=True))
    return Bars(*columns, console=console, transient=True, expand=True)


def _updates(group: Group) -> int:
    training = group.cells[0].training
    return training.updates if training else 1


def _line(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
