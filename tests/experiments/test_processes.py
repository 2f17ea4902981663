"""Groups in several processes: the same records, whatever dies, is interrupted or cannot be stored."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.trials import trial_plan

from nfbench import results
from nfbench.executors.local import execute
from nfbench.experiments.run_group import lose_group, run_group
from nfbench.foundation.errors import InputError
from nfbench.records import store


def test_processes_give_the_same_records(tmp_path):
    """Two worker processes store what one process stores."""
    groups = trial_plan(["gaussian", "nice:K=2"])
    execute(run_group, lose_group, groups, tmp_path / "one", jobs=1)
    summary = execute(run_group, lose_group, groups, tmp_path / "two", jobs=2)
    assert summary.counts == {"done": 4}
    for record in store.records(tmp_path / "one"):
        in_two = store.read(store.path(tmp_path / "two", "trial", record.id))
        for name, metric in record.metrics.items():
            assert in_two.metrics[name].value == pytest.approx(metric.value, rel=1e-5)


def _die_on_planar(group, root, device, report):
    if group.posterior.startswith("planar"):
        os._exit(9)
    return run_group(group, root, device, report)


def _full(*_):
    raise InputError("cannot write there: No space left on device; expected a writable folder")


def test_killed_worker_is_an_outcome(tmp_path):
    """A group whose process is killed becomes failed records, one a seed; the others of its pool still get done."""
    groups = trial_plan(["gaussian", "planar:K=2", "radial:K=2", "nice:K=2"])
    summary = execute(_die_on_planar, lose_group, groups, tmp_path, jobs=2)
    assert summary.counts == {"failed": 2, "done": 6}
    assert len(summary.failures) == 1
    assert "planar:K=2: its process died" in summary.failures[0]
    frame = results(tmp_path).frame
    assert set(frame.loc[frame["status"] == "failed", "family"]) == {"planar"}


def test_an_outcome_that_cannot_be_stored_ends_the_run(tmp_path):
    """Where the disk is full a run in several processes ends with that line, and counts nothing as done or as gone."""
    with pytest.raises(InputError, match="cannot write there: No space left on device"):
        execute(_full, _full, trial_plan(["gaussian", "planar:K=2"]), tmp_path, jobs=2)


def _command(folder, posteriors, updates):
    """A run in two processes that keeps checkpoints all the time, but for its results folder; and where to run it."""
    (folder / "long.yaml").write_text(
        f"{{name: long, title: t, summary: s, targets: [u1], posteriors: ['{posteriors}'], profiles: {{quick: {{"
        f"seeds: 1, training: {{learning_rate: 0.01, updates: {updates}, anneal_updates: 0}}, "
        "evaluation: {draws: 20, grid: 4}}}}"
    )
    (folder / "command.py").write_text(
        # A command that a script starts in the background ignores Ctrl-C, and so would this one under such a test run.
        "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import nfbench.training.loop\nnfbench.training.loop.CHECKPOINT_SECONDS = 0.0\n"
        "import nfbench\nfrom nfbench.cli.app import main\n"
        "@nfbench.register_posterior('own', label='Own', cite='nobody')\n"
        "def own(dim: int):\n    'Its sake makes processes import this script, and so keep checkpoints too.'\n"
        "if __name__ == '__main__':\n    main()\n"
    )
    where = {"cwd": folder, "stderr": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    return [sys.executable, "command.py", "run", "long.yaml", "--jobs", "2", "--results"], where


def test_an_interrupt_begins_no_other_group(tmp_path):
    """Ctrl-C with groups still waiting ends the command at once: those in training are kept, no other is begun."""
    command, where = _command(tmp_path, "planar:K=1|2|3|4|5|6", 50_000)
    with subprocess.Popen([*command, "results"], start_new_session=True, **where) as running_command:
        _wait_for(lambda: len(list((tmp_path / "results").glob("long/checkpoints/*.pt"))) == 2)
        os.killpg(running_command.pid, signal.SIGINT)
        try:
            assert running_command.wait(timeout=300) == 130
        finally:
            running_command.kill()
    assert list(results(tmp_path / "results").frame["status"]) == ["interrupted"] * 2


def test_no_process_outlives_a_killed_command(tmp_path):
    """Killed without warning in the middle, a run takes its workers along; the same again ends as one that was not."""
    command, where = _command(tmp_path, "planar:K=1|2", 600)
    with subprocess.Popen([*command, "results"], **where) as running_command:
        _wait_for(lambda: list((tmp_path / "results").glob("long/checkpoints/*.pt")))
        workers = _children(running_command.pid)
        running_command.kill()
    assert len(workers) >= 2
    _wait_for(lambda: not any(_alive(worker) for worker in workers))
    for root in ("results", "straight"):
        subprocess.run([*command, root], check=True, **where)
    killed, straight = (results(tmp_path / root).frame.set_index("id")["kl"] for root in ("results", "straight"))
    assert killed.to_dict() == straight.to_dict()
    assert {file.suffix for file in (tmp_path / "results" / "long").iterdir()} == {".json", ".npz"}


def _wait_for(condition):
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, "waited two minutes in vain"
        time.sleep(0.02)


def _stat(pid):
    """State and parent of a process, as Linux tells them."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return "Z", "0"


def _children(pid):
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [child for child in pids if _stat(child)[1] == str(pid)]


def _alive(pid):
    return _stat(pid)[0] != "Z"
