"""A worker: it pulls groups from the plans of a shared folder of results until none is left."""

import contextlib
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

from nfbench.executors.claims import Sharing
from nfbench.executors.limits import Limits
from nfbench.executors.local import NO_LIMITS
from nfbench.experiments.execute import Run, execute, plan_experiment
from nfbench.experiments.plans import SUFFIX, load_plan, stored_plans
from nfbench.foundation.errors import InputError
from nfbench.foundation.interrupts import PREEMPTION, TIME_UP
from nfbench.specification.choices import PLANS
from nfbench.specification.config import Group
from nfbench.training.acceleration import Acceleration


def groups_of(plans: Sequence[str], root: Path, profile: str) -> list[Group]:
    """The groups that a worker is to pull from.

    Args:
        plans: files of plans, names of experiments or their YAML files; none: all plans that lie in the folder.
        root: folder of the records.
        profile: size of an experiment's budget.

    Returns:
        The groups of all, each once.

    Raises:
        InputError: nothing of that name, or no plan lies in the folder.
    """
    if plans:
        every = [load_plan(Path(word)) if word.endswith(SUFFIX) else plan_experiment(word, profile) for word in plans]
    else:
        every = list(stored_plans(root).values())
        if not every:
            raise InputError(
                f"no plan in {str(root / PLANS)!r}: expected --plan with an experiment or a file of a plan"
            )
    return list({(group.key, group.seeds): group for groups in every for group in groups}.values())


def work(
    groups: Sequence[Group],
    root: Path,
    device: str = "cpu",
    *,
    acceleration: Acceleration,
    sharing: Sharing,
    limits: Limits = NO_LIMITS,
    minutes: float | None = None,
) -> Run:
    """Run groups, one at a time, beside any number of other workers of the same folder.

    Args:
        groups: the plan.
        root: folder of the records, which all workers share.
        device: torch device.
        acceleration: how updates are run.
        sharing: how the folder is shared.
        limits: what a group may use of time and memory.
        minutes: after which the group in training is stored and given back; None: without limit.

    Returns:
        The outcomes of this worker, with the number of cells that others finished meanwhile.

    Raises:
        InputError: no such device, or a folder that cannot be written.
        KeyboardInterrupt: Ctrl-C, SIGTERM, SIGHUP, SIGUSR1 or SIGUSR2 came, or time is up: the group in training is
            stored and given back.
    """
    with _time_limit(minutes):
        return execute(
            groups,
            root,
            device,
            1,
            acceleration=acceleration,
            limits=limits,
            sharing=sharing,
            more_signals=(*PREEMPTION, TIME_UP),
        )


@contextlib.contextmanager
def _time_limit(minutes: float | None) -> Iterator[None]:
    """Within the block the signal `TIME_UP` comes after so many minutes."""
    if minutes is None:
        yield
        return
    if not 0 < minutes < float("inf"):
        raise InputError(f"worker: minutes={minutes!r}: expected a positive number of minutes")
    signal.setitimer(signal.ITIMER_REAL, 60 * minutes)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
