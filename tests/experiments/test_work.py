"""Workers on one folder: killed, stopped, preempted, with a full disk or without the folder, they end with the same."""

import os
import shutil
import signal
import time
import warnings

import pytest
from support.shared_folder import (
    TRAINING,
    disturbed,
    ended,
    equal,
    forked,
    groups,
    outcome,
    runs_told,
    undisturbed,
    worked,
)

from nfbench.executors import claims
from nfbench.executors.claims import lease_of
from nfbench.experiments import execute as execute_module
from nfbench.experiments import group_run
from nfbench.experiments.clean import leftovers, remove
from nfbench.experiments.run_group import run_group
from nfbench.experiments.status import status
from nfbench.foundation import files, first
from nfbench.foundation.errors import InputError
from nfbench.foundation.interrupts import Interrupt
from nfbench.foundation.leases import Lease, look

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
CELLS = 8


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The outcome of an undisturbed worker."""
    return undisturbed(tmp_path_factory.mktemp("whole"), CELLS)


@pytest.fixture
def log(tmp_path):
    """What children of this process say."""
    return tmp_path / "log"


@pytest.fixture
def root(tmp_path):
    return tmp_path / "results"


def stop_once(monkeypatch, module, name):
    """Have the next call of a function of a module stop this process first, as if its machine slept."""
    function = getattr(module, name)

    def stopped(*arguments, **options):
        monkeypatch.setattr(module, name, function)
        os.kill(os.getpid(), signal.SIGSTOP)
        return function(*arguments, **options)

    monkeypatch.setattr(module, name, stopped)


def test_workers_that_are_killed_lose_nothing(whole, root, log):
    """Of three workers ten are killed at random times: the folder ends as that of one undisturbed worker."""
    assert disturbed(root, groups(CELLS), log, workers=3, kills=10, moment=0.3) > 0
    remove(leftovers(root), root)
    assert equal(outcome(root), whole)
    assert leftovers(root) == []
    assert status(root).counts["done"] == CELLS
    twice = runs_told(log.read_text()) - CELLS
    assert twice <= log.read_text().count("finished by another process meanwhile")


@pytest.mark.parametrize("moment", ["training", "publication"])
def test_a_holder_that_slept_longer_than_its_lease_ends_with_one_record(moment, whole, root, log, monkeypatch):
    """Its group is taken over and finished; awake, it drops its training, or its outcome and says so."""

    def sleeper():
        if moment == "publication":
            stop_once(monkeypatch, group_run, "publish")
        else:
            stop_once(monkeypatch, group_run.GroupRun, "share")
        worked(root, groups(CELLS)[:1], lease_seconds=1)

    child = forked(sleeper, log)
    os.waitpid(child, os.WUNTRACED)
    lease = lease_of(groups(CELLS)[0], root)
    assert look(lease).owner.process == child
    began = time.monotonic()
    assert worked(root, groups(CELLS), lease_seconds=1).counts == {"done": CELLS}
    assert time.monotonic() - began > 0.5  # the lease ran out first
    os.kill(child, signal.SIGCONT)
    assert ended(child) == 0, log.read_text()
    assert "finished by another process meanwhile, with the same numbers" in log.read_text()
    assert equal(outcome(root), whole)


def test_a_group_that_was_taken_over_is_left_to_its_new_holder(root, log, whole, monkeypatch):
    """A holder that learns within its training that its lease is another's stores nothing more of the group."""

    def robbed(group, folder, device, report, **options):
        def slow(done, bound):
            lease_of(group, folder).write_text('{"token": "another"}')
            while not claims[0].is_lost(group):
                time.sleep(0.01)
            lease_of(group, folder).unlink()
            report(done, bound)

        calls.append(group)
        return run_group(group, folder, device, report if len(calls) > 1 else slow, **options)

    calls, claims = [], []
    enter = execute_module.execute_locally.__globals__["Claims"].__enter__

    def entered(self):
        if self._left:
            claims.append(self)
        return enter(self)

    monkeypatch.setattr(execute_module.execute_locally.__globals__["Claims"], "__enter__", entered)
    monkeypatch.setattr(execute_module, "run_group", robbed)
    run = worked(root, groups(CELLS), lease_seconds=1)
    assert (run.counts, len(calls)) == ({"done": CELLS}, CELLS + 1)
    assert equal(outcome(root), whole)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
def test_preemption_stores_the_training_and_returns_the_lease(number, root, log):
    """The signal of a queueing system ends the worker within a training; the next goes on to the same numbers."""
    long = TRAINING.model_copy(update={"updates": 60})
    parts = groups(1, training=long)
    assert worked(root / "straight", parts).counts == {"done": 1}

    def preempted():
        def report_and_leave(group, folder, device, report, **options):
            def at(done, bound):
                report(done, bound)
                if done == 30:
                    os.kill(os.getpid(), number)

            return run_group(group, folder, device, at, **options)

        execute_module.run_group = report_and_leave
        worked(root / "torn", parts)

    child = forked(preempted, log)
    assert ended(child) == 128 + number, log.read_text()
    assert not (root / "torn" / "trial" / "leases").exists()
    (waiting,) = status(root / "torn").waiting
    assert waiting.resumable
    assert worked(root / "torn", parts).counts == {"done": 1}
    assert equal(outcome(root / "torn"), outcome(root / "straight"))


