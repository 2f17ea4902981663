"""The command ``nfbench diff``: folders and git revisions, its exit codes, and wrong input in one line."""

import json
import subprocess

import pytest
from support.commands import run_command
from support.recorded import make
from support.synthetic_timings import timing

from nfbench.records.cells import Metric
from nfbench.records.store import write


def compared(capsys, *words):
    """Exit code, standard output and standard error of the command."""
    return run_command(capsys, "diff", *words)


@pytest.fixture
def folders(tmp_path):
    """Two folders, whose free energy differs by 0.1 in all five seeds, and what only the second has."""
    for seed in range(5):
        for side, value in (("a", 0.0), ("b", 0.1)):
            write(tmp_path / side, make(seed, metrics={"free_energy": Metric(value=seed + value, se=0.001)}))
    write(tmp_path / "b", make(7))
    timing(tmp_path / "b")
    return tmp_path


def test_a_change_is_shown_with_exit_code_one(folders, capsys):
    """As a table and as JSON; of a folder and itself nothing is shown."""
    code, out, _ = compared(capsys, folders / "a", folders / "b")
    assert code == 1
    assert "5 cells in both: 0 equal bit by bit, 5 not; 0 of another configuration; 0 only before, 1 only after" in out
    assert "figure3 quick u1 planar:K=8 seeds 7" in out
    assert "| worse |" in out
    assert "timings are not compared: 0 before, 1 after" in out
    assert json.loads(compared(capsys, folders / "a", folders / "b", "--json")[1])["changes"][0]["verdict"] == "worse"
    code, out, _ = compared(capsys, folders / "a", folders / "a")
    assert (code, "worse" in out, "5 equal bit by bit, 0 not" in out) == (0, False, True)


def test_a_git_revision_is_a_folder(folders, capsys, monkeypatch):
    """`HEAD:a` is what was committed, whatever lies there now, also from a folder below the top."""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(folders)]
    for words in (["init", "-q"], ["add", "a"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    for seed in range(5):
        write(folders / "a", make(seed, metrics={"free_energy": Metric(value=9.0 + seed, se=0.001)}))
    monkeypatch.chdir(folders)
    code, out, _ = compared(capsys, "HEAD:a", "a")
    assert (code, "HEAD:a -> a" in out) == (1, True)
    (folders / "below").mkdir()
    monkeypatch.chdir(folders / "below")
    assert compared(capsys, "HEAD:a", "HEAD:../a")[0] == 0
    broken = next((folders / "a" / "figure3").iterdir())
    broken.write_text("{")
    for words in (["add", "a"], ["commit", "-qm", "second"]):
        subprocess.run([*git, *words], check=True)
    code, out, _ = compared(capsys, "HEAD~1:a", "HEAD:a")
    assert (code, f"  HEAD:a/figure3/{broken.name} is not a record" in out) == (1, True)
    for tree in ("HEAD:none", "none:a"):
        code, _, err = compared(capsys, tree, "../a")
        assert (code, err.count("\n"), tree in err) == (2, 1, True)


@pytest.mark.parametrize(
    ("side", "words"),
    [
        ("none", "no results folder"),
        ("empty", "no records directly under"),
        ("whole", "did you mean"),
        ("-x:y", "no such option"),
    ],
)
def test_wrong_input_is_one_line(folders, capsys, monkeypatch, side, words):
    """No folder, one without records, one whose records are in its reference folder."""
    monkeypatch.chdir(folders)
    (folders / "empty").mkdir()
    write(folders / "whole" / "reference", make(0))
    code, out, err = compared(capsys, "a", side)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err.lower()
