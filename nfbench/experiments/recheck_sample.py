"""Which cells of a folder of results are run again: a random sample of those that can be run here."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from nfbench.experiments.data_of import protocols_of
from nfbench.foundation.environment import devices
from nfbench.foundation.errors import InputError
from nfbench.records.cells import FINISHED
from nfbench.records.outcomes import Outcome, Outcomes
from nfbench.specification.config import Cell, Group
from nfbench.specification.registry import posteriors, sources_of, targets
from nfbench.specification.spec import is_of_file
from nfbench.training.acceleration import PLAIN, Acceleration


@dataclass(frozen=True)
class Pick:
    """A cell that is to be run again.

    Attributes:
        outcome: that is stored of it.
        group: what is run: the cell alone, or all cells that trained along where its block is not fixed.
        device: torch device.
        acceleration: how updates are run.
        seconds: that its group took where it was made, without other cells of its block that are picked too.
    """

    outcome: Outcome
    group: Group
    device: str
    acceleration: Acceleration
    seconds: float

    @property
    def cell(self) -> Cell:
        """Of the record."""
        return self.outcome.cell


@dataclass(frozen=True)
class Sample:
    """Cells that are to be run again.

    Attributes:
        picks: the cells.
        finished: number of cells from which they were picked.
        absent: for each cell that was picked and cannot be run here, the reason.
        too_long: number of cells that were passed over, as they would have taken the time that was left.
    """

    picks: list[Pick]
    finished: int
    absent: list[tuple[Cell, str]] = field(default_factory=list)
    too_long: int = 0

    @property
    def seconds(self) -> float:
        """What the groups took where they were made; a block of which several cells are picked counts once."""
        return sum({pick.group.key: pick.seconds for pick in self.picks}.values())

    def by_machine(self) -> dict[tuple[str, Acceleration], list[Pick]]:
        """The cells that can be run by one call.

        Returns:
            By device and acceleration.
        """
        parts: dict[tuple[str, Acceleration], list[Pick]] = {}
        for pick in self.picks:
            parts.setdefault((pick.device, pick.acceleration), []).append(pick)
        return parts


def draw(
    outcomes: Outcomes, count: int, seed: int, *, minutes: float | None = None, device: str | None = None
) -> Sample:
    """Pick random finished cells; one that cannot be run here is named, and another one picked in its place.

    Args:
        outcomes: of a folder.
        count: of cells.
        seed: of the choice.
        minutes: that all groups together may have taken where they were made; None: no limit.
        device: torch device; None: that on which each record was made.

    Returns:
        At most `count` cells.

    Raises:
        InputError: no cell is finished, or a number makes no sense.
    """
    if minutes is not None and not 0 < minutes < float("inf"):
        raise InputError(f"recheck: minutes={minutes!r}: expected a positive number of minutes")
    every = sorted(id for id, outcome in outcomes.by_id.items() if outcome.status in FINISHED)
    if not every:
        raise InputError("recheck: no record is of a finished cell; expected some that are done or diverged")
    random.Random(seed).shuffle(every)
    sample, here = Sample([], len(every)), _Here()
    too_long = 0
    for id in every:
        if len(sample.picks) == count:
            break
        outcome = outcomes.by_id[id]
        if reason := here.lacks(outcome, device):
            sample.absent.append((outcome.cell, reason))
            continue
        pick = _pick(outcome, outcomes.by_id.values(), device)
        is_known = any(pick.group.key == each.group.key for each in sample.picks)
        if minutes is not None and not is_known and sample.seconds + pick.seconds > 60 * minutes:
            too_long += 1
            continue
        sample.picks.append(pick)
    return Sample(sample.picks, sample.finished, sample.absent, too_long)


def _pick(outcome: Outcome, every: Iterable[Outcome], device: str | None) -> Pick:
    cell = outcome.cell
    group = Group(cells=_company(cell, every), order=outcome.facts.order)
    share = outcome.training_seconds if outcome.training_seconds is not None else outcome.seconds
    seconds = (len(group.block) - 1) * share + outcome.seconds
    made_on = "cpu" if _on_cpu(outcome) else "cuda"
    asked = {name: bool(outcome.provenance.get(name)) for name in ("compile", "cuda_graph")}
    acceleration = Acceleration(**asked) if device in (None, made_on) else PLAIN
    return Pick(outcome, group, device or made_on, acceleration, seconds)


def _company(cell: Cell, every: Iterable[Outcome]) -> tuple[Cell, ...]:
    """The cells whose records are run anew: of a training without a fixed block all that differ in the seed only."""
    if cell.training is None or cell.training.together is not None:
        return (cell,)
    kind = cell.model_copy(update={"seed": 0})
    same = [one.cell for one in every if one.cell.model_copy(update={"seed": 0}) == kind]
    return tuple(sorted(same, key=lambda one: one.seed))


def _on_cpu(outcome: Outcome) -> bool:
    return bool(outcome.provenance.get("device", "cpu") == "cpu")


class _Here:
    """What this machine has; targets are built once."""

    def __init__(self) -> None:
        self._data: dict[str, str | InputError | None] = {}
        self._devices: list[str] = devices()

    def lacks(self, outcome: Outcome, device: str | None) -> str:
        """Why a cell cannot be run here; empty where it can."""
        cell = outcome.cell
        if device is None and not _on_cpu(outcome) and not any(name.startswith("cuda") for name in self._devices):
            return f"it was run on {outcome.provenance.get('device')}, and no such device is here"
        if is_of_file(cell.posterior) or is_of_file(cell.target):
            return "its code lies in a file, which is not run unasked"
        try:
            library, target = posteriors.choose(cell.posterior).entry.checked_library, targets.choose(cell.target)
            sources = sources_of(cell.posterior, str(target))
        except InputError as error:
            return str(error)
        if library != cell.library:
            return f"it needs {cell.library}, and here is {library}"
        if sources != cell.sources:
            return "the code of its plug-in is another one here"
        return self._lacks_data(cell)

    def _lacks_data(self, cell: Cell) -> str:
        if cell.target not in self._data:
            try:
                self._data |= protocols_of([cell.target])
            except InputError as error:
                self._data[cell.target] = error
        data = self._data[cell.target]
        if isinstance(data, InputError):
            return str(data)
        return "" if data == cell.data else f"its data are {cell.data}, and here are {data}"


def in_words(cells: Sequence[tuple[Cell, Any]]) -> dict[str, list[Cell]]:
    """Cells by what is said of them.

    Args:
        cells: with a text each.

    Returns:
        By text, in the order of the first of each.
    """
    by_text: dict[str, list[Cell]] = {}
    for cell, text in cells:
        by_text.setdefault(str(text), []).append(cell)
    return by_text
