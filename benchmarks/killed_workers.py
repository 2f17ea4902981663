"""A sweep by workers that are killed and preempted at random: what of it is lost, run twice, or left behind.

    python benchmarks/killed_workers.py --engine worker --strikes 200
    python benchmarks/killed_workers.py --engine submitit --strikes 20 --updates 30
    python benchmarks/killed_workers.py --engine slurm --strikes 20 --updates 30
    python benchmarks/killed_workers.py --engine ray --strikes 60 --updates 100

Four workers share a folder of results. A strike hits one that is at work, a random time after the one before: SIGKILL,
or, where an engine has started the worker, what this engine's cluster does to jobs. Plain workers are started again by
this script, jobs by the engine. The SLURM is that of this machine (benchmarks/one_node_slurm.sh makes one). A Ray
cluster of a head and two nodes is started here, and these are struck too. A command that ends with cells left, as a
cluster is gone, is given again.

At the end the folder is compared, file by file and bit by bit (but for times and machines in records), with that of one
worker that nobody disturbed. The last line is a row of a Markdown table.
"""

import argparse
import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.shared_folder import TRAINING, equal, family_of, groups, outcome, worked

from nfbench.executors.engine import Sweep
from nfbench.executors.ray import Ray
from nfbench.executors.slurm import Slurm
from nfbench.experiments.clean import leftovers, remove
from nfbench.experiments.launch import launch
from nfbench.experiments.status import leases
from nfbench.foundation.errors import InputError
from nfbench.foundation.owner import Owner, has_ended

_MOST_COMMANDS = 50
_PAUSE = 5.0  # seconds between two commands, where the first found no cluster
TARGETS = ("u1", "u2", "u3", "u4")
HEADINGS = "engine | cells | kills | preemptions | commands | seconds | records equal | named twice | stray files"


