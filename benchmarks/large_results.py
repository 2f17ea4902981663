"""Time and memory of `nfbench table` and `nfbench report` on a folder of many synthetic records.

    python benchmarks/large_results.py --records 100000

Each record is that of a cell of a grid of targets, families, depths and seeds, with curves of 100 rows, written once as
`nfbench run` writes it. Commands run in processes of their own.
"""

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from nfbench.records.cells import Facts, Metric, Record
from nfbench.records.proof import sealed
from nfbench.records.store import path
from nfbench.specification.config import Cell, Evaluation, Training

_TARGETS = ("u1", "u2", "u3", "u4")
_FAMILIES = ("planar", "radial", "iaf", "realnvp", "nsf")
_DEPTHS = (1, 2, 4, 8, 16)
_POINTS = 100


def records(number: int) -> Iterator[Record]:
    """Synthetic records of one experiment: 4 targets, 5 families, 5 depths, and as many seeds as it takes."""
    training = Training(learning_rate=0.01, updates=1000, anneal_updates=100, together=20)
    evaluation = Evaluation()
    steps = [float(10 * step) for step in range(1, _POINTS + 1)]
    seeds = range(-(-number // (len(_TARGETS) * len(_FAMILIES) * len(_DEPTHS))))
    grid = itertools.product(enumerate(_TARGETS), enumerate(_FAMILIES), _DEPTHS, seeds)
    for (row, target), (column, family), depth, seed in itertools.islice(grid, number):
        cell = Cell(
            experiment="large", profile="quick", target=target, posterior=f"{family}:K={depth}", seed=seed,
            training=training, evaluation=evaluation,
        )  # fmt: skip
        value = 1 / depth + 0.01 * column + 0.001 * (seed % 7)
        facts = Facts(
            family=family, label=family, cite="nobody", year=2026, K=depth, target_label=target, target_cite="nobody",
            dim=2, log_z=0.0, num_params=10 * depth, order=(row, 10 * column + depth),
        )  # fmt: skip
        yield sealed(
            Record(
                id=cell.id, cell=cell, facts=facts, status="done", seconds=1.0, finished="2026-01-01T00:00:00+00:00",
                metrics={"free_energy": Metric(value=value, se=0.001), "kl": Metric(value=value, se=0.001)},
                curves={"step": steps, "free_energy": [value + 1 / step for step in steps]}, provenance={"made": "up"},
            ),
            arrays={},
        )  # fmt: skip


def measure(*words: str) -> tuple[float, float, float]:
    """Seconds, seconds of a processor, and MiB of a command of nfbench."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "nfbench", *words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"large_results: nfbench {' '.join(words)} failed with status {status}")
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    """Write the records, run the commands, print a row each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--report", action="store_true", help="time the report, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        began, root = time.perf_counter(), Path(folder) / "results"
        (root / "large").mkdir(parents=True)
        for record in records(options.records):
            path(root, "large", record.id).write_text(record.model_dump_json(indent=1) + "\n")
        print(f"{options.records:,} records written in {time.perf_counter() - began:.1f} s")
        commands = [("table", "large", "--format", "csv")]
        commands += [("report", "--out", str(Path(folder) / "reports"))] * options.report
        for command in commands:
            seconds, busy, memory = measure(*command, "--results", str(root))
            print(f"nfbench {command[0]}: {seconds:.1f} s ({busy:.1f} s busy), {memory:,.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
