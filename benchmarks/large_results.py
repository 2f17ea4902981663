"""Time and memory of listing, tabling and reporting a folder of many synthetic records.

    python benchmarks/large_results.py --records 100000 --seeds 10 --report

Each record is that of a cell of a grid of targets, families, depths and seeds, with curves of 100 rows, written once as
`nfbench run` writes it. Everything that is measured runs in a process of its own, twice: the second call finds the
index that the first left in a cache of this script's own.
"""

import argparse
import itertools
import os
import shutil
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

_EXPERIMENT = "large"
_FAMILIES, _DEPTHS = 20, tuple(2**k for k in range(10))
_POINTS = 100  # of a curve
_LIST = "import sys; from nfbench.records.results import StoredResults; print(len(StoredResults(sys.argv[1]).frame))"


def records(number: int, seeds: int) -> Iterator[Record]:
    """Synthetic records of one experiment: a grid of up to 20 families, 10 depths, and as many targets as it takes."""
    training = Training(learning_rate=0.01, updates=1000, anneal_updates=100, together=20)
    evaluation = Evaluation()
    steps = [float(10 * step) for step in range(1, _POINTS + 1)]
    targets = range(-(-number // (_FAMILIES * len(_DEPTHS) * seeds)))
    grid = itertools.product(targets, range(_FAMILIES), _DEPTHS, range(seeds))
    for row, column, depth, seed in itertools.islice(grid, number):
        target, family = f"target{row}", f"family{column}"
        cell = Cell(
            experiment=_EXPERIMENT, profile="quick", target=target, posterior=f"{family}:K={depth}", seed=seed,
            training=training, evaluation=evaluation,
        )  # fmt: skip
        value = 1 / depth + 0.01 * column + 0.001 * (hash((row, column, depth, seed)) % 97)
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


def measure(*words: str) -> str:
    """Seconds, seconds of a processor, and MiB of a command of Python, as text."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"large_results: python {' '.join(words)} failed with status {status}")
    seconds, busy = time.perf_counter() - began, usage.ru_utime + usage.ru_stime
    return f"{seconds:6.1f} s, of which a processor worked {busy:6.1f} s; {usage.ru_maxrss / 1024:6,.0f} MiB"


def main() -> None:
    """Write the records, run what is measured, print a row each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--seeds", type=int, default=10, help="of each configuration")
    parser.add_argument("--report", action="store_true", help="time the report, too")
    parser.add_argument("--folder", type=Path, help="keep the records here; they are written once")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = options.folder or Path(temporary) / "results"
        if not root.exists():
            began = time.perf_counter()
            (root / _EXPERIMENT).mkdir(parents=True)
            for record in records(options.records, options.seeds):
                path(root, _EXPERIMENT, record.id).write_text(record.model_dump_json(indent=1) + "\n")
            print(
                f"{options.records:,} records of {options.seeds} seeds written in {time.perf_counter() - began:.1f} s"
            )
        os.environ["XDG_CACHE_HOME"] = str(Path(temporary) / "cache")
        commands = {"list": ("-c", _LIST, str(root))}
        commands["table"] = ("-m", "nfbench", "table", _EXPERIMENT, "--format", "csv", "--results", str(root))
        if options.report:
            out = str(Path(temporary) / "reports")
            commands["report"] = ("-m", "nfbench", "report", "--out", out, "--results", str(root))
        for name, command in commands.items():
            shutil.rmtree(Path(temporary) / "cache", ignore_errors=True)
            for call in ("first call", "second"):
                print(f"{name:7}{call:11}{measure(*command)}; load {os.getloadavg()[0]:.1f}", flush=True)


if __name__ == "__main__":
    main()