class Plain:
    """Workers as somebody starts them by ssh: one that was killed is started again; those that end are done.

    Args:
        workers: at once.
    """

    waits = patient = True

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def run(self, sweep: Sweep) -> None:
        """Start workers, again and again where they were killed, until all have ended by themselves."""
        threads = [threading.Thread(target=self._work, args=(sweep,)) for _ in range(self.workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _work(self, sweep: Sweep) -> None:
        command = (sys.executable, "-m", "nfbench", "worker", *sweep.arguments)
        code = -signal.SIGKILL
        while code == -signal.SIGKILL:
            with subprocess.Popen(command, stdin=subprocess.PIPE) as worker:  # which it ends with
                code = worker.wait()


class Struck:
    """A thread that strikes workers at random times; a context manager around a sweep.

    Args:
        root: folder of the records.
        kinds: name of a kind of strike -> what does it to the process of a worker; False where nothing was hit.
        most: strikes.
        pause: seconds between two strikes at most.
        seed: of the random numbers.

    Attributes:
        hits: number of strikes by kind.
    """

    def __init__(self, root: Path, kinds: dict[str, Callable[[int], bool]], most: int, pause: float, seed: int) -> None:
        self.hits: Counter[str] = Counter()
        self._root, self._kinds, self._most, self._pause, self._random = root, kinds, most, pause, random.Random(seed)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._strike)

    def __enter__(self) -> "Struck":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _strike(self) -> None:
        while self.hits.total() < self._most and not self._ended.wait(0.1):
            workers = [lease.owner for lease in leases(self._root) if lease.owner and not has_ended(lease.owner)]
            if not workers:
                continue
            victim: Owner = self._random.choice(workers)
            self._ended.wait(self._random.uniform(0, self._pause))  # meanwhile it may end its group, or claim the next
            kind = self._random.choice(list(self._kinds))
            if not has_ended(victim) and self._kinds[kind](victim.process):
                self.hits[kind] += 1


def kill(worker: int) -> bool:
    """SIGKILL; whether there was such a process."""
    return _signal(worker, signal.SIGKILL)


def _signal(process: int, number: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, number)
        return True
    return False


def _variable(process: int, name: str) -> str:
    """An environment variable of a process; empty where there is none."""
    with contextlib.suppress(OSError):
        for pair in Path(f"/proc/{process}/environ").read_text(errors="replace").split("\0"):
            if pair.startswith(f"{name}="):
                return pair.removeprefix(f"{name}=")
    return ""


def preempt_local_job(worker: int) -> bool:
    """The signal of submitit to the process of submitit that has started a worker."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()
        return _signal(int(fields[1]), signal.SIGUSR2)
    return False


def to_slurm_job(*command: str, step: str = "") -> Callable[[int], bool]:
    """A strike that is a command of SLURM's with the number of the worker's job."""

    def strike(worker: int) -> bool:
        array, number = (_variable(worker, f"SLURM_ARRAY_{name}_ID") for name in ("JOB", "TASK"))
        job = f"{array}_{number}" if array else _variable(worker, "SLURM_JOB_ID")
        if not job:
            return False
        done = subprocess.run((*command, job + step), capture_output=True, check=False)
        return done.returncode == 0 and not done.stderr  # scancel tells only there of a job that is not running yet

    return strike


# On a slow machine a node can ask for its head before that answers, and ends with an error.
_UNTIL_IT_STARTS = ("sh", "-c", 'until "$@"; do sleep 1; done', "ray")


class RayCluster:
    """A head and two nodes with two cores in all on this machine, as ``ray start`` makes them; a context manager."""

    _ADDRESS = "127.0.0.1:6399"
    _MOST_HEADS = 3  # that die

    def __init__(self) -> None:
        self._heads, self._nodes = 0, []

    def __enter__(self) -> "RayCluster":
        os.environ |= {"RAY_ADDRESS": self._ADDRESS, "RAY_worker_niceness": "0", "RAY_USAGE_STATS_ENABLED": "0"}
        self._start()
        return self

    def __exit__(self, *error: object) -> None:
        self._die(self._nodes)

    def strike_node(self, _: int) -> bool:
        """Kill all processes of a node, and have another join."""
        node = random.choice(self._nodes[1:])
        self._die([node])
        self._nodes.remove(node)
        self._nodes.append(self._node("--address", self._ADDRESS, "--num-cpus=1"))
        return True

    def strike_head(self, _: int) -> bool:
        """Kill all processes of the whole cluster, a few times, and start another."""
        if self._heads == self._MOST_HEADS or random.random() < 0.8:
            return False
        self._heads += 1
        self._die(self._nodes)
        self._start()
        return True

    def _start(self) -> None:
        port = self._ADDRESS.partition(":")[2]
        self._nodes = [self._node("--head", "--port", port, "--num-cpus=0", "--include-dashboard=false")]
        self._nodes += [self._node("--address", self._ADDRESS, "--num-cpus=1") for _ in range(2)]

    def _node(self, *words: str) -> "subprocess.Popen[bytes]":
        ray = Path(sys.executable).with_name("ray")
        command = (*_UNTIL_IT_STARTS, ray, "start", "--node-ip-address=127.0.0.1", "--block", *words)
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _die(self, nodes: "list[subprocess.Popen[bytes]]") -> None:
        for process in [each for node in nodes for each in family_of(node.pid)]:
            _signal(process, signal.SIGKILL)
        for node in nodes:
            node.wait()


def main() -> int:
    """Run both sweeps and print how they compare; exit code 1 where something was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=("worker", "submitit", "slurm", "ray"), default="worker")
    parser.add_argument("--cells", type=int, default=200, help="a multiple of 8")
    parser.add_argument("--updates", type=int, default=300, help="of each training")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--strikes", type=int, default=200, help="in all")
    parser.add_argument("--pause", type=float, default=2.0, help="longest time in seconds between two strikes")
    parser.add_argument("--seed", type=int, default=0, help="of the random times")
    parser.add_argument("--whole", type=Path, help="folder of the undisturbed run, which is made if it is not there")
    asked = parser.parse_args()
    depths = asked.cells // (2 * len(TARGETS))
    posteriors = [f"{family}:K={depth}" for family in ("planar", "radial") for depth in range(1, depths + 1)]
    training = TRAINING.model_copy(update={"updates": asked.updates})
    parts = groups(asked.cells, posteriors, training=training, targets=TARGETS)
    cluster = RayCluster()
    engine, kinds = {
        "worker": (Plain(asked.workers), {"kill": kill}),
        "submitit": (
            Slurm(asked.workers, minutes=1, cluster="local"),  # by groups' estimates each job would take an hour's
            {"kill": kill, "SIGUSR2 of submitit": preempt_local_job},
        ),
        "slurm": (
            Slurm(asked.workers // 2, workers_per_gpu=2),
            {
                "scancel --signal=KILL (step)": to_slurm_job("scancel", "--signal=KILL", step=".0"),
                "scancel --signal=USR1": to_slurm_job("scancel", "--signal=USR1"),
                "scancel --signal=USR2": to_slurm_job("scancel", "--signal=USR2"),
                "scontrol requeue": to_slurm_job("scontrol", "requeue"),
            },
        ),
        "ray": (
            Ray(asked.workers),
            {"kill": kill, "kill a node": cluster.strike_node, "kill the head": cluster.strike_head},
        ),
    }[asked.engine]
    with tempfile.TemporaryDirectory() as folder:
        whole, torn = asked.whole or Path(folder) / "whole", Path(folder) / "torn"
        worked(whole, parts)
        began, commands, left = time.monotonic(), 0, len(parts)
        with (
            cluster if asked.engine == "ray" else contextlib.nullcontext(),
            Struck(torn, kinds, asked.strikes, asked.pause, asked.seed) as struck,
        ):
            while left and commands < _MOST_COMMANDS:
                commands += 1
                try:
                    left = launch(engine, parts, torn).left
                except InputError as error:
                    print(f"after {time.monotonic() - began:.0f} s: {error}")
                    time.sleep(_PAUSE)
        seconds = time.monotonic() - began
        said = "\n".join(file.read_text(errors="replace") for file in (torn / "logs").glob("*.log"))
        stray = leftovers(torn)
        remove(stray, torn)
        found, expected = outcome(torn), outcome(whole)
    told = Counter(re.findall(r"^\[\d+/\d+\] \w+ (\S+ \S+): 1 done", said, re.MULTILINE))
    named = Counter(re.findall(r"(\S+) \| (\S+) \| seed 0: finished by another process meanwhile", said))
    unnamed = [cell for cell, times in told.items() if times - 1 > named[tuple(cell.split())]]
    same, done = equal(found, expected), sum(status == "done" for status, *_ in found[0].values())
    kills = sum(count for kind, count in struck.hits.items() if "kill" in kind.lower())
    print(f"strikes at workers that held a lease: {dict(struck.hits)}; {len(stray)} files left before nfbench clean")
    print(f"{len(told)} cells told as done, {sum(told.values())} times; run twice without being named: {unnamed or 0}")
    print(f"{HEADINGS}\n--- | " + " | ".join(["---"] * HEADINGS.count("|")))
    print(
        f"{asked.engine} | {done} | {kills} | {struck.hits.total() - kills} | {commands} | {seconds:.0f} | "
        f"{'yes' if same else 'NO'} | {named.total()} | {len(found[1] - expected[1])}"
    )
    return 0 if same and done == asked.cells and not unnamed else 1


if __name__ == "__main__":
    sys.exit(main())
