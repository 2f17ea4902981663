"""The commands that work on a shared folder: worker, status, clean."""

import json
import os

import pytest
from support.commands import run_command
from support.shared_folder import groups, worked

from nfbench.experiments.plans import load_plan, store_plan, stored_plans

DEAD_LEASE = {"token": "0", "owner": ["elsewhere", 1, "another machine", 1], "seconds": 60, "since": 1}


@pytest.fixture
def nf(capsys):
    """Run a command line; exit code, standard output, standard error."""

    def command(*words):
        return run_command(capsys, *words)

    return command


@pytest.fixture
def half(tmp_path):
    """A folder with two cells done, two waiting of which one has a dead lease, and remains of killed processes."""
    root = tmp_path / "results"
    worked(root, groups(4), most_groups=2)
    waiting = next(group for group in groups(4) if not (root / "trial" / f"{group.cells[0].id}.json").exists())
    lease = root / "trial" / "leases" / f"{waiting.key}.lease"
    lease.parent.mkdir()
    about = {"name": "trial u1 gaussian", "seeds": "3-3", "cells": 1, "done": 1, "updates": 3, "bound": 2.5}
    lease.write_text(json.dumps(DEAD_LEASE | {"about": about}))
    os.utime(lease, (1, 1))
    done = next(group for group in groups(4) if (root / "trial" / f"{group.cells[0].id}.json").exists())
    (root / "trial" / "checkpoints").mkdir(exist_ok=True)
    (root / "trial" / "checkpoints" / f"{done.key}.pt").touch()
    (root / "trial" / f".{done.cells[0].id}.json.host.1.0123abcd.part").touch()
    (root / "trial" / f"{done.cells[0].id}.json.differs").touch()
    return root


def test_status_says_what_is_done_waiting_and_stale(nf, half):
    """In text and in JSON, with who held a dead lease and how far it was."""
    code, out, _ = nf("status", half)
    first, *lines = out.splitlines()
    assert (code, first) == (0, f"4 cells in {half}: 2 done, 1 stale, 1 waiting")
    assert any("trial u1 gaussian | seeds 3-3 | 1 cell | elsewhere:1 for" in line for line in lines)
    assert any("1/3 updates, F = 2.5000 nats" in line for line in lines)
    assert lines[-1].endswith(".json.differs")
    data = json.loads(nf("status", half, "--json")[1])
    assert data["counts"] == {"done": 2, "diverged": 0, "failed": 0, "running": 0, "stale": 1, "waiting": 1}
    assert data["stale"][0]["owner"] == "elsewhere:1"


def test_clean_says_what_it_would_remove_and_removes_it_when_told(nf, half):
    """Partial files, dead leases and checkpoints of finished cells go; what stands aside to be looked at stays."""
    before = sorted(half.rglob("*"))
    code, out, _ = nf("clean", half)
    assert code == 0
    kinds = [line.partition(":")[0] for line in out.splitlines()]
    assert kinds[:3] == ["partial file", "dead lease", "checkpoint of finished cells"]
    assert "3 files would be removed" in out
    assert sorted(half.rglob("*")) == before
    assert "3 files removed" in nf("clean", half, "--yes")[1]
    gone = {path.name for path in set(before) - set(half.rglob("*"))}
    assert len(gone) == 3 + len({"leases", "checkpoints"})
    assert nf("clean", half)[1].endswith("nothing to remove\n")
    assert list((half / "trial").glob("*.differs"))


def test_a_worker_takes_its_plan_from_the_folder(nf, half):
    """Without --plan it runs what lies in the folder, and takes the dead lease over."""
    code, out, _ = nf("worker", "--results", half)
    assert (code, out) == (0, f"4 cells: 2 done; 2 were finished before; records in {half}\n")
    assert nf("status", half)[1].startswith(f"4 cells in {half}: 4 done")


def test_a_plan_is_the_same_after_it_was_stored(tmp_path):
    """Groups, seeds and their order come back from the file, whatever seeds were asked for."""
    parts = groups(6, ["gaussian", "planar:K=1"])
    file = store_plan(parts, tmp_path)
    assert load_plan(file) == parts
    assert stored_plans(tmp_path) == {file: parts}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["worker", "--results", "empty"], ["no plan in 'empty/plans'", "expected --plan"]),
        (["worker", "--plan", "absent.plan"], ["absent.plan", "No such file"]),
        (["worker", "--plan", "torn.plan"], ["torn.plan is not a plan", "expected one of a folder 'plans'"]),
        (["worker", "--plan", "figure33"], ["no experiment named 'figure33'", "did you mean figure3"]),
        (["worker", "--plan", "figure3", "--lease-seconds", "0"], ["lease_seconds=0.0", "from 1"]),
        (["worker", "--plan", "figure3", "--profile", "smoke", "--minutes", "-1"], ["minutes=-1.0", "positive"]),
        (["worker", "--max-groups", "0"], ["--max-groups"]),
        (["status", "absent"], ["results 'absent'", "expected a folder"]),
        (["clean", "absent"], ["results 'absent'", "expected a folder"]),
    ],
    ids=lambda value: " ".join(value[:3]) if value[0] in ("worker", "status", "clean") else "",
)
def test_wrong_input_is_one_line(nf, monkeypatch, tmp_path, words, said):
    """It names the thing, its value and what was expected, and exits with 2."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "torn.plan").write_text('{"blocks": [')
    code, out, err = nf(*words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert all(word in err for word in said), err
