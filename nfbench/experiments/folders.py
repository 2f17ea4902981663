"""The folders of a run: whether they can be written, what killed runs left in them, and what is gone from them."""

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from nfbench.foundation.files import check_writable, sweep
from nfbench.records.store import finished, path
from nfbench.specification.config import Cell, Group, digest


def checkpoint_of(group: Group, root: Path) -> Path:
    """Where the state of an unfinished training is stored.

    Args:
        group: cells that train as one program.
        root: folder of the records.

    Returns:
        ``<root>/<experiment>/checkpoints/<hash>.pt``, the same for every part of a block of seeds.
    """
    ids = [group.cells[0].model_copy(update={"seed": seed}).id for seed in group.block]
    return _checkpoints(group, root) / f"{digest(ids)}.pt"


def remove_checkpoint(group: Group, root: Path) -> None:
    """Remove the state of a training whose outcomes are stored, and its folder after the last one.

    Args:
        group: cells that train as one program.
        root: folder of the records.
    """
    checkpoint_of(group, root).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # others may still be in training
        _checkpoints(group, root).rmdir()


def prepare(groups: Sequence[Group], root: Path) -> None:
    """Check that all folders of a run can be written, and remove what runs that were killed have left there.

    These are partial files, and the states of trainings whose outcomes are all stored.

    Args:
        groups: the plan.
        root: folder of the records.

    Raises:
        InputError: a folder cannot be made or written, or a record's place is taken by what cannot be read.
    """
    trained = [group for group in groups if group.cells[0].training]
    folders = [root, *(root / group.cells[0].experiment for group in groups), *(_checkpoints(g, root) for g in trained)]
    for folder in dict.fromkeys(folders):
        check_writable(folder)
        sweep(folder)
    for group in trained:
        if checkpoint_of(group, root).exists() and all(finished(root, cell) for cell in group.cells):
            remove_checkpoint(group, root)
    for folder in dict.fromkeys(_checkpoints(group, root) for group in trained):
        with contextlib.suppress(OSError):  # what is left there is resumed from
            folder.rmdir()


def gone(groups: Iterable[Group], root: Path) -> list[Cell]:
    """The cells of a plan whose records are not there after the run: somebody has removed them meanwhile.

    Args:
        groups: the plan.
        root: folder of the records.

    Returns:
        The cells without a file.
    """
    cells = [cell for group in groups for cell in group.cells]
    return [cell for cell in cells if not path(root, cell.experiment, cell.id).is_file()]


def _checkpoints(group: Group, root: Path) -> Path:
    return root / group.cells[0].experiment / "checkpoints"
