"""One plausible record, for tests of how records are stored."""

from pathlib import Path

from nfbench.records.cells import Facts, Metric, Record
from nfbench.records.store import arrays, read, write
from nfbench.specification.config import Cell, Evaluation, Training


def make(seed=0, status="done", **changes) -> Record:
    """A record that could have been written by a run."""
    cell = Cell(
        experiment="figure3",
        profile="quick",
        target="u1",
        posterior="planar:K=8",
        seed=seed,
        training=Training(learning_rate=0.02, updates=100, anneal_updates=40),
        evaluation=Evaluation(draws=50),
    )
    facts = Facts(
        family="planar",
        label="Planar flow",
        cite="a paper",
        year=2015,
        K=8,
        target_label="$U_1$",
        target_cite="a paper",
        dim=2,
        log_z=1.8775,
        num_params=44,
        order=(0, 1),
    )
    content = {
        "id": cell.id,
        "cell": cell,
        "facts": facts,
        "status": status,
        "metrics": {"free_energy": Metric(value=-1.85, se=0.01), "kl": Metric(value=0.1 + 0.2)},
        "curves": {"step": [10.0, 20.0], "free_energy": [0.5, None]},
        "seconds": 1.5,
        "finished": "2026-01-01T00:00:00+00:00",
        "provenance": {"nfbench": "0.1.0", "libraries": {"torch": "2.13.0"}},
    }
    return Record(**(content | changes))


def with_arrays(file: Path, change) -> None:
    """Store a record again with other arrays: `change` maps the arrays by name to those that it shall have."""
    root, record = file.parent.parent, read(file)
    write(root, record, change(arrays(root, record.cell.experiment, record.id)))
