"""Exporting fitted posteriors by name: a file of a fit, an outcome of `nfbench choose`, a record."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from nfbench.foundation.errors import InputError
from nfbench.foundation.files import entries
from nfbench.records.cells import Record
from nfbench.records.store import path, read
from nfbench.specification.choices import CHOICES, REFERENCE, TIMING
from nfbench.specification.config import Group
from nfbench.specification.spec import is_of_file
from nfbench.targets.contract import LatentVariableModel, Target
from nfbench.training.fit import as_target
from nfbench.training.fitted import Fitted, load
from nfbench.training.inference_data import datatree
from nfbench.training.loop import train
from nfbench.training.objective import initial_model

Report = Callable[[int, float], None]

ENDING = ".safetensors"
_FEWEST = 4  # letters of the beginning of a record's id
_CLOSE = 1e-2  # by which F of a repeated training may differ, relatively and in nats, on another machine


def export(
    identity: str,
    results: Path,
    out: Path,
    *,
    target: str | None = None,
    draws: int = 1000,
    report: Report | None = None,
) -> Path:
    """Write draws of fitted posteriors as netCDF that ArviZ reads; the chains are the seeds.

    Args:
        identity: a file of `Fitted.save`, the name of an outcome in the folder ``choose``, or a record's id or its
            beginning. A record has no weights: its training is repeated, with all seeds of its configuration that are
            stored and trained beside it.
        results: folder of records.
        out: path of the new file.
        target: the spec of the target, needed where it is code in a file, which is not run unasked.
        draws: of each seed.
        report: called with (updates done, mean bound in nats) where a training is repeated.

    Returns:
        The file's path.

    Raises:
        InputError: nothing of that name, a target that must be given, or an extra that is not installed.
    """
    given = None if target is None else as_target(target)
    fits = fits_of(identity, results, given, report)
    tree = datatree(fits, draws)
    try:
        tree.to_netcdf(out)
    except (ImportError, ValueError) as error:  # no engine
        raise InputError(f"{out} cannot be written: {error}; expected pip install 'nfbench[arviz]'") from None
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror or error}") from None
    return out


def fits_of(identity: str, results: Path, target: Target | None, report: Report | None = None) -> list[Fitted]:
    """The fitted posteriors of a name, one for each seed.

    Args:
        identity: as of `export`.
        results: folder of records.
        target: in place of the one that was stored; None for that.
        report: as of `export`.

    Returns:
        At least one.

    Raises:
        InputError: nothing of that name, or a target that must be given.
    """
    if identity.endswith(ENDING):
        return [_with_target(load(identity, target=target), identity)]
    chosen = [file for file in _files(results / CHOICES, ENDING) if file.stem.rpartition("-seed")[0] == identity]
    if chosen:
        return [_with_target(load(file, target=target), file.name) for file in sorted(chosen)]
    return _repeated(_record(identity, results), results, target, report)


def _with_target(fitted: Fitted, name: str) -> Fitted:
    if fitted.target is None:
        raise InputError(f"{name}: its target is code, which is not run unasked; expected --target with its spec")
    return fitted


def _files(folder: Path, ending: str) -> list[Path]:
    return [file for file in entries(folder) if file.name.endswith(ending)] if folder.is_dir() else []


def _record(identity: str, results: Path) -> Record:
    """The record whose id begins with some letters."""
    folders = [folder for root in (results, results / REFERENCE) if root.is_dir() for folder in entries(root)]
    skipped = (CHOICES, TIMING, REFERENCE)
    files = {
        file.stem: file
        for folder in reversed(folders)  # the user's own go before those of the package
        if folder.name not in skipped
        for file in _files(folder, ".json")
        if len(identity) >= _FEWEST and file.stem.startswith(identity)
    }
    if len(files) != 1:
        some = f"{len(files)} records begin with it" if files else "no such record, outcome or file"
        raise InputError(
            f"export {identity!r}: {some} in {str(results)!r}; expected the id of one record, the name of a file in "
            f"{str(results / CHOICES)!r}, or a file {ENDING}"
        )
    return read(next(iter(files.values())))


def _repeated(record: Record, results: Path, target: Target | None, report: Report | None) -> list[Fitted]:
    """The fits of a record's training, done again."""
    cell = record.cell
    if cell.training is None or record.status != "done":
        raise InputError(
            f"export {record.id}: it is {record.status}, of no trained posterior; expected one that is done"
        )
    if is_of_file(cell.target) and target is None:
        raise InputError(
            f"export {record.id}: its target is code, which is not run unasked; expected --target {cell.target}"
        )
    group = Group(cells=(cell,), order=record.facts.order)
    models = [initial_model(cell.posterior, target or cell.target, seed, cell.training.head) for seed in group.block]
    if isinstance(models[0].target, LatentVariableModel):
        raise InputError(f"export {record.id}: a posterior for each data point; expected one of a target without data")
    trained = train(models, group.block, cell.training, report=report)
    asked = _siblings(record, results, group.block)
    fits = []
    for e, seed in enumerate(group.block):
        if seed not in asked or trained.diverged[e] is not None:
            continue
        evidence = None if trained.evidence is None else trained.evidence[e]
        curves, model = pd.DataFrame(trained.curves[e]), trained.models[e]
        names = cell.posterior, cell.target
        stored = asked[seed].curves["free_energy"][-1]
        if not _close(curves["free_energy"].iloc[-1], stored):
            warnings.warn(
                f"the training of seed {seed} does not end as its record does; another version?", stacklevel=2
            )
        fits.append(Fitted(model.posterior, model.target, *names, cell.training, seed, curves, 0.0, None, evidence))
    return fits


def _close(left: float, right: float | None) -> bool:
    return right is not None and abs(left - right) <= _CLOSE * max(1.0, abs(right))


def _siblings(record: Record, results: Path, seeds: Sequence[int]) -> dict[int, Record]:
    """By seed the done records that differ from one in their seed only."""
    found = {}
    for root in (results / REFERENCE, results):
        for seed in seeds:
            cell = record.cell.model_copy(update={"seed": seed})
            file = path(root, cell.experiment, cell.id)
            if file.is_file() and (other := read(file)).status == "done":
                found[seed] = other
    return found
