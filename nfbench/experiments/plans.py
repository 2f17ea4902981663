"""Plans as files: what is to be run in a folder of results, for workers to pull groups from and for `nfbench status`.

A plan lies in ``<root>/plans/`` while cells of it are without an outcome.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, ValidationError

from nfbench.foundation.errors import InputError
from nfbench.foundation.files import AbsentError, entries, read, replace
from nfbench.specification.choices import PLANS
from nfbench.specification.config import MOST_SEEDS, Cell, Group, Strict, digest

SUFFIX = ".plan"
_MOST_BYTES = 2**28
_SCHEMA = 1


class _Block(Strict):
    """Cells that differ in their seed only."""

    cell: Cell  # the first
    seeds: tuple[int, ...] = Field(min_length=1, max_length=MOST_SEEDS)
    order: tuple[int, int]

    def group(self) -> Group:
        cells = tuple(self.cell.model_copy(update={"seed": seed}) for seed in self.seeds)
        return Group(cells=cells, order=self.order)


class _Plan(Strict):
    """What a file of a plan holds."""

    schema_version: int = _SCHEMA
    blocks: tuple[_Block, ...] = Field(min_length=1)


def store_plan(groups: Sequence[Group], root: Path) -> Path:
    """Store a plan, for workers and for `nfbench status`.

    Args:
        groups: the plan.
        root: folder of the records.

    Returns:
        ``<root>/plans/<experiment>-<hash>.plan``; the same plan has the same file.

    Raises:
        InputError: the folder cannot be written.
    """
    plan = _Plan(blocks=tuple(_Block(cell=group.cells[0], seeds=group.seeds, order=group.order) for group in groups))
    name = digest([[group.key, list(group.seeds)] for group in groups])
    file = root / PLANS / f"{groups[0].cells[0].experiment}-{name}{SUFFIX}"
    replace(file, (plan.model_dump_json() + "\n").encode())
    return file


def load_plan(file: Path) -> list[Group]:
    """Read a plan.

    Args:
        file: what `store_plan` wrote.

    Returns:
        Its groups.

    Raises:
        InputError: not there, not to be read, or no plan.
    """
    content = read(file, _MOST_BYTES, "plan")
    try:
        plan = _Plan.model_validate_json(content)
        if plan.schema_version != _SCHEMA:
            raise InputError(f"{file} is a plan of schema {plan.schema_version}: expected {_SCHEMA}")
        return [block.group() for block in plan.blocks]
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "content"
        raise InputError(f"{file} is not a plan: {where}: {first['msg']}; expected one of a folder 'plans'") from None


def stored_plans(root: Path) -> dict[Path, list[Group]]:
    """The plans of a folder of results.

    Args:
        root: folder of the records.

    Returns:
        File -> groups, sorted by name; one that is removed meanwhile is left out.

    Raises:
        InputError: one cannot be read.
    """
    plans = {}
    for file in (entry for entry in entries(root / PLANS) if entry.suffix == SUFFIX and entry.name[0] != "."):
        with contextlib.suppress(AbsentError):
            plans[file] = load_plan(file)
    return plans


def remove_plan(file: Path) -> None:
    """Remove a plan all of whose cells have outcomes, and its folder after the last one.

    Args:
        file: of the plan; it need not exist.
    """
    with contextlib.suppress(OSError):
        file.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # others are left
        file.parent.rmdir()
