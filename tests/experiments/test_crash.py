"""A run that is killed at any of its writes, and started again, ends as one that was never disturbed."""

import os
import sys
import traceback
import warnings

import pytest
from support.shared_folder import equal, outcome

from nfbench.experiments.execute import execute
from nfbench.experiments.plan import plan
from nfbench.foundation import files
from nfbench.specification.config import Evaluation, Training
from nfbench.specification.experiment import Experiment, Profile

SEEDS = 5
TRAINING = Training(learning_rate=0.01, updates=3, draws=4, anneal_updates=1)
EVALUATION = Evaluation(draws=20, forward_draws=20, importance_draws=2, grid=4)
CHANGES = (
    "os.rename",
    "os.link",
    "os.remove",
    "os.rmdir",
    "os.mkdir",
)  # as Python's audit hooks call them; the path comes first
KILLED = 9


def groups():
    """One group of five seeds."""
    profile = Profile(seeds=SEEDS, training=TRAINING, evaluation=EVALUATION)
    experiment = Experiment(
        name="trial", title="", summary="", targets=["u1"], posteriors=["planar:K=2"], profiles={"smoke": profile}
    )
    return plan(experiment, "smoke")


def in_child(root, deadly, pipe):
    """Run the plan in this process, which ends at its write number `deadly`: with half a file where it flushes one.

    Args:
        root: folder of the records.
        deadly: number of the write, counted from 0; None: none.
        pipe: where a run that came to its end writes the number of its writes.
    """
    count, inside = 0, str(root)

    def event(handle=None):
        nonlocal count
        if count == deadly:
            if handle is not None:
                os.ftruncate(handle, os.fstat(handle).st_size // 2)
            os._exit(KILLED)
        count += 1

    def audited(name, arguments):
        made = name == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_CREAT
        if (made or name in CHANGES) and str(arguments[0]).startswith(inside):
            event()

    sys.addaudithook(audited)
    files.os.fsync = event
    execute(groups(), root, jobs=1)
    os.write(pipe, str(count).encode())


def forked(root, deadly=None):
    """Run the plan in a child of this process that a write may end.

    Returns:
        Its exit code, and the number of its writes if it came to its end.
    """
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer Pythons warn of forks in processes with threads
        child = os.fork()
    if not child:
        code = 1
        try:
            in_child(root, deadly, writing)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        said = stream.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), int(said or 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_run_that_is_killed_at_any_write_ends_as_an_undisturbed_one(tmp_path):
    """Each of the writes of three seeds is the last thing that a run does; the same again gives the same bits.

    A write is the making, flushing, naming or removing of a file or a folder. At a flush half of the file is left.
    """
    code, writes = forked(tmp_path / "whole")
    assert code == 0
    assert writes >= 4 * 2 * SEEDS
    whole = outcome(tmp_path / "whole")
    assert {said[0] for said in whole[0].values()} == {"done"}
    assert len(whole[0]) == SEEDS
    assert len(whole[1]) == 1 + 2 * SEEDS
    broken = []
    for deadly in range(writes):
        root = tmp_path / str(deadly)
        assert forked(root, deadly)[0] == KILLED
        run = execute(groups(), root, jobs=1)
        if not equal(outcome(root), whole) or run.failures or run.counts["done"] + run.skipped != SEEDS:
            broken.append(deadly)
    assert broken == []
