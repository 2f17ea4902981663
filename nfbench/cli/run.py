"""Commands that train: run, reproduce."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from nfbench.cli.data import DataDir
from nfbench.cli.engine import JobMinutes, SlurmParameters, Wait, Where, WorkersPerGpu, engine_of
from nfbench.foundation.errors import MissingDataError
from nfbench.foundation.terminal import is_quiet, is_verbose, say

if TYPE_CHECKING:
    from nfbench.executors.engine import Engine
    from nfbench.specification.config import Group

INTERRUPTED = 130
_LAST_OF_OUTCOMES = 2  # exit codes above: 128 and the number of the signal that ended the command
Profile = Annotated[
    str, typer.Option(help="Size of the budget, such as smoke or quick; 'nfbench info NAME' lists an experiment's.")
]
Device = Annotated[str, typer.Option(help="Torch device: cpu, cuda or cuda:N.")]
Results = Annotated[Path, typer.Option(help="Folder of the records.")]
Jobs = Annotated[int | None, typer.Option(min=1, help="Processes at once; chosen by the machine if omitted.")]
Compile = Annotated[bool, typer.Option("--compile", help="Training goes through torch.compile.")]
CudaGraph = Annotated[
    bool | None,
    typer.Option("--cuda-graph/--no-cuda-graph", help="An update is captured once and replayed: the default on CUDA."),
]
GroupSeconds = Annotated[
    float | None,
    typer.Option("--group-seconds", metavar="S", help="End a target with a posterior, all its seeds, after so long."),
]
GroupMemory = Annotated[
    float | None,
    typer.Option("--group-memory", metavar="GIB", help="End a group whose process holds more than so many GiB."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan with an estimate of its hours, and stop.")]
Debug = Annotated[bool, typer.Option("--debug", help="Print the traceback of every failure.")]
Force = Annotated[bool, typer.Option("--force", help="Run finished cells again.")]
Posteriors = Annotated[
    list[str] | None,
    typer.Option("--posterior", metavar="SPEC", help="Instead of the experiment's, e.g. 'planar:K=2|8'; repeatable."),
]
Targets = Annotated[
    list[str] | None, typer.Option("--target", metavar="SPEC", help="Instead of the experiment's; repeatable.")
]
Seeds = Annotated[str | None, typer.Option(help="Instead of the profile's, e.g. 0-9 or 0,2,5-7.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change the profile, e.g. training.updates=100; repeatable."),
]


def run(
    experiment: Annotated[str, typer.Argument(help="Name of an experiment, or a .yaml file.")],
    *,
    profile: Profile = "quick",
    posterior: Posteriors = None,
    target: Targets = None,
    seeds: Seeds = None,
    device: Device = "cpu",
    results: Results = Path("results"),
    data_dir: DataDir = None,
    jobs: Jobs = None,
    dry_run: DryRun = False,
    force: Force = False,
    compile: Compile = False,
    cuda_graph: CudaGraph = None,
    group_seconds: GroupSeconds = None,
    group_memory: GroupMemory = None,
    debug: Debug = False,
    overrides: Overrides = None,
    executor: Where = "local",
    workers_per_gpu: WorkersPerGpu = None,
    job_minutes: JobMinutes = None,
    slurm: SlurmParameters = None,
    wait: Wait = True,
) -> int:
    """Train and evaluate the cells of an experiment that are not finished yet."""
    engine = engine_of(executor, jobs, workers_per_gpu, job_minutes, slurm, wait=wait, force=force)
    groups = _plan(experiment, profile, posterior, target, seeds, overrides)
    if dry_run:
        from nfbench.experiments.estimate import estimate, summary
        from nfbench.foundation.environment import check_device

        if device.partition(":")[0] not in ("cpu", "cuda", "mps"):  # an estimate may be for another machine's
            check_device(device)
        there = _print_plan(groups, results)
        print(summary(estimate(groups, results, device, () if force else there), device))
        return 0
    if is_verbose():
        _print_plan(groups, results)
    options = _Options(device, jobs, force, compile, cuda_graph, group_seconds, group_memory, debug)
    return _execute(groups, results, options, engine)


def reproduce(
    experiments: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="Experiments, or all that this machine has the data for.")
    ],
    *,
    profile: Profile = "quick",
    device: Device = "cpu",
    results: Results = Path("results"),
    data_dir: DataDir = None,
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("reports"),
    jobs: Jobs = None,
    force: Force = False,
    compile: Compile = False,
    cuda_graph: CudaGraph = None,
    group_seconds: GroupSeconds = None,
    group_memory: GroupMemory = None,
    debug: Debug = False,
) -> int:
    """Run experiments, say in a few lines how close they come to the paper, and write the report with its plots."""
    from nfbench.cli import show
    from nfbench.foundation.files import check_writable

    plans = _plans(experiments, profile)
    check_writable(out)
    every = [group for groups in {id(groups): groups for groups in plans.values()}.values() for group in groups]
    options = _Options(device, jobs, force, compile, cuda_graph, group_seconds, group_memory, debug)
    code = _execute(every, results, options)
    if code > _LAST_OF_OUTCOMES:
        return code
    show.show(list(plans), profile, results, out)
    return code


def _plans(words: Sequence[str], profile: str) -> "dict[str, list[Group]]":
    """By the name under which it is shown, what each word asks for; one plan where two show the same records."""
    from nfbench.experiments.library import names
    from nfbench.published.catalogue import experiment_of

    made: dict[str, list[Group]] = {}
    shown: dict[str, list[Group]] = {}
    for word in words:
        for name in names() if word == "all" else [word]:
            origin = experiment_of(name)
            try:
                groups = made[origin] = made.get(origin) or _plan(origin, profile)
            except MissingDataError as error:
                if word != "all":
                    raise
                warnings.warn(f"{name} is left out: {error}", stacklevel=2)
                continue
            shown[groups[0].cells[0].experiment if name == origin else name] = groups
    return shown


def _plan(
    name: str,
    profile: str,
    posteriors: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    seeds: str | None = None,
    overrides: Sequence[str] | None = None,
) -> "list[Group]":
    from nfbench.experiments.execute import plan_experiment
    from nfbench.experiments.plan import parse_overrides

    return plan_experiment(name, profile, posteriors, targets, seeds, parse_overrides(overrides or ()))


def _print_plan(groups: "Sequence[Group]", results: Path) -> set[str]:
    """Print a plan; the ids of its finished cells."""
    from nfbench.records.store import finished

    cells = [cell for group in groups for cell in group.cells]
    there = {cell.id for cell in cells if finished(results, cell)}
    print(
        f"{cells[0].experiment} ({cells[0].profile}): {len(cells)} cell{'s' * (len(cells) != 1)} in "
        f"{len(groups)} group{'s' * (len(groups) != 1)}, {len(there)} finished"
    )
    for group in groups:
        count = sum(cell.id in there for cell in group.cells)
        print(
            f"  {group.target} | {group.cells[0].name} | seeds {ranges(group.seeds)} | "
            f"{count} of {len(group.cells)} finished"
        )
    return there


def ranges(seeds: Sequence[int]) -> str:
    """Seeds as `parse_seeds` reads them.

    >>> ranges((0, 1, 2, 5))
    '0-2,5'
    """
    runs: list[list[int]] = []
    for seed in seeds:
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


class _Options(NamedTuple):
    """How a plan is run: the options of both commands, under their names."""

    device: str
    jobs: int | None
    force: bool
    compile: bool
    cuda_graph: bool | None
    group_seconds: float | None
    group_memory: float | None
    debug: bool

    @property
    def of_workers(self) -> list[str]:
        """Those that a worker has too, as words of a command line."""
        words = ["--compile"] * self.compile
        if self.cuda_graph is not None:
            words.append("--cuda-graph" if self.cuda_graph else "--no-cuda-graph")
        words += [] if self.group_seconds is None else ["--group-seconds", str(self.group_seconds)]
        return words + ([] if self.group_memory is None else ["--group-memory", str(self.group_memory)])


def _execute(groups: "Sequence[Group]", results: Path, options: _Options, engine: "Engine | None" = None) -> int:
    from nfbench.executors.limits import Limits
    from nfbench.experiments.execute import execute
    from nfbench.experiments.launch import launch
    from nfbench.foundation.interrupts import Interrupt
    from nfbench.training.acceleration import Acceleration

    acceleration = Acceleration.on(options.device, compile=options.compile, cuda_graph=options.cuda_graph)
    limits = Limits(options.group_seconds, options.group_memory)
    device, jobs, force = options.device, options.jobs, options.force
    try:
        if engine is not None:
            done = launch(engine, groups, results, device, options=options.of_workers)
        else:
            done = execute(groups, results, device, jobs, force=force, acceleration=acceleration, limits=limits)
    except KeyboardInterrupt as error:
        say(interrupted(groups, results))
        return error.exit_code if isinstance(error, Interrupt) else INTERRUPTED
    if not is_quiet():
        print(done.summary)
    for failure in done.failures:
        say(f"nfbench: failed: {failure}")
    if options.debug:
        for text in done.tracebacks:
            say(text)
    return 1 if done.failures else 0


def interrupted(groups: "Sequence[Group]", results: Path) -> str:
    """What to say of a run that was interrupted: how many cells are finished, and how it goes on."""
    from nfbench.records.store import finished

    cells = [cell for group in groups for cell in group.cells]
    count = sum(finished(results, cell) for cell in cells)
    return (
        f"nfbench: interrupted: {count} of {len(cells)} cells are finished, kept in {results}; the same command resumes"
    )
