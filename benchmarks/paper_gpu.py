"""Run the missing rows of an experiment on one GPU within a time limit, several rows beside each other.

    make paper-gpu MINUTES=10

An update of a small model fills a fraction of a GPU, so several groups share it: each in a process of its own, joined
by CUDA's Multi-Process Service where the machine has it. Rows start in order of worth (the first seeds of K = 0, 10 and
80 of every family, then the rest) or in the order in which they are named; when the time is over, what still runs is
interrupted, keeps a checkpoint, and is resumed by the next call.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from nfbench.experiments.execute import plan_experiment
from nfbench.records.store import finished
from nfbench.specification.config import Group
from nfbench.specification.registry import posteriors

_DEPTHS = (0, 10, 80, 40, 20)  # what Table 2 is read for first: no flow, the shortest, the longest
_TRY = "import torch; torch.ones(1, device='cuda').sum().item()"
_MOST_FAILURES = 3
_GRACE = 30  # seconds for a checkpoint


def rows(experiment: str, profile: str, specs: list[str], results: Path) -> list[Group]:
    """The groups that are not finished, most worth first.

    Args:
        experiment: its name.
        profile: size of the budget.
        specs: posteriors in the order in which they are wanted; empty: all, in order of worth.
        results: folder of the records.

    Returns:
        The groups.
    """
    groups = plan_experiment(experiment, profile, specs or None)
    missing = [group for group in groups if not all(finished(results, cell) for cell in group.cells)]

    def worth(group: Group) -> tuple[int, int, int]:
        choice = posteriors.choose(group.posterior)
        place = _DEPTHS.index(choice.depth) if choice.depth in _DEPTHS else len(_DEPTHS)
        return group.seeds[0], place, group.order[1]

    def named(group: Group) -> tuple[int, int]:
        return group.seeds[0], next(i for i, spec in enumerate(canonical) if spec == group.posterior)

    canonical = [str(posteriors.choose(spec)) for spec in specs]
    return sorted(missing, key=named if specs else worth)


def shared_gpu() -> dict[str, str]:
    """An environment in which processes run on the GPU at the same time; the plain one where that cannot be had."""
    plain = dict(os.environ)
    if shutil.which("nvidia-cuda-mps-control") is None:
        return plain
    pipes = Path("/tmp/nfbench-mps")
    pipes.mkdir(exist_ok=True)
    shared = plain | {"CUDA_MPS_PIPE_DIRECTORY": str(pipes), "CUDA_MPS_LOG_DIRECTORY": str(pipes)}
    try:
        subprocess.run(["nvidia-cuda-mps-control", "-d"], env=shared, check=True, timeout=20)
        subprocess.run([sys.executable, "-c", _TRY], env=shared, check=True, timeout=60)
    except (subprocess.SubprocessError, OSError) as error:
        print(f"paper_gpu: no Multi-Process Service ({error}); processes take turns", flush=True)
        return plain
    print("paper_gpu: processes share the GPU by the Multi-Process Service", flush=True)
    return shared


def main() -> int:
    """Start rows while there is time, then interrupt those that still run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("posteriors", nargs="*", metavar="SPEC")
    parser.add_argument("--experiment", default="table2")
    parser.add_argument("--profile", default="full")
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    waiting = rows(options.experiment, options.profile, options.posteriors, options.results)
    environment = shared_gpu() if options.device.startswith("cuda") else dict(os.environ)
    log, failures = options.results / "paper_gpu.log", 0
    options.results.mkdir(parents=True, exist_ok=True)
    running: dict[subprocess.Popen[bytes], tuple[str, float]] = {}
    while (waiting or running) and time.monotonic() < end:
        while waiting and len(running) < options.workers:
            group = waiting.pop(0)
            seeds = ",".join(map(str, group.seeds))
            command = [
                sys.executable, "-m", "nfbench", "run", options.experiment, "--profile", options.profile, "--posterior",
                group.posterior, "--seeds", seeds, "--device", options.device, "--jobs", "1",
                "--results", str(options.results),
            ]  # fmt: skip
            name = f"{group.posterior} seeds {seeds}"
            with log.open("ab") as stream:
                process = subprocess.Popen(command, env=environment, stderr=stream)
            running[process] = name, time.monotonic()
        time.sleep(0.2)
        for process in [process for process in running if process.poll() is not None]:
            name, began = running.pop(process)
            print(f"paper_gpu: {name}: {time.monotonic() - began:.0f} s, exit code {process.returncode}", flush=True)
            failures += process.returncode != 0
        if failures >= _MOST_FAILURES:
            print(f"paper_gpu: {failures} rows failed; {log} says why:\n{log.read_text()[-2000:]}", flush=True)
            break
    for process in running:
        process.send_signal(signal.SIGINT)
    for process, (name, _) in running.items():
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
        print(f"paper_gpu: {name}: interrupted, the next call resumes it", flush=True)
    print(f"paper_gpu: {len(waiting) + len(running)} rows are left", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
