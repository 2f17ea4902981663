"""Workers as jobs of SLURM, by submitit: an array of jobs, requeued when they are preempted or their time is up."""

import contextlib
import io
import math
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nfbench.executors.engine import Sweep, Workers, missing
from nfbench.foundation.errors import InputError
from nfbench.foundation.interrupts import PREEMPTION, interruptible
from nfbench.foundation.terminal import is_quiet, say

MINUTES = 60.0  # time limit of a job
_UNKNOWN = 600.0  # seconds that a group is taken to last of which no record tells
_MOST_JOBS = 1000  # of an array: SLURM's own limit is 1001 unless a cluster sets another
_MOST_TIMEOUTS = 1000  # times that a job goes on after its time was up
_PAUSE = 5.0  # seconds between two looks at the queue
_SIGNALLED = {code for number in (signal.SIGTERM, *PREEMPTION) for code in (128 + number, -number)}
_KILLED_WITHIN = 600.0  # seconds after SIGTERM in which SLURM kills a job
_OWN = {"time": "--job-minutes", "array": "--jobs"}  # parameters of sbatch that have options of nfbench's


class RequeuedWorkers(Workers):
    """Workers of a job; submitit asks for `checkpoint` when the job is to be requeued."""

    def __call__(self) -> list[int]:
        """Start the workers and wait for their end; where SLURM's signal has ended them, wait for what it does next.

        At a preemption SLURM sends SIGTERM to all processes of a job, kills it later and requeues it. A job that ends
        by itself in between would count as completed, and not come back.
        """
        codes = super().__call__()
        if _SIGNALLED.intersection(codes):
            time.sleep(_KILLED_WITHIN)
        return codes

    def checkpoint(self) -> Any:
        """Have the workers store what they train; the job begins again with the same plan.

        Returns:
            submitit's description of the call that comes next.
        """
        from submitit.helpers import DelayedSubmission

        self.stop()
        return DelayedSubmission(type(self)(self.sweep, self.count))


@dataclass(frozen=True)
class Slurm:
    """SLURM as an engine.

    Attributes:
        jobs: at most; None: as many as the estimates ask for.
        workers_per_gpu: workers in each job, which share its GPU, or its cores.
        minutes: time limit of a job.
        parameters: of ``sbatch`` without dashes, such as ``{"partition": "gpu"}``.
        waits: whether `run` waits for the jobs' end.
        cluster: ``slurm``, or ``local`` for processes of this machine in its place.
    """

    jobs: int | None = None
    workers_per_gpu: int = 1
    minutes: float = MINUTES
    parameters: Mapping[str, str] = field(default_factory=dict)
    waits: bool = True
    cluster: str = "slurm"
    patient = False

    def __post_init__(self) -> None:
        if not 1 <= self.minutes < float("inf"):
            raise InputError(f"--job-minutes {self.minutes:g}: expected a number of minutes from 1")
        for name, value in self.parameters.items():
            if name in _OWN:
                raise InputError(f"--slurm {name}={value}: expected {_OWN[name]} for that")

    def run(self, sweep: Sweep) -> None:
        """Submit an array of jobs and wait for its end.

        Args:
            sweep: what the workers are for.

        Raises:
            InputError: submitit is not installed, there is no SLURM, or it refuses a parameter.
            KeyboardInterrupt: interrupted; the workers have been told to store what they train and to end.
        """
        with interruptible():
            jobs = self.submit(sweep)
            if not is_quiet():
                number = f"{len(jobs)} job{'s' * (len(jobs) != 1)}"
                name = jobs[0].job_id.partition("_")[0]
                say(f"nfbench: submitted {number} to SLURM as {name}; 'nfbench status' shows how far they are")
            try:
                while self.waits and not self._are_over(jobs):
                    time.sleep(_PAUSE if self.cluster == "slurm" else 0.1)
            except KeyboardInterrupt:
                for job in jobs:
                    job.cancel(check=False)
                raise

    def submit(self, sweep: Sweep) -> Sequence[Any]:
        """Submit an array of jobs.

        Args:
            sweep: what their workers are for.

        Returns:
            submitit's jobs.

        Raises:
            InputError: submitit is not installed, there is no SLURM, or it refuses a parameter.
        """
        try:
            import submitit
        except ImportError:
            raise missing("slurm", "submitit") from None
        number = jobs_for(sweep.seconds, self.minutes, self.workers_per_gpu, self.jobs)
        gpus = {"gpus_per_node": 1} if sweep.device.startswith("cuda") else {}
        try:
            executor = submitit.AutoExecutor(sweep.files, self.cluster, slurm_max_num_timeout=_MOST_TIMEOUTS)
            executor.update_parameters(
                name="nfbench",
                timeout_min=math.ceil(self.minutes),
                cpus_per_task=self.workers_per_gpu,
                slurm_array_parallelism=number,
                slurm_additional_parameters=dict(self.parameters),
                **gpus,
            )
            # A batch is one array; submitit repeats on standard error what its exceptions say.
            with contextlib.redirect_stderr(io.StringIO()), executor.batch():
                return [executor.submit(RequeuedWorkers(sweep, self.workers_per_gpu)) for _ in range(number)]
        except (OSError, RuntimeError) as error:
            raise InputError(f"--executor slurm: {_reason(error)}") from None

    def _are_over(self, jobs: Sequence[Any]) -> bool:
        """Whether no job is queued or runs any more; submitit would ask the accounting, which clusters may lack."""
        if self.cluster != "slurm":
            return all(job.done() for job in jobs)
        command = ("squeue", "--me", "--noheader", "--format=%F")  # the number of the array of each job
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
        return asked.returncode == 0 and jobs[0].job_id.partition("_")[0] not in asked.stdout.split()


def jobs_for(seconds: Sequence[float | None], minutes: float, workers: int, most: int | None) -> int:
    """How many jobs a plan is packed into, so that each has work for about its time.

    Args:
        seconds: estimate for each group; None: unknown, taken to be ten minutes.
        minutes: that a job shall take.
        workers: in a job.
        most: jobs at most; None: as many as the estimates ask for.

    Returns:
        At least 1, at most 1,000; never more than there are groups for.

    >>> jobs_for([600.0] * 12, minutes=30, workers=2, most=None)
    2
    """
    total = sum(_UNKNOWN if each is None else each for each in seconds)
    needed = math.ceil(total / (60 * minutes) / workers)
    return max(1, min(needed, math.ceil(len(seconds) / workers), most or _MOST_JOBS, _MOST_JOBS))


def _reason(error: Exception) -> str:
    """What SLURM, or submitit, says of a submission that failed."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines or "srun" in lines[0]:
        return "sbatch is not here; expected a machine that submits to SLURM"
    said = [line.removeprefix("sbatch: error: ") for line in lines if line.startswith("sbatch: ")]
    return "; ".join(said or lines[:1])
