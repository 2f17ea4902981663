"""The options that say where the groups of a run are run: on this machine, or by workers that SLURM or Ray starts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from nfbench.foundation.errors import InputError
from nfbench.specification.choices import Executor

if TYPE_CHECKING:
    from nfbench.executors.engine import Engine

Where = Annotated[
    Executor, typer.Option("--executor", help="This machine's processes, or workers that SLURM or Ray starts.")
]
WorkersPerGpu = Annotated[
    int | None, typer.Option("--workers-per-gpu", min=1, help="Workers that share a GPU: with slurm or ray.")
]
JobMinutes = Annotated[
    float | None, typer.Option("--job-minutes", metavar="M", help="Time limit of a SLURM job; 60 if omitted.")
]
SlurmParameters = Annotated[
    list[str] | None,
    typer.Option("--slurm", metavar="KEY=VALUE", help="Parameter of sbatch, e.g. partition=gpu; repeatable."),
]
Wait = Annotated[
    bool, typer.Option("--wait/--no-wait", help="With slurm: wait for the jobs, or return once they are submitted.")
]


def engine_of(
    executor: Executor,
    jobs: int | None,
    workers_per_gpu: int | None,
    job_minutes: float | None,
    slurm: Sequence[str] | None,
    *,
    wait: bool,
    force: bool,
) -> "Engine | None":
    """The engine that the options ask for.

    Args:
        executor: its name.
        jobs: SLURM jobs, or Ray's workers at once, at most; None: the engine chooses.
        workers_per_gpu: workers that share a GPU; None: 1.
        job_minutes: time limit of a SLURM job; None: an hour.
        slurm: parameters of sbatch, each ``KEY=VALUE``.
        wait: for the jobs' end.
        force: whether finished cells are to be run again.

    Returns:
        It; None: groups run in processes of this machine, which this command starts.

    Raises:
        InputError: an option that the executor does not have, or a wrong value.
    """
    _only("--workers-per-gpu", executor, ("slurm", "ray"), is_there=workers_per_gpu is not None)
    _only("--job-minutes", executor, ("slurm",), is_there=job_minutes is not None)
    _only("--slurm", executor, ("slurm",), is_there=bool(slurm))
    _only("--no-wait", executor, ("slurm",), is_there=not wait)
    _only("--force", executor, ("local",), is_there=force)
    if executor == "local":
        return None
    if executor == "ray":
        from nfbench.executors.ray import Ray

        return Ray(jobs, workers_per_gpu or 1)
    from nfbench.executors.slurm import MINUTES, Slurm

    return Slurm(
        jobs, workers_per_gpu or 1, MINUTES if job_minutes is None else job_minutes, _parameters(slurm or ()), wait
    )


def _only(option: str, executor: Executor, known: Sequence[Executor], *, is_there: bool) -> None:
    if is_there and executor not in known:
        raise InputError(f"{option} with --executor {executor}: expected --executor {' or '.join(known)}")


def _parameters(words: Sequence[str]) -> dict[str, str]:
    """Parameters of sbatch.

    >>> _parameters(["--partition=gpu", "mem=8G"])
    {'partition': 'gpu', 'mem': '8G'}
    """
    pairs = [(word, *word.removeprefix("--").partition("=")) for word in words]
    for word, key, is_there, value in pairs:
        if not (key and is_there and value) or "\n" in word:
            raise InputError(f"--slurm {word!r}: expected KEY=VALUE, such as partition=gpu")
    return {key.replace("_", "-"): value for _, key, _, value in pairs}
