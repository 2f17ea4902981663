"""Blocks and cases of timings: which rows may stand in one table, and which are of the same work.

A *block* is what may stand in one table: one source, profile, mode, machine, device, number of threads and precision.
A *case* is the same work for every contender.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import pandas as pd

from nfbench.analysis.blocks import check_one

OURS, TEXTBOOK, COMPILE, SPLIT = "nfbench", "textbook", "compile", "split"
BARE = "bare"  # what no program for a step can do without; it trains nothing, and no speed-up is formed with it
REFERENCE = "reference"  # the same maps in plain PyTorch, one after the other
HOUSE = (OURS, TEXTBOOK, COMPILE, SPLIT, REFERENCE, BARE)  # all others are peers, libraries of other people
WHERE = ("machine", "device", "threads", "dtype")  # what a rate is of
BLOCK = ("source", "profile", "mode", *WHERE)
SIZES = {"K": "K", "draws": "S", "batch": "B", "dim": "D", "seeds": "E"}  # columns with their letters
CASE = (*BLOCK, "target", "posterior", "amortized", "dim", "draws", "batch", "seeds")
ITEM_BYTES = {"float32": 4, "float64": 8}


@dataclass(frozen=True, eq=False)
class TimingBlock:
    """Timings that may stand in one table, with what all of them have in common.

    Attributes:
        rows: of a table of timings, one a case and contender.
        source: ``own`` or ``reference``.
        profile: name of the budget.
        mode: what was timed; `MODES` of the glossary says it in words.
        machine: processor, cores, and the accelerator where one was used.
        device: torch device.
        threads: of the CPU.
        dtype: ``float32`` or ``float64``.
    """

    rows: pd.DataFrame
    source: str
    profile: str
    mode: str
    machine: str
    device: str
    threads: int
    dtype: str

    @classmethod
    def of(cls, rows: pd.DataFrame) -> Self:
        """The block of these rows.

        Args:
            rows: of a table of timings, at least one.

        Returns:
            The rows as a block, with what they have in common.

        Raises:
            ValueError: there is no row, or the rows are of several blocks.
        """
        check_one(rows, BLOCK)
        common: dict[str, Any] = {name: rows[name].iloc[0] for name in BLOCK}
        return cls(rows, **(common | {"threads": int(common["threads"])}))

    @property
    def title(self) -> str:
        """Profile, mode and source, for the head of a table or the start of a sentence."""
        return f"timing, profile {self.profile}, {self.mode}, {self.source} records"

    @property
    def place(self) -> str:
        """Where it was timed: machine, threads, device and precision."""
        return f"{self.machine}; threads {self.threads}, {self.device}, {self.dtype}"

    @property
    def key(self) -> tuple[str, ...]:
        """What its rows have in common, as text in the order of `BLOCK`."""
        return tuple(str(getattr(self, name)) for name in BLOCK)

    @property
    def is_step(self) -> bool:
        """Whether training steps were timed, of which contenders train different numbers of models."""
        return self.mode == "step"

    @property
    def number_of_threads(self) -> str:
        """Such as ``1 thread``."""
        return f"{self.threads} thread{'' if self.threads == 1 else 's'}"


def blocks(frame: pd.DataFrame) -> Iterator[TimingBlock]:
    """The blocks of a table of timings, sorted by what their rows have in common.

    Args:
        frame: a table of timings.

    Yields:
        Each block; none of an empty table.
    """
    if len(frame):
        for _, rows in frame.groupby(list(BLOCK), dropna=False, sort=True):
            yield TimingBlock.of(rows)


def cases(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Split a table of timings into its cases, in the order of the rows.

    Args:
        frame: a table of timings.

    Yields:
        The rows of each case, one a contender.
    """
    if len(frame):
        for _, rows in frame.groupby(list(CASE), dropna=False, sort=False):
            yield rows


def three_digits(value: float) -> str:
    """A rate or a bandwidth as text.

    Args:
        value: in any unit.

    Returns:
        The value rounded to three significant digits, with commas between thousands and no power of ten.

    >>> three_digits(3827.4), three_digits(10.84), three_digits(51240.0)
    ('3,830', '10.8', '51,200')
    """
    return f"{float(f'{value:.3g}'):,g}"
