"""The command that works beside others on one folder of results: worker."""

from pathlib import Path
from typing import Annotated

import typer

from nfbench.cli.data import DataDir
from nfbench.cli.run import (
    INTERRUPTED,
    Compile,
    CudaGraph,
    Device,
    GroupMemory,
    GroupSeconds,
    Profile,
    Results,
    interrupted,
)
from nfbench.foundation.terminal import is_quiet, say


def worker(
    *,
    results: Results = Path("results"),
    plan: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE|EXPERIMENT", help="What to run; if omitted, the plans in the folder. Repeatable."),
    ] = None,
    profile: Profile = "quick",
    device: Device = "cpu",
    data_dir: DataDir = None,
    max_groups: Annotated[
        int | None, typer.Option(min=1, help="Claim no more groups (a target with a posterior) after so many.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(metavar="M", help="After so many minutes store the training at hand and give its group back."),
    ] = None,
    wait: Annotated[
        bool,
        typer.Option("--wait/--no-wait", help="Wait for groups that others run, to take them over should they die."),
    ] = True,
    retry: Annotated[bool, typer.Option("--retry", help="Run cells again that have failed.")] = False,
    lease_seconds: Annotated[
        float,
        typer.Option(metavar="S", help="Seconds without a sign of life after which other workers take a group over."),
    ] = 120.0,
    compile: Compile = False,
    cuda_graph: CudaGraph = None,
    group_seconds: GroupSeconds = None,
    group_memory: GroupMemory = None,
    by_engine: Annotated[
        bool, typer.Option("--by-engine", hidden=True, help="Write into a log, and end when standard input does.")
    ] = False,
    failed_before: Annotated[
        float, typer.Option(hidden=True, help="With --retry: only what failed before that time of the file system.")
    ] = float("inf"),
) -> int:
    """Work on a folder of results, beside any number of other workers, until nothing is left to do."""
    from nfbench.executors.claims import Sharing
    from nfbench.executors.engine import begin
    from nfbench.executors.limits import Limits
    from nfbench.experiments.work import groups_of, work
    from nfbench.foundation.interrupts import TIME_UP, Interrupt
    from nfbench.training.acceleration import Acceleration

    if by_engine:
        if plan and not any(Path(each).exists() for each in plan):
            return 0  # others have given all of it outcomes
        begin(results)
    sharing = Sharing(lease_seconds, retry=retry, failed_before=failed_before, most_groups=max_groups, wait=wait)
    acceleration = Acceleration.on(device, compile=compile, cuda_graph=cuda_graph)
    limits = Limits(group_seconds, group_memory)
    groups = groups_of(plan or [], results, profile)
    try:
        done = work(groups, results, device, acceleration=acceleration, sharing=sharing, limits=limits, minutes=minutes)
    except KeyboardInterrupt as error:
        say(interrupted(groups, results))
        if isinstance(error, Interrupt):
            return 0 if error.number == TIME_UP else error.exit_code
        return INTERRUPTED
    if not is_quiet():
        print(done.summary)
    for failure in done.failures:
        say(f"nfbench: failed: {failure}")
    return 1 if done.failures else 0
