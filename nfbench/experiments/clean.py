"""What killed processes have left in a folder of results, and its removal."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nfbench.executors.claims import FOLDER as LEASES
from nfbench.executors.engine import engine_files
from nfbench.experiments.folders import CHECKPOINTS
from nfbench.experiments.plans import stored_plans
from nfbench.experiments.status import leases, logs
from nfbench.foundation.file_clock import file_clock
from nfbench.foundation.files import entries
from nfbench.foundation.leases import TAKEOVER, remove_stale
from nfbench.foundation.sweep import abandoned, sweep
from nfbench.records.cells import FINISHED
from nfbench.records.publish import aside_files, recover
from nfbench.records.store import records
from nfbench.specification.choices import LOGS, PLANS
from nfbench.specification.config import Group

Kind = Literal[
    "partial file",
    "dead lease",
    "checkpoint of finished cells",
    "plan without open cells",
    "file in hand",
    "log of ended workers",
]


@dataclass(frozen=True)
class Leftover:
    """A file that nobody needs any more.

    Attributes:
        file: its path.
        kind: what it is; a ``file in hand`` is what a process had renamed when it was killed: a finished record is put
            back, anything else removed.
    """

    file: Path
    kind: Kind


def leftovers(root: Path) -> list[Leftover]:
    """Find what killed processes have left; files of living processes are none.

    Args:
        root: folder of the records.

    Returns:
        What `remove` would remove, by folders.

    Raises:
        InputError: the folder cannot be read.
    """
    every: list[Leftover] = []
    for folder in _folders(root):
        every += [Leftover(file, "partial file") for file in abandoned(folder)]
        every += [Leftover(file, "file in hand") for file in aside_files(folder)]
    held = [*leases(root), *leases(root, TAKEOVER)]
    dead = []
    if held:
        now = file_clock(root)
        dead = [Leftover(lease.file, "dead lease") for lease in held if lease.is_stale(now)]
    over = _of_finished(root)
    has_ended = len(dead) == len(held) and {each.file for each in over}.issuperset(stored_plans(root))
    ended = [Leftover(file, "log of ended workers") for file in logs(root)] if has_ended else []
    return [*every, *dead, *over, *ended]


def remove(found: list[Leftover], root: Path) -> list[Path]:
    """Remove what `leftovers` has found, where it is still nobody's, and folders that are empty then.

    Args:
        found: what to remove.
        root: folder of the records.

    Returns:
        The files that are gone.

    Raises:
        InputError: a folder cannot be read or written.
    """
    for folder, kind in dict.fromkeys((leftover.file.parent, leftover.kind) for leftover in found):
        if kind == "partial file":
            sweep(folder)
        elif kind == "file in hand":
            recover(folder)
    for leftover in found:
        if leftover.kind == "dead lease":
            remove_stale(leftover.file)
        elif leftover.kind not in ("partial file", "file in hand"):
            leftover.file.unlink(missing_ok=True)
    emptied = (part / name for part in entries(root) for name in (CHECKPOINTS, LEASES))
    for folder in (root / PLANS, engine_files(root), root / LOGS, *emptied):
        if folder.is_dir() and not entries(folder):
            folder.rmdir()
    return [leftover.file for leftover in found if not leftover.file.exists()]


def _folders(root: Path) -> list[Path]:
    parts = [part for part in entries(root) if part.is_dir()]
    return [root, *parts, *(part / name for part in parts for name in (CHECKPOINTS, LEASES))]


def _of_finished(root: Path) -> list[Leftover]:
    """Checkpoints and plans of which all cells that are known have outcomes; a failed cell may be resumed."""
    plans, checkpoints = stored_plans(root), _checkpoints(root)
    outcomes = {record.id: record for record in records(root)} if plans or checkpoints else {}
    planned = {cell.id: group.key for groups in plans.values() for group in groups for cell in group.cells}
    recorded = {record.id: Group(cells=(record.cell,), order=record.facts.order).key for record in outcomes.values()}
    cells: dict[str, list[str]] = {}
    for identity, key in (recorded | planned).items():
        cells.setdefault(key, []).append(identity)
    ended = {identity for identity, record in outcomes.items() if record.status in FINISHED}
    whole = {key for key, identities in cells.items() if ended.issuperset(identities)}
    failed = {identity for identity, record in outcomes.items() if record.status == "failed"}
    over = [
        file
        for file, groups in plans.items()
        if all(cell.id in ended | failed for group in groups for cell in group.cells)
    ]
    return [
        *(Leftover(file, "checkpoint of finished cells") for file in checkpoints if file.stem in whole),
        *(Leftover(file, "plan without open cells") for file in over),
    ]


def _checkpoints(root: Path) -> list[Path]:
    files = [file for folder in entries(root) for file in entries(folder / CHECKPOINTS)]
    return [file for file in files if file.suffix == ".pt" and file.name[0] != "."]
