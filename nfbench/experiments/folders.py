"""The folders of a run: whether they can be written, what killed runs left in them, and what is gone from them."""

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from nfbench.executors.claims import FOLDER as LEASES
from nfbench.executors.claims import lease_of
from nfbench.foundation.files import check_writable
from nfbench.foundation.leases import remove_stale
from nfbench.foundation.sweep import sweep
from nfbench.records.publish import recover
from nfbench.records.store import finished, path
from nfbench.specification.choices import PLANS
from nfbench.specification.config import Cell, Group

CHECKPOINTS = "checkpoints"  # of an experiment's folder of records


def checkpoint_of(group: Group, root: Path) -> Path:
    """Where the state of an unfinished training is stored.

    Args:
        group: cells that train as one program.
        root: folder of the records.

    Returns:
        ``<root>/<experiment>/checkpoints/<hash>.pt``, the same for every part of a block of seeds.
    """
    return _checkpoints(group, root) / f"{group.key}.pt"


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

    These are partial files, finished records that a killed process had in its hand, which are put back, and the states
    and leases of trainings whose outcomes are all stored.

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
    sweep(root / PLANS)
    for folder in {root / group.cells[0].experiment for group in groups}:
        sweep(folder / LEASES)
        with contextlib.suppress(OSError):  # others are at work
            (folder / LEASES).rmdir()
        recover(folder)
    for group in groups:
        checkpoint, lease = checkpoint_of(group, root), lease_of(group, root)
        if (checkpoint.exists() or lease.exists()) and all(finished(root, cell) for cell in group.cells):
            remove_checkpoint(group, root)
            remove_stale(lease)
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
    return root / group.cells[0].experiment / CHECKPOINTS
