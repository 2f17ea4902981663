"""Progress on standard error: bars on a terminal, plain lines elsewhere. What cannot be shown is left out."""

import math
import time
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Column

from nfbench.foundation.terminal import StandardError, is_quiet

PLAIN_SECONDS = 30.0  # between two plain lines of one piece of work


class Progress:
    """How far pieces of work are; a context manager around all of them.

    On a terminal there is a bar for all, and one for each piece that runs, below the lines of those that have ended.

    Args:
        total: pieces of work.
        title: of the bar of all.
        animated: a thread redraws the bars; else they are drawn only when something is said, so that no thread takes
            its time from what is measured.
    """

    def __init__(self, total: int, title: str, *, animated: bool = True) -> None:
        self.total = total
        self._stream = StandardError()
        console = Console(file=self._stream)  # type: ignore[arg-type]  # it needs no more than this one has
        self._quiet = is_quiet()
        shown = console.is_terminal and not self._quiet
        self._bars = _bars(console, animated=animated) if shown else None
        self._all = self._bars.add_task(title, total=total, note="") if self._bars else TaskID(0)
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, float] = {}
        self._printed: dict[str, float] = {}

    def __enter__(self) -> Self:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(self, *raised: object) -> None:
        if self._bars:
            self._bars.stop()

    def note(self, text: str) -> None:
        """What is going on, in the bar of all; nothing where there are no bars.

        Args:
            text: in a few words.
        """
        if self._bars:
            self._bars.update(self._all, note=text)
            self._bars.refresh()

    def show(self, name: str, done: int, total: int, note: str, unit: str) -> None:
        """Where one piece of work is: its bar, or a line every `PLAIN_SECONDS`.

        Args:
            name: of the piece.
            done: steps of it.
            total: steps that it has.
            note: what else there is to say.
            unit: what a step is called, in the plural.
        """
        now = time.monotonic()
        started = self._started.setdefault(name, now)
        rate = done / (now - started) if now > started else math.nan
        note = f"{note}, {rate:.0f} {unit}/s"
        if self._bars:
            if name not in self._tasks:
                self._tasks[name] = self._bars.add_task(name, total=total, note="")
            self._bars.update(self._tasks[name], completed=done, note=note)
        elif now - self._printed.setdefault(name, now) > PLAIN_SECONDS:
            self._printed[name] = now
            left = f"{(total - done) / rate:.0f}" if rate > 0 else "?"
            self._line(f"{name}: {done}/{total}, {note}, {left} s left")

    def line(self, text: str) -> None:
        """A line of its own, above the bars where there are any.

        Args:
            text: the line.
        """
        if self._bars:
            self._bars.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            self._line(text)

    def report(self, ended: int, line: str, name: str | None = None) -> None:
        """A line about something that has ended.

        Args:
            ended: pieces of work so far.
            line: what became of it.
            name: under which `show` knew it; its bar goes.
        """
        text = f"[{ended}/{self.total}] {line}"
        if not self._bars:
            self._line(text)
            return
        if name in self._tasks:
            self._bars.remove_task(self._tasks.pop(name))
        self._bars.console.print(text, markup=False, highlight=False, soft_wrap=True)
        self._bars.update(self._all, completed=ended)
        self._bars.refresh()

    def _line(self, text: str) -> None:
        if self._quiet:
            return
        self._stream.write(f"{text}\n")
        self._stream.flush()


def _bars(console: Console, *, animated: bool) -> Bars:
    """Bars whose names, not numbers, give way on a narrow terminal."""
    named = TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"))
    note = TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True, min_width=32))
    columns = (named, BarColumn(12), TaskProgressColumn(), note, TimeRemainingColumn(compact=True))
    return Bars(*columns, console=console, transient=True, expand=True, auto_refresh=animated)
