"""Plans run by workers that an engine starts: whatever becomes of these, the folder ends as if nothing had happened."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest
from support.shared_folder import (
    KILLED,
    TRAINING,
    children_of,
    ended,
    equal,
    forked,
    groups,
    outcome,
    runs_told,
    undisturbed,
)

from nfbench.cli.app import main
from nfbench.executors.slurm import Slurm
from nfbench.experiments.clean import leftovers, remove
from nfbench.experiments.launch import launch
from nfbench.experiments.status import status
from nfbench.foundation.errors import InputError

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
CELLS = 6


class Forks:
    """An engine whose workers are forks of this process.

    Args:
        log: file of what they say before their own log begins.
        rounds: for each call of `run`, what is done to its workers' numbers; the last one goes on for ever.
    """

    waits = True
    patient = False

    def __init__(self, log, *rounds):
        self.log, self.rounds, self.calls = log, rounds, 0

    def run(self, sweep):
        """Fork two workers whose standard input this process holds, and wait for them."""
        act = self.rounds[min(self.calls, len(self.rounds) - 1)]
        self.calls += 1
        reading, writing = os.pipe()

        def worker():
            os.close(writing)
            os.dup2(reading, 0)
            sys.stdout = sys.stderr = os.fdopen(1, "w", buffering=1)
            with pytest.raises(SystemExit) as caught:
                main(["worker", *sweep.arguments])
            os._exit(caught.value.code)

        children = [forked(worker, self.log) for _ in range(2)]
        os.close(reading)
        act(children, writing)
        self.codes = [ended(child) for child in children]
        os.close(writing)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The outcome of an undisturbed worker."""
    return undisturbed(tmp_path_factory.mktemp("whole"), CELLS)


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


@pytest.fixture
def root(tmp_path):
    return tmp_path / "results"


def leave(children, writing):
    """Do nothing to workers."""


def kill(children, writing):
    for child in children:
        os.kill(child, signal.SIGKILL)


def once(files, then, count=1):
    """Wait until so many files are there, given by a folder and a pattern, then do something to workers."""
    root, pattern = files

    def act(*arguments):
        while len(list(root.glob(pattern))) < count:
            time.sleep(0.002)
        then(*arguments)

    return act


def cleaned(root):
    """The outcome after `nfbench clean`."""
    remove(leftovers(root), root)
    assert leftovers(root) == []
    return outcome(root)


def test_an_engines_workers_share_a_plan(root, log, whole):
    """Each cell is run once; what workers said is found by status, and goes with clean."""
    run = launch(Forks(log, leave), groups(CELLS), root)
    assert (run.counts, run.skipped, run.left, run.failures) == ({"done": CELLS}, 0, 0, [])
    files = status(root).logs
    assert {file.parent for file in files} == {root / "logs"}
    assert sum(runs_told(file.read_text()) for file in files) == CELLS
    assert equal(cleaned(root), whole)
    engine = Forks(log, leave)
    assert launch(engine, groups(CELLS), root).skipped == CELLS
    assert engine.calls == 0


def test_workers_that_are_killed_are_started_again(root, log, whole):
    """Those of the first round die once a record is there; the next ones take their groups over."""
    engine = Forks(log, once((root, "trial/*.json"), kill), leave)
    run = launch(engine, groups(CELLS), root)
    assert (run.counts, run.left) == ({"done": CELLS}, 0), log.read_text()
    assert equal(cleaned(root), whole)


def test_workers_end_with_their_starter(root, log):
    """Where the other end of their input is closed they store what they train, return the lease, and end."""
    long = groups(2, training=TRAINING.model_copy(update={"updates": 10**6}))

    def close(_, writing):
        os.dup2(os.open(os.devnull, os.O_RDONLY), writing)

    engine = Forks(log, once((root, "trial/leases/*.lease"), close, count=2))
    run = launch(engine, long, root)
    assert engine.codes == [128 + signal.SIGTERM] * 2, log.read_text()
    assert (run.left, run.counts) == (2, {})
    assert not (root / "trial" / "leases").exists()
    assert "2 cells without an outcome; a worker said last: 'nfbench: interrupted" in run.failures[0]


def test_workers_that_all_die_at_once_are_not_started_for_ever(root, log):
    """What is left is counted, and the same call goes on."""
    engine = Forks(log, kill)
    run = launch(engine, groups(CELLS), root)
    assert engine.codes == [KILLED] * 2
    assert (engine.calls, run.left, len(run.failures)) == (1, CELLS, 1)
    assert launch(Forks(log, leave), groups(CELLS), root).counts == {"done": CELLS}


def test_a_cell_that_fails_is_tried_once_each_launch(root, log, whole, monkeypatch):
    """Not by every worker that begins; the next launch tries it again."""

    def one_after_the_other(children, writing):
        os.kill(children[1], signal.SIGSTOP)
        os.waitid(os.P_PID, children[0], os.WEXITED | os.WNOWAIT)
        os.kill(children[1], signal.SIGCONT)

    for _ in range(2):
        with monkeypatch.context() as patched:
            patched.setattr("nfbench.experiments.run_group.evaluate", lambda *_: 1 / 0)
            run = launch(Forks(log, one_after_the_other), groups(CELLS), root)
        assert run.counts == {"failed": CELLS}
        assert "ZeroDivisionError" in run.failures[0]
    said = "".join(file.read_text(errors="replace") for file in status(root).logs)
    assert said.count(": 1 failed") == 2 * CELLS
    assert launch(Forks(log, leave), groups(CELLS), root).counts == {"done": CELLS}
    assert equal(cleaned(root), whole)


def test_an_engine_that_refuses_leaves_no_plan(root):
    """A mistake in its options is no work for others."""

    class Refuses:
        waits = patient = True

        def run(self, sweep):
            raise InputError("no")

    with pytest.raises(InputError, match="no"):
        launch(Refuses(), groups(1), root)
    assert not (root / "plans").exists()


def test_a_device_of_one_machine_is_refused(root):
    """Which GPU a worker gets is the engine's to say."""
    with pytest.raises(InputError, match="device 'cuda:1': expected cpu or cuda"):
        launch(Forks(None, leave), groups(1), root, "cuda:1")


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes by /proc")
def test_a_slurm_job_that_is_preempted_goes_on(root, whole, monkeypatch):
    """At submitit's signal its workers store what they train; the job is requeued and ends with the same numbers."""
    submitit = pytest.importorskip("submitit", reason="needs submitit")
    submit, preempted = Slurm.submit, []

    def submit_and_preempt(self, sweep):
        jobs = submit(self, sweep)
        once((root, "trial/leases/*.lease"), lambda: preempted.extend(children_of(jobs[0]._process.pid)))()
        os.kill(preempted[0], submitit.JobEnvironment._usr_sig())
        return jobs

    monkeypatch.setattr(Slurm, "submit", submit_and_preempt)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    run = launch(Slurm(cluster="local"), groups(CELLS), root)
    said = "".join(file.read_text(errors="replace") for file in status(root).logs)
    assert run.counts == {"done": CELLS}, said
    assert len(preempted) == 1
    assert "Requeued job" in said
    assert "interrupted: " in said
    assert equal(cleaned(root), whole)