@pytest.mark.parametrize("name", ["claim", "release"])
def test_a_signal_at_a_claim_or_its_return_leaves_no_lease(name, root, monkeypatch):
    """Others need not wait until the lease of a worker runs out that was preempted just as it made or removed it."""
    owner, called = (claims, claims.claim) if name == "claim" else (Lease, Lease.release)

    def signalled(*arguments):
        if name == "claim":
            lease = called(*arguments)
            signal.raise_signal(signal.SIGTERM)
            return lease
        signal.raise_signal(signal.SIGTERM)
        return called(*arguments)

    monkeypatch.setattr(owner, name, signalled)
    with pytest.raises(Interrupt, match="SIGTERM"):
        worked(root, groups(1))
    assert not (root / "trial" / "leases").exists()


def test_time_that_is_up_is_a_preemption(root):
    """After its minutes a worker stores the group in training and gives it back."""
    parts = groups(1, training=TRAINING.model_copy(update={"updates": 10**6}))
    from nfbench.executors.claims import Sharing
    from nfbench.experiments.work import work
    from nfbench.training.acceleration import PLAIN

    with pytest.raises(Interrupt, match="SIGALRM"):
        work(parts, root, acceleration=PLAIN, sharing=Sharing(), minutes=0.5 / 60)
    assert status(root).counts | {"waiting": 1} == status(root).counts
    with pytest.raises(InputError, match="minutes=-1: expected a positive number"):
        work(parts, root, acceleration=PLAIN, sharing=Sharing(), minutes=-1)


def test_a_failed_cell_is_an_outcome_and_stops_nobody(root):
    """A worker does not try a failed cell again unless it is asked to, and runs all others."""
    parts = groups(4, ["gaussian", "planar:K=1"])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("nfbench.experiments.run_group.evaluate", lambda *_: 1 / 0)
        assert worked(root, parts[2:3]).counts == {"failed": 1}
    assert status(root).counts["failed"] == 1
    run = worked(root, parts)
    assert (run.counts, run.skipped, run.elsewhere) == ({"done": 3}, 0, 1)
    (failure,) = status(root).failed
    assert "ZeroDivisionError" in failure.message


def test_a_worker_stops_after_its_groups_and_leaves_the_plan(root):
    """Others go on with what it leaves, which the plan in the folder says; the last one removes the plan."""
    run = worked(root, groups(CELLS), most_groups=3)
    assert (run.counts, run.left) == ({"done": 3}, CELLS - 3)
    assert status(root).counts["waiting"] == CELLS - 3
    assert worked(root, groups(CELLS)).counts == {"done": CELLS - 3}
    assert not (root / "plans").exists()


def test_a_listing_that_lags_changes_nothing(root, whole, monkeypatch):
    """Names that others have made, and folders that show none of them, mislead nobody: no claim rests on a listing."""
    worked(root, groups(CELLS)[:4])
    with monkeypatch.context() as patched:
        patched.setattr(files.Path, "iterdir", lambda folder: iter(()))
        run = worked(root, groups(CELLS))
    assert (run.counts, run.skipped) == ({"done": CELLS - 4}, 4)
    assert equal(outcome(root), whole)


def test_a_disk_that_is_full_in_the_middle(root, whole, monkeypatch):
    """It is named in one line, what is finished stays, and with room again the rest is run."""
    written = []

    def full(handle, content):
        written.append(handle)
        if len(written) > 4:
            raise OSError(28, "No space left on device")
        return os.write(handle, content)

    with monkeypatch.context() as patched:
        patched.setattr(first, "write_all", full)
        with pytest.raises(InputError, match=r"cannot write .*: No space left on device$") as caught:
            worked(root, groups(CELLS))
    assert str(caught.value).count("\n") == 0
    assert 0 < status(root).counts["done"] < CELLS
    done = status(root).counts["done"]
    assert worked(root, groups(CELLS)).skipped == done
    assert equal(outcome(root), whole)


def test_a_folder_that_is_removed(root, whole, monkeypatch):
    """It is named in one line, and the group in training is not lost: its record is in a new folder."""

    def removed(group, folder, *arguments, **options):
        shutil.rmtree(folder)
        return run_group(group, folder, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(execute_module, "run_group", removed)
        with pytest.raises(InputError, match="was removed or replaced during the run: expected it to stay"):
            worked(root, groups(CELLS))
    assert status(root).counts["done"] == 1
    assert worked(root, groups(CELLS)).skipped == 1
    assert equal(outcome(root), whole)


def test_a_folder_that_becomes_read_only(root, monkeypatch):
    """It is named in one line at the next claim; what is finished stays."""
    opened = os.open

    def read_only(path, flags, *mode, **options):
        if flags & os.O_CREAT and str(path).startswith(str(root)):
            raise OSError(30, "Read-only file system")
        return opened(path, flags, *mode, **options)

    def last(group, *arguments, **options):
        records = run_group(group, *arguments, **options)
        monkeypatch.setattr(os, "open", read_only)
        return records

    monkeypatch.setattr(execute_module, "run_group", last)
    with pytest.raises(InputError, match=r"cannot write .*: Read-only file system; expected a writable folder"):
        worked(root, groups(CELLS))
    assert status(root).counts["done"] == 1


def test_two_workers_share_what_there_is(root, log, whole):
    """Each cell is run once, by one of them, and what one has finished the other counts as the other's."""
    children = [forked(lambda: worked(root, groups(CELLS)), log) for _ in range(2)]
    assert [ended(child) for child in children] == [0, 0], log.read_text()
    assert runs_told(log.read_text()) == CELLS
    assert equal(outcome(root), whole)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert worked(root, groups(CELLS)).skipped == CELLS
