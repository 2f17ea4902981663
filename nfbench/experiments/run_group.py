"""Running a group of cells: build, train together, evaluate one by one, store every outcome."""

import dataclasses
import datetime
import functools
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from nfbench.evaluation import density_grid
from nfbench.evaluation.density import draw_theta, push_through
from nfbench.evaluation.evaluate import evaluate, finite
from nfbench.executors.messages import Lost
from nfbench.experiments.folders import checkpoint_of, remove_checkpoint
from nfbench.experiments.group_run import GroupRun
from nfbench.foundation.compiling import clock
from nfbench.foundation.errors import InputError, reason, traceback_of
from nfbench.foundation.interrupts import Withdrawn, unmasked
from nfbench.foundation.process_state import seed_generators
from nfbench.posteriors.build import posterior
from nfbench.posteriors.flow_posterior import FlowPosterior
from nfbench.records.cells import FINISHED, Metric, Record
from nfbench.records.glossary import BEST
from nfbench.records.store import finished, path, read
from nfbench.specification.config import Cell, Group
from nfbench.specification.registry import posteriors, targets
from nfbench.targets.build import target
from nfbench.training.acceleration import PLAIN, Acceleration
from nfbench.training.contracts import check_maps, check_model
from nfbench.training.loop import train
from nfbench.training.objective import Inference, initial_model
from nfbench.training.program import Trained

Report = Callable[[int, float], None]
Outcome = tuple[Record, density_grid.Arrays | None]
Make = Callable[..., Record]


def run_group(
    group: Group,
    root: Path,
    device: str = "cpu",
    report: Report | None = None,
    *,
    acceleration: Acceleration = PLAIN,
    first_wins: bool = False,
) -> list[Record]:
    """Train the seeds of a group as one program, evaluate each, and store one record for each cell.

    Divergence, lack of memory and any other failure are outcomes: they are stored, not raised.

    Args:
        group: the cells of one target and posterior, one for each seed.
        root: folder of the records.
        device: torch device; untrained flows run on the CPU.
        report: called with (updates done, mean bound in nats) about 100 times.
        acceleration: how updates are run.
        first_wins: leave finished records as they are, whoever has stored them while this call ran.

    Returns:
        One record for each cell, in the order of the cells.

    Raises:
        KeyboardInterrupt: interrupted; `interrupted` records and a checkpoint are stored, and the same call resumes.
        Withdrawn: `report` raised it; nothing more is stored.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # how a sum is rounded depends on how many share it, and on nothing else may a cell depend
    run = GroupRun(group, root, device, clock(), acceleration, first_wins)
    seed_generators(int(group.cells[0].id, 16))  # for code that draws from them; nfbench's own does not
    try:
        with unmasked():
            _check_sources(group)
            return (
                _push(dataclasses.replace(run, device="cpu", acceleration=PLAIN))
                if group.cells[0].push
                else _fit(run, report)
            )
    except Withdrawn:
        raise
    except KeyboardInterrupt:
        run.fail("interrupted", "interrupted by the user; the same command resumes")
        raise
    except BaseException as error:  # a plug-in may end anything, but not the grid
        return run.fail("failed", reason(error), traceback_of(error))
    finally:
        run.restore()
        torch.set_num_threads(threads)


def lose_group(group: Group, root: Path, device: str, lost: Lost) -> list[Record]:
    """Store failed records for a group whose process died or was ended before it had stored all of its own.

    Args:
        group: the cells.
        root: folder of the records.
        device: torch device that the process used.
        lost: how it ended.

    Returns:
        One record for each cell.
    """
    run = GroupRun(group, root, device, clock() - lost.seconds)
    began = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=lost.seconds + 1)
    for cell in group.cells:
        if finished(root, cell):
            record = read(path(root, cell.experiment, cell.id))
            if datetime.datetime.fromisoformat(record.finished) >= began:  # its process stored it before it died
                run.stored[cell.id] = record
    return run.fail("failed", lost.message, lost.traceback)


def _check_sources(group: Group) -> None:
    """Refuse to run other code than that which the cells' identity names: it was edited since they were planned."""
    planned = group.cells[0].sources or {}
    choices = {"posterior": posteriors.choose(group.posterior), "target": targets.choose(group.target)}
    codes = {kind: choice.entry.module_source for kind, choice in choices.items() if kind in planned}
    changed = [kind for kind, code in codes.items() if code is not None and code != planned[kind]]
    if changed:
        raise InputError(
            f"the code of the {' and the '.join(changed)} was changed since this run was planned; run again"
        )


