"""Running a group of cells: build, train together, evaluate one by one, store every outcome."""

import contextlib
import dataclasses
import datetime
import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from nfbench.evaluation import density_grid
from nfbench.evaluation.density import draw_theta, push_through
from nfbench.evaluation.evaluate import evaluate, finite
from nfbench.foundation.environment import provenance, runtime
from nfbench.foundation.errors import reason
from nfbench.foundation.randomness import seeded
from nfbench.posteriors.build import posterior
from nfbench.posteriors.contract import Posterior
from nfbench.posteriors.flow_posterior import FlowPosterior
from nfbench.records.cells import FINISHED, Facts, Record, Status
from nfbench.records.store import finished, write
from nfbench.specification.config import Cell, Group, digest
from nfbench.specification.registry import posteriors, targets
from nfbench.targets.build import target
from nfbench.targets.contract import LatentVariableModel, Target
from nfbench.training.contracts import check_maps, check_model
from nfbench.training.loop import train
from nfbench.training.objective import Inference
from nfbench.training.program import Trained
from nfbench.training.update import PLAIN, Acceleration

Report = Callable[[int, float], None]
Outcome = tuple[Record, density_grid.Arrays | None]


def run_group(
    group: Group,
    root: Path,
    device: str = "cpu",
    report: Report | None = None,
    *,
    acceleration: Acceleration = PLAIN,
) -> list[Record]:
    """Train the seeds of a group as one program, evaluate each, and store one record a cell.

    Divergence, lack of memory and any other failure are outcomes: they are stored and the grid goes on. An interrupt
    is stored too, with a checkpoint from which the same call resumes, and then raised again.
    """
    run = _Run(group, root, device, time.perf_counter(), acceleration)
    try:
        return (
            _push(dataclasses.replace(run, device="cpu", acceleration=PLAIN))
            if group.cells[0].push
            else _fit(run, report)
        )
    except KeyboardInterrupt:
        run.fail("interrupted", "interrupted by the user; the same command resumes")
        raise
    except (Exception, SystemExit, GeneratorExit) as error:  # a plug-in may end anything, but not the grid
        return run.fail("failed", reason(error))


def lose_group(group: Group, root: Path, device: str = "cpu") -> list[Record]:
    """Store, from outside, the outcome of a group whose process died."""
    message = "its process died (killed, or out of memory); the same command runs it again"
    return _Run(group, root, device, time.perf_counter()).fail("failed", message)


@dataclass(frozen=True)
class _Run:
    """A group being run: where its records go and since when."""

    group: Group
    root: Path
    device: str
    started: float
    acceleration: Acceleration = PLAIN
    stored: dict[str, Record] = field(default_factory=dict)  # by the cell's id, what this run has stored so far

    def share(self) -> float:
        """Seconds so far, shared equally by the cells."""
        return (time.perf_counter() - self.started) / len(self.group.cells)

    def fail(self, status: Status, message: str) -> list[Record]:
        """Store an outcome for every cell that has none yet from this run."""
        facts = _facts(self.group, None, None)
        return [
            self.stored.get(cell.id) or self.store(cell, facts, status, self.share(), message=message)
            for cell in self.group.cells
        ]

    def store(
        self,
        cell: Cell,
        facts: Facts,
        status: Status,
        seconds: float,
        arrays: density_grid.Arrays | None = None,
        **rest: Any,
    ) -> Record:
        """Make a record and write it."""
        return self.write(self.make(cell, facts, status, seconds, **rest), arrays)

    def make(self, cell: Cell, facts: Facts, status: Status, seconds: float, **rest: Any) -> Record:
        """The record of an outcome, not yet written."""
        return Record(
            id=cell.id,
            cell=cell,
            facts=facts,
            status=status,
            seconds=round(seconds, 3),
            finished=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            provenance={**provenance(), **runtime(self.device), **dataclasses.asdict(self.acceleration)},
            **rest,
        )

    def write(self, record: Record, arrays: density_grid.Arrays | None) -> Record:
        """Write a record; a failure replaces no result, be it of another run."""
        if record.status in FINISHED or not finished(self.root, record.cell):
            write(self.root, record, arrays)
        self.stored[record.id] = record
        return record


