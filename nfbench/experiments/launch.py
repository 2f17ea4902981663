"""A plan run by workers that an engine starts elsewhere."""

import contextlib
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from nfbench.executors.engine import Engine, EngineLostError, Sweep, engine_files
from nfbench.executors.origins import check_importable
from nfbench.experiments.estimate import estimate
from nfbench.experiments.execute import Run
from nfbench.experiments.folders import prepare
from nfbench.experiments.plans import remove_plan, store_plan
from nfbench.foundation.errors import InputError
from nfbench.foundation.file_clock import file_clock
from nfbench.foundation.files import entries
from nfbench.foundation.settings import environment
from nfbench.records.cells import FINISHED, Record
from nfbench.records.store import finished, path, read
from nfbench.specification.choices import LOGS, PLANS
from nfbench.specification.config import Cell, Group

_DEVICES = ("cpu", "cuda")
_OWN_VARIABLES = "NFBENCH_"  # begins the names of environment variables that workers elsewhere are given


def launch(
    engine: Engine, groups: Sequence[Group], root: Path, device: str = "cpu", *, options: Sequence[str] = ()
) -> Run:
    """Have an engine's workers run the groups that are not finished, and wait for them.

    Args:
        engine: starts the workers.
        groups: the plan.
        root: folder of the records, under the same path on every machine.
        device: torch device of each worker, ``cpu`` or ``cuda``; it need not be on this machine.
        options: further words of ``nfbench worker``.

    Returns:
        The outcomes, as the records tell them. Cells that had failed before are run again once. Where the workers have
        ended and cells are left without an outcome, such as those in the hands of a machine that died, workers are
        started again for as long as that helps.

    Raises:
        InputError: something is registered in this session only, the folder cannot be written, or the engine cannot
            start workers.
        EngineLostError: the engine is gone; its workers may be at work. The same call goes on.
        KeyboardInterrupt: interrupted; the same call goes on.
    """
    if device not in _DEVICES:
        raise InputError(f"device {device!r}: expected {' or '.join(_DEVICES)}, as the engine chooses which")
    for group in groups:
        check_importable(group, 2)
    root = Path(os.path.abspath(root))  # noqa: PTH100  links stay as they are: other machines may have others
    prepare(groups, root)
    began = file_clock(root)
    cells = [cell for group in groups for cell in group.cells]
    run = [cell for cell in cells if not finished(root, cell)]
    others = entries(root / PLANS)
    plan = store_plan(groups, root)
    arguments = ("--results", str(root), "--plan", str(plan), "--device", device, "--by-engine", *options)
    arguments += ("--retry", "--failed-before", repr(began))
    variables = {name: value for name, value in environment().items() if name.startswith(_OWN_VARIABLES)}
    outcomes: dict[str, Record] = {}
    left, patient = run, engine.patient
    lost: EngineLostError | None = None
    while left:
        seconds = [each.seconds for each in estimate(groups, root, device) if each.cells]
        wait = "--wait" if patient else "--no-wait"
        try:
            engine.run(Sweep((*arguments, wait), device, seconds, engine_files(root), variables))
        except EngineLostError as error:
            lost = error
        except InputError:
            if plan not in others:
                remove_plan(plan)
            raise
        outcomes |= {cell.id: record for cell in left if (record := _outcome(cell, root, began)) is not None}
        still = [cell for cell in left if cell.id not in outcomes]
        if lost is not None and still:
            raise lost
        is_stuck = not engine.waits or len(still) == len(left)
        left, patient = still, True  # the leases of what dead workers held run out
        if is_stuck:
            break
    if not left:
        remove_plan(plan)
    failed = [record for record in outcomes.values() if record.status == "failed"]
    failures = [f"{each.cell.target} | {each.cell.name}: {each.message}" for each in failed]
    if left and engine.waits:
        failures.append(f"{len(left)} cell{'s' * (len(left) != 1)} without an outcome{_last_words(root / LOGS)}")
    counts: Counter[str] = Counter(record.status for record in outcomes.values())
    return Run(groups, root, counts, len(cells) - len(run), list(dict.fromkeys(failures)), left=len(left))


def _outcome(cell: Cell, root: Path, began: float) -> Record | None:
    """The record of a cell that has an outcome; a failure from before this launch is none."""
    file = path(root, cell.experiment, cell.id)
    with contextlib.suppress(InputError, OSError):
        changed, record = file.stat().st_mtime, read(file)
        if record.status in FINISHED or (record.status == "failed" and changed >= began):
            return record
    return None


def _last_words(logs: Path) -> str:
    """What the worker said last whose log is the latest."""
    files = [file for file in entries(logs) if file.suffix == ".log"]
    if not files:
        return f": no worker has begun; see {logs}"
    latest = max(files, key=lambda file: file.stat().st_mtime)
    lines = latest.read_text(errors="replace").split("\n")
    words = next((line for line in reversed(lines) if line.strip()), "")
    return f"; a worker said last: {words!r} (in {latest})" if words else f"; see {logs}"
