"""What the run of a group needs to know of itself, and how its outcomes become stored records."""

import dataclasses
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nfbench.evaluation import density_grid
from nfbench.executors.origins import is_own
from nfbench.foundation.compiling import clock, compile_seconds
from nfbench.foundation.environment import now, provenance, runtime
from nfbench.foundation.process_state import ProcessState
from nfbench.posteriors.contract import Posterior
from nfbench.records.cells import FINISHED, Facts, Record, Status
from nfbench.records.publish import Published, publish
from nfbench.records.store import with_proof, write
from nfbench.specification.config import Cell, Group
from nfbench.specification.registry import posteriors, targets
from nfbench.targets.contract import Target
from nfbench.training.acceleration import PLAIN, Acceleration
from nfbench.verification.maps import is_auxiliary


@dataclass(frozen=True)
class GroupRun:
    """The run of a group.

    Attributes:
        group: the cells.
        root: folder of the records.
        device: torch device.
        started: time of the start, as of `nfbench.foundation.compiling.clock`.
        acceleration: how updates are run.
        first_wins: whether finished records stay, whoever has stored them meanwhile; else they are written over.
        stored: a cell's id -> the record that this run stored for it.
        before: the state of the process at the start.
        compiled: seconds that the process had spent compiling kernels before.
        noted: of how it ran, for the provenance of its records.
    """

    group: Group
    root: Path
    device: str
    started: float
    acceleration: Acceleration = PLAIN
    first_wins: bool = False
    stored: dict[str, Record] = field(default_factory=dict)
    before: ProcessState = field(default_factory=ProcessState)
    compiled: float = field(default_factory=compile_seconds)
    noted: dict[str, Any] = field(default_factory=dict)

    def restore(self) -> None:
        """Put the process back into its state before, and warn of what the group's code had changed."""
        changed = self.before.restore()
        if changed and not is_own(self.group):  # what nfbench imports may set filters of warnings
            owner = f"{self.group.target} | {self.group.cells[0].name}"
            warnings.warn(f"{owner}: its code changed {', '.join(changed)}; put back", stacklevel=2)

    def share(self) -> float:
        """Share the seconds so far equally among all seeds that train together, whichever of them are asked for.

        Returns:
            Seconds of each cell.
        """
        return (clock() - self.started) / len(self.group.block)

    def fail(self, status: Status, message: str, traceback: str | None = None) -> list[Record]:
        """Store an outcome for every cell for which this run has stored none yet.

        Args:
            status: how they ended.
            message: why, in one line.
            traceback: of the error; None where there is none.

        Returns:
            One record for each cell, in the order of the cells.
        """
        facts = self.facts()
        return [
            self.stored.get(cell.id)
            or self.store(cell, facts, status, self.share(), message=message, traceback=traceback)
            for cell in self.group.cells
        ]

    def store(
        self,
        cell: Cell,
        facts: Facts,
        status: Status,
        seconds: float,
        arrays: density_grid.Arrays | None = None,
        **fields: Any,
    ) -> Record:
        """Make a record and write it, with its arrays.

        Args:
            cell: of the group.
            facts: as of `facts`.
            status: how it ended.
            seconds: that it took.
            arrays: densities and the like by name; None for none.
            fields: further fields of the record.

        Returns:
            The record.
        """
        return self.write(self.make(cell, facts, status, seconds, **fields), arrays)

    def make(self, cell: Cell, facts: Facts, status: Status, seconds: float, **fields: Any) -> Record:
        """The record of an outcome, not yet written.

        Args:
            cell: of the group.
            facts: as of `facts`.
            status: how it ended.
            seconds: that it took.
            fields: further fields of the record.

        Returns:
            The record, with where and by which code it was made, and what of the process that code has changed.
        """
        changes = [] if is_own(self.group) else self.before.changes()
        noted = self.noted | ({"changed_by_its_code": changes} if changes else {})
        if (compiled := compile_seconds() - self.compiled) > 0:
            noted["compile_seconds"] = round(compiled, 3)  # of the group; they are no part of `seconds`
        return Record(
            id=cell.id,
            cell=cell,
            facts=facts,
            status=status,
            seconds=round(seconds, 3),
            finished=now(),
            provenance={**provenance(), **runtime(self.device), **dataclasses.asdict(self.acceleration), **noted},
            **fields,
        )

    def write(self, record: Record, arrays: density_grid.Arrays | None) -> Record:
        """Store a record, unless the cell is finished already, by an earlier run or another process.

        Args:
            record: as of `make`.
            arrays: densities and the like by name; None for none.

        Returns:
            The finished record that has the cell's place then; of any other outcome, that outcome with its digest.
        """
        record = with_proof(record, arrays)
        if record.status in FINISHED and not self.first_wins:
            write(self.root, record, arrays)
        else:
            published = publish(self.root, record, arrays)
            if published.repeated:
                self._name_repeated(published)
            if record.status in FINISHED:
                record = published.record
        self.stored[record.id] = record
        return record

    def _name_repeated(self, published: Published) -> None:
        """Warn that a cell was run to its end twice."""
        cell = published.record.cell
        owner = f"{cell.target} | {cell.name} | seed {cell.seed}: finished by another process meanwhile, with "
        what = f"other numbers: this outcome is kept as {published.other}" if published.other else "the same numbers"
        warnings.warn(f"{owner}{what}; the first record stays", stacklevel=2)

    def facts(self, built_target: Target | None = None, family: Posterior | None = None) -> Facts:
        """Labels, references and sizes, as the group's records store them.

        Args:
            built_target: the target; None where none was built.
            family: the posterior; None likewise.

        Returns:
            The facts, without sizes of what was not built.
        """
        posterior_choice, target_choice = posteriors.choose(self.group.posterior), targets.choose(self.group.target)
        return Facts(
            family=posterior_choice.family,
            label=posterior_choice.label,
            cite=posterior_choice.entry.cite,
            year=posterior_choice.entry.year,
            K=posterior_choice.depth,
            target_label=target_choice.label,
            target_cite=target_choice.entry.cite,
            dim=None if built_target is None else built_target.dim,
            log_z=None if built_target is None else built_target.log_z,
            num_params=None if family is None else sum(parameter.numel() for parameter in family.parameters()),
            order=self.group.order,
            auxiliary=family is not None and is_auxiliary(family),
            has_density=family is None or family.has_density,
            target_gradients=None if family is None else family.target_gradients,
        )