def _fit(run: GroupRun, report: Report | None) -> list[Record]:
    """Train the group's seeds together, and evaluate and store them one by one."""
    cells = run.group.cells
    if cells[0].training is None:
        raise ValueError(f"cell {cells[0].id} has neither training nor push")
    company = [cells[0].model_copy(update={"seed": seed}) for seed in run.group.block]
    head = cells[0].training.head
    models = [initial_model(cell.posterior, cell.target, cell.seed, head) for cell in company]
    for cell, model in zip(company, models, strict=True):
        model.to(device=run.device, dtype=getattr(torch, cells[0].training.dtype))
        check_model(model, cell.target, cell.posterior, cell.seed)
    began = clock()
    trained = train(
        models,
        run.group.block,
        cells[0].training,
        device=run.device,
        acceleration=run.acceleration,
        checkpoint=checkpoint_of(run.group, run.root),
        report=report,
    )
    if trained.one_by_one is not None:
        run.noted["seeds_one_by_one"] = trained.one_by_one
    training_seconds = round((clock() - began + trained.earlier_seconds) / len(company), 3)
    make = functools.partial(run.make, training_seconds=training_seconds)
    share = run.share() + trained.earlier_seconds / len(company)
    # All are evaluated before any is written: an interrupt in between leaves the group whole, as its checkpoint is.
    outcomes = [_outcome(run, make, cell, run.group.block.index(cell.seed), trained, share) for cell in cells]
    records = [run.write(*outcome) for outcome in outcomes]
    if any(record.status not in FINISHED for record in records):
        return records  # the checkpoint stays, so that the same command evaluates the trained models again
    remove_checkpoint(run.group, run.root)
    return records


def _outcome(run: GroupRun, make: Make, cell: Cell, e: int, trained: Trained, share: float) -> Outcome:
    """Evaluate the e-th seed: record and arrays; a failing evaluation gives a failed record of this seed alone."""
    model, diverged = trained.models[e], trained.diverged[e]
    make = functools.partial(make, cell, run.facts(model.target, model.posterior), curves=trained.curves[e])
    if trained.evidence is not None:
        make = functools.partial(make, stopped=trained.evidence[e].sentence)
    if diverged is not None:
        return make("diverged", share, message=f"the bound was not finite within the updates before {diverged}"), None
    started = clock()
    try:
        with unmasked():
            metrics, arrays = evaluate(model, cell.evaluation, cell.seed)
            if trained.best is not None:
                metrics = metrics | _of_best(model, *trained.best[e], cell, metrics)
            if trained.evidence is not None:
                metrics = metrics | trained.evidence[e].metrics()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return make("failed", share, message=reason(error), traceback=traceback_of(error)), None
    if "free_energy" not in metrics:
        return make("diverged", share, message="the bound of the trained posterior is not finite"), None
    return make("done", share + clock() - started, metrics=metrics), arrays


def _of_best(
    model: Inference, params: dict[str, Tensor], step: int, cell: Cell, metrics: dict[str, Metric]
) -> dict[str, Metric]:
    """The metrics of the parameters with the lowest F on validation data, `best_free_energy` and so on.

    Where these are the last ones, and so those that are delivered, `metrics`, which are known already, are theirs.
    """
    if cell.training is None or step < cell.training.updates or cell.training.stop == "evidence":
        model.load_state_dict(params, strict=False)  # buffers are not learned
        metrics, _ = evaluate(model, cell.evaluation, cell.seed)
    return {"best_step": Metric(value=step)} | {f"{BEST}{name}": metric for name, metric in metrics.items()}


def _push(run: GroupRun) -> list[Record]:
    """Push the base density through the untrained flow of every cell (paper, Figure 1)."""
    return [_pushed(run, cell) for cell in run.group.cells]


def _pushed(run: GroupRun, cell: Cell) -> Record:
    """Push the base density through one cell's untrained flow, and store the metrics and the image."""
    started = clock()
    base = target(cell.target)
    family = posterior(cell.posterior, base.dim, seed=cell.seed, dtype=torch.float64)
    if not isinstance(family, FlowPosterior) or cell.push is None:
        raise TypeError(f"posterior {cell.posterior} is not a flow: there are no maps to show")
    theta = draw_theta(family.flow, cell.push, cell.seed, torch.float64)
    check_maps(family.flow, base, theta, cell.target, cell.posterior, cell.seed)
    metrics = finite(push_through(family.flow, base, theta, cell.evaluation, cell.seed))
    arrays = density_grid.of_flow(family.flow, base, theta, cell.evaluation) if density_grid.drawable(base) else None
    facts = run.facts(base, family)
    return run.store(cell, facts, "done", clock() - started, arrays, metrics=metrics)
