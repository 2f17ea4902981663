"""What a plan will take, from the durations that records of earlier runs store."""

import json
import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from nfbench.records.results import StoredResults
from nfbench.records.store import finished
from nfbench.specification.config import Cell, Group

SAME, SIMILAR = "same", "similar"

_Rates = dict[tuple[str | None, str | None], list[float]]  # by target and posterior, of which one may be any


@dataclass(frozen=True)
class Estimate:
    """What a group will take.

    Attributes:
        cells: number of its cells that are not finished.
        seconds: of one core, or of one GPU, for all of them; None where no record is like them.
        basis: ``same`` where records of the same target and posterior say so, scaled by the number of updates;
            ``similar`` where they are of the same posterior with another target, or the same target with another
            posterior; None where there are none.
    """

    cells: int
    seconds: float | None
    basis: str | None


def estimate(
    groups: Sequence[Group], root: Path, device: str = "cpu", there: Collection[str] | None = None
) -> list[Estimate]:
    """Estimate what the cells that are not finished will take.

    Args:
        groups: the plan.
        root: folder of the records; those in its folder ``reference`` count too.
        device: torch device on which the plan will run; records of CPUs tell nothing of GPUs.
        there: ids of finished cells; None: they are looked for under `root`.

    Returns:
        One estimate for each group: median seconds for each update of the records that are most like it, times its
        updates and cells.
    """
    rates = _rates(root, device) if root.is_dir() else {}
    if there is None:
        there = {cell.id for group in groups for cell in group.cells if finished(root, cell)}
    return [_of_group(group, there, rates) for group in groups]


def summary(estimates: Sequence[Estimate], device: str = "cpu") -> str:
    """The estimates in one line.

    Args:
        estimates: of the groups of a plan.
        device: torch device.

    Returns:
        Hours of one core or GPU, and how many cells they rest on records for.

    >>> summary([Estimate(2, 1800.0, "same"), Estimate(3, None, None)])
    'estimate: 0.5 core-hours for 2 of 5 cells to run (2 by records of the same target and posterior; 3 unknown)'
    """
    total, unit = sum(each.cells for each in estimates), "core" if device.startswith("cpu") else "GPU"
    if not total:
        return "estimate: nothing to run"
    count = {basis: sum(each.cells for each in estimates if each.basis == basis) for basis in (SAME, SIMILAR, None)}
    seconds = sum(each.seconds or 0.0 for each in estimates)
    words = (
        f"{count[SAME]} by records of the same target and posterior" * bool(count[SAME]),
        f"{count[SIMILAR]} by similar ones" * bool(count[SIMILAR]),
        f"{count[None]} unknown" * bool(count[None]),
    )
    basis = "; ".join(word for word in words if word)
    return f"estimate: {seconds / 3600:.2g} {unit}-hours for {total - count[None]} of {total} cells to run ({basis})"


def _rates(root: Path, device: str) -> _Rates:
    """Seconds for each update of the records that ran on a device of the same kind."""
    rates: _Rates = {}
    columns = StoredResults(root).rows.columns
    names = ("status", "_provenance", "target", "posterior", "seconds", "updates")
    for status, provenance, target, posterior, seconds, updates in zip(*(columns[name] for name in names), strict=True):
        if status == "done" and _ran_on(provenance, device):
            for key in ((target, posterior), (None, posterior), (target, None)):
                rates.setdefault(key, []).append(seconds / (updates or 1))
    return rates


def _of_group(group: Group, there: Collection[str], rates: _Rates) -> Estimate:
    cells = sum(cell.id not in there for cell in group.cells)
    for basis, keys in (
        (SAME, [(group.target, group.posterior)]),
        (SIMILAR, [(None, group.posterior), (group.target, None)]),
    ):
        for key in keys:
            if key in rates:
                rate = statistics.median(rates[key])
                return Estimate(cells, cells * rate * _updates(group.cells[0]), basis)
    return Estimate(cells, None, None)


def _updates(cell: Cell) -> int:
    return cell.training.updates if cell.training else 1


@lru_cache
def _ran_on(provenance: str, device: str) -> bool:
    """Whether a record was made on a device of the same kind; one that does not say was made on a CPU."""
    return bool(json.loads(provenance).get("device", "cpu") == "cpu") == device.startswith("cpu")