def _fit(run: _Run, report: Report | None) -> list[Record]:
    cells = run.group.cells
    if cells[0].training is None:
        raise ValueError(f"cell {cells[0].id} has neither training nor push")
    checkpoint = run.root / cells[0].experiment / "checkpoints" / f"{digest([cell.id for cell in cells])}.pt"
    models = [_model(cell) for cell in cells]
    for cell, model in zip(cells, models, strict=True):
        model.to(device=run.device, dtype=getattr(torch, cells[0].training.dtype))
        check_model(model, cell.target, cell.posterior, cell.seed)
    trained = train(
        models,
        run.group.seeds,
        cells[0].training,
        device=run.device,
        acceleration=run.acceleration,
        checkpoint=checkpoint,
        report=report,
    )
    share = run.share() + trained.before / len(cells)
    # All are evaluated before any is written: an interrupt in between leaves the group whole, as its checkpoint is.
    outcomes = [_outcome(run, e, trained, share) for e in range(len(cells))]
    records = [run.write(*outcome) for outcome in outcomes]
    if any(record.status not in FINISHED for record in records):
        return records  # what was trained is kept: the same command evaluates it again
    checkpoint.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # others may still be in training
        checkpoint.parent.rmdir()
    return records


def _model(cell: Cell) -> Inference:
    """A target and a posterior at the start that the cell's seed gives."""
    with seeded(cell.seed, "target"):
        what = target(cell.target)
    features = what.num_features if isinstance(what, LatentVariableModel) else None
    return Inference(what, posterior(cell.posterior, what.dim, features, seed=cell.seed))


def _outcome(run: _Run, e: int, trained: Trained, share: float) -> Outcome:
    """One seed's record; what goes wrong in its evaluation concerns no other seed."""
    cell, model, at = run.group.cells[e], trained.models[e], trained.diverged[e]
    make = functools.partial(run.make, cell, _facts(run.group, model.target, model.posterior), curves=trained.curves[e])
    if at is not None:
        return make("diverged", share, message=f"the bound was not finite within the updates before {at}"), None
    started = time.perf_counter()
    try:
        metrics, arrays = evaluate(model, cell.evaluation, cell.seed)
    except (Exception, SystemExit, GeneratorExit) as error:
        return make("failed", share, message=reason(error)), None
    if "free_energy" not in metrics:
        return make("diverged", share, message="the bound of the trained posterior is not finite"), None
    return make("done", share + time.perf_counter() - started, metrics=metrics), arrays


def _push(run: _Run) -> list[Record]:
    """Untrained flows on a base density: what their maps do (paper, Figure 1)."""
    return [_pushed(run, cell) for cell in run.group.cells]


def _pushed(run: _Run, cell: Cell) -> Record:
    started = time.perf_counter()
    base = target(cell.target)
    family = posterior(cell.posterior, base.dim, seed=cell.seed, dtype=torch.float64)
    if not isinstance(family, FlowPosterior) or cell.push is None:
        raise TypeError(f"posterior {cell.posterior} is not a flow: there are no maps to show")
    theta = draw_theta(family.flow, cell.push, cell.seed, torch.float64)
    check_maps(family.flow, base, theta, cell.target, cell.posterior, cell.seed)
    metrics = finite(push_through(family.flow, base, theta, cell.evaluation, cell.seed))
    arrays = density_grid.of_flow(family.flow, base, theta, cell.evaluation) if density_grid.drawable(base) else None
    facts = _facts(run.group, base, family)
    return run.store(cell, facts, "done", time.perf_counter() - started, arrays, metrics=metrics)


def _facts(group: Group, what: Target | None, family: Posterior | None) -> Facts:
    """What the registries say of a group, as its records keep it."""
    choice, chosen = posteriors.choose(group.posterior), targets.choose(group.target)
    return Facts(
        family=choice.family,
        label=choice.label,
        cite=choice.entry.cite,
        year=choice.entry.year,
        K=choice.depth,
        target_label=chosen.label,
        target_cite=chosen.entry.cite,
        dim=None if what is None else what.dim,
        log_z=None if what is None else what.log_z,
        num_params=None if family is None else sum(parameter.numel() for parameter in family.parameters()),
        order=group.order,
    )
