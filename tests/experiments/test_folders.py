"""The folders of a run: refused before anything is trained, cleaned of what killed runs left, and missed when gone."""

import os
import shutil
import subprocess
import sys

import pytest

from nfbench.cli.app import main
from nfbench.experiments import run_group as running
from nfbench.experiments.execute import execute, plan_experiment
from nfbench.experiments.folders import checkpoint_of
from nfbench.foundation.errors import InputError
from nfbench.records import store
from nfbench.training.checkpoint import write

MINE = """\
name: {name}
title: t
summary: s
targets: [u1]
posteriors: ["planar:K=1|2"]
profiles:
  smoke:
    seeds: 2
    training: {{learning_rate: 0.01, updates: 4, draws: 4, anneal_updates: 0}}
    evaluation: {{draws: 20, forward_draws: 20, importance_draws: 2, grid: 4}}
"""


@pytest.fixture
def mine(tmp_path):
    """An experiment of two groups with two seeds."""
    file = tmp_path / "mine.yaml"
    file.write_text(MINE.format(name="mine"))
    return str(file)


def test_a_folder_of_results_that_disappears_is_told(mine, tmp_path, monkeypatch, capsys):
    """Removed while the second group is evaluated: two cells are lost, named, and the exit code is 1."""
    root, evaluate = tmp_path / "results", running.evaluate
    seen = []

    def removing(*arguments):
        seen.append(arguments)
        if len(seen) == 3:
            shutil.rmtree(root)
        return evaluate(*arguments)

    monkeypatch.setattr(running, "evaluate", removing)
    with pytest.raises(SystemExit) as ended:
        main(["run", mine, "--profile", "smoke", "--results", str(root), "--jobs", "1"])
    out, err = capsys.readouterr()
    assert ended.value.code == 1
    assert "4 cells: 2 done, 2 lost; 0 were finished before" in out
    assert f"2 records under {root} disappeared during the run, such as that of" in err
    assert len(list(store.records(root))) == 2


@pytest.mark.parametrize("place", ["", "mine", "mine/checkpoints"])
def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_trained(mine, tmp_path, monkeypatch, place):
    """Where a file is in the place of a folder, also that of checkpoints, no cell is begun."""
    root = tmp_path / "results"
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / place).write_text("")
    monkeypatch.setattr(running, "train", lambda *_, **__: pytest.fail("trained"))
    with pytest.raises(InputError, match=rf"cannot write to folder '{root / place}': Not a directory"):
        execute(plan_experiment(mine, "smoke"), root, jobs=1)


def test_what_killed_runs_left_is_removed(mine, tmp_path):
    """Partial files of processes that ended, and the state of a training whose outcomes are stored; no other state."""
    root, groups = tmp_path / "results", plan_experiment(mine, "smoke")
    execute(groups[:1], root, jobs=1)
    for group in groups:
        write(checkpoint_of(group, root), {"step": 1})
    program = (
        "import os, sys; from pathlib import Path; from nfbench.foundation.files import partial\n"
        "writers = [partial(Path(file)) for file in sys.argv[1:]]\n"
        "[writer.__enter__() for writer in writers]\n"
        "os._exit(9)"
    )
    left = [root / "mine" / "0.json", root / "mine" / "checkpoints" / "0.pt"]
    subprocess.run([sys.executable, "-c", program, *map(str, left)], check=False)
    assert len(list(root.rglob(".*.part"))) == 2
    execute(groups[:1], root, jobs=1)
    assert list(root.rglob(".*.part")) == []
    assert not checkpoint_of(groups[0], root).exists()
    assert checkpoint_of(groups[1], root).exists()
    with pytest.warns(UserWarning, match="the training starts over"):
        execute(groups, root, jobs=1)
    assert {file.suffix for file in (root / "mine").iterdir()} == {".json", ".npz"}


def test_a_record_of_a_newer_nfbench_stops_the_run_before_it_begins(mine, tmp_path):
    """One line, and the record is what it was."""
    root, groups = tmp_path / "results", plan_experiment(mine, "smoke")
    execute(groups[:1], root, jobs=1)
    cell = groups[0].cells[1]
    file = store.path(root, "mine", cell.id)
    newer = file.read_text().replace('"schema_version": 1', '"schema_version": 2')
    file.write_text(newer)
    with pytest.raises(InputError, match=r"schema_version: got 2; a newer nfbench wrote it; it is not overwritten"):
        execute(groups, root, jobs=1)
    assert file.read_text() == newer
    assert not store.path(root, "mine", groups[1].cells[0].id).exists()


@pytest.mark.parametrize("name", ["figure3", "figure4", "table2"])
def test_the_name_of_another_experiment_is_refused(tmp_path, name):
    """A file of one's own cannot have the name of a packaged experiment, or of a published figure."""
    file = tmp_path / "own.yaml"
    file.write_text(MINE.format(name=name))
    with pytest.raises(InputError, match=rf"own.yaml: name '{name}' is taken by nfbench's own") as caught:
        plan_experiment(str(file), "smoke")
    assert "\n" not in str(caught.value)


def test_a_copy_of_a_packaged_experiment_is_that_experiment(tmp_path):
    """Its cells are those of the packaged one, also where the command line changes the profile."""
    packaged = os.path.join(os.path.dirname(running.__file__), "figure3.yaml")  # noqa: PTH118, PTH120
    shutil.copy(packaged, tmp_path / "copy.yaml")
    for changes in ({}, {"seeds": 3}):
        plans = [plan_experiment(name, "smoke", overrides=changes) for name in (str(tmp_path / "copy.yaml"), "figure3")]
        assert plans[0] == plans[1]


def test_eleven_changes_of_a_profile_make_no_name_that_is_too_long(mine, tmp_path, capsys):
    """Every setting of a training and an evaluation is changed: records, table, pictures and report are written."""
    changes = {
        "training.learning_rate": 0.0123456789012, "training.momentum": 0.91234567890123, "training.updates": 5,
        "training.draws": 5, "training.batch": 101, "training.anneal_start": 0.012345678901234,
        "training.dtype": "float64", "evaluation.draws": 21, "evaluation.forward_draws": 21,
        "evaluation.importance_draws": 3, "evaluation.dtype": "float32", "evaluation.grid": 5,
    }  # fmt: skip
    words = [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]
    where = ["--results", str(tmp_path / "results")]
    for command in (
        ["run", mine, "--profile", "smoke", *words, *where, "--jobs", "1"],
        ["table", "mine", *where],
        ["plot", "mine", *where, "--out", str(tmp_path / "figures")],
        ["report", *where, "--out", str(tmp_path / "report")],
    ):
        with pytest.raises(SystemExit) as ended:
            main(command)
        assert ended.value.code == 0, capsys.readouterr().err
    assert max(len(file.name) for file in (tmp_path / "figures").iterdir()) == 204
    assert (tmp_path / "report" / "index.html").exists()
