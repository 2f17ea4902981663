"""The command ``nfbench recheck``: what it says before and after, its exit codes, and wrong input in one line."""

import json

import pytest
from support.commands import run_command
from support.recorded import make
from support.shared_folder import groups

from nfbench.experiments.run_group import run_group
from nfbench.records.store import path, write


def rechecked(capsys, *words):
    """Exit code, standard output and standard error of the command."""
    return run_command(capsys, "recheck", *words)


@pytest.fixture
def root(tmp_path):
    """A folder with two records."""
    for group in groups(2):
        run_group(group, tmp_path / "results")
    return tmp_path / "results"


def test_it_tells_the_cost_and_then_what_holds(root, capsys):
    """As text and as JSON; a dry run runs nothing."""
    code, out, _ = rechecked(capsys, root, "--dry-run", "--seed", 3, "--verbose")
    assert (code, out.startswith("2 of 2 finished cells (--seed 3), in 2 trainings that took ")) == (0, True)
    assert not (root / "rechecks").exists()
    code, out, _ = rechecked(capsys, root, "--sample", 1, "--seed", 3, "--jobs", 1)
    assert code == 0
    assert [line.split(":")[0] for line in out.splitlines()] == [
        "equal",
        "1 of 1 hold; the rechecks are stored in " + str(root / "rechecks"),
    ]
    code, out, err = rechecked(capsys, root, "--seed", 3, "--jobs", 1, "--json")
    assert [each["verdict"] for each in json.loads(out)] == ["equal", "equal"]
    assert (code, "2 of 2 finished cells" in err) == (0, True)


def test_a_damaged_record_is_named_and_told_by_the_exit_code(root, capsys):
    """What is left is checked."""
    file = next(iter((root / "trial").glob("*.json")))
    file.write_text(file.read_text().replace('"seconds"', '"second"'))
    code, out, err = rechecked(capsys, root, "--jobs", 1)
    assert (code, str(file) in err, "1 of 1 hold" in out) == (1, True, True)


def test_an_interrupt_is_one_line_and_leaves_nothing(root, capsys, monkeypatch):
    """Exit code 130, no recheck and no empty folder."""

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("nfbench.experiments.recheck.execute", interrupted)
    code, out, err = rechecked(capsys, root, "--quiet", "--seed", 3)
    assert (code, out) == (130, "")
    assert err == "nfbench: interrupted: no recheck is stored; the same command with --seed 3 begins again\n"
    assert sorted(file.name for file in root.iterdir()) == ["trial"]


def test_where_nothing_can_be_run_it_is_wrong_input(tmp_path, capsys):
    """Each reason is named, and then one line says so."""
    write(tmp_path, make(0, provenance={"device": "NVIDIA H900"}))
    code, _, err = rechecked(capsys, tmp_path, "--minutes", 0.001)
    assert code == 2
    assert "none of 1 finished cells can be run here" in err
    assert path(tmp_path, "figure3", make(0).id).exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("none",), "no results folder 'none'"),
        ((".", "--sample", "0"), "sample"),
        ((".", "--sample", "x"), "sample"),
        ((".", "--seed", "-1"), "seed"),
        ((".", "--minutes", "-1"), "minutes=-1"),
        ((".", "--minutes", "nan"), "minutes=nan"),
        ((".", "--group-seconds", "0"), "group_seconds=0.0"),
        ((".", "--device", "tpu"), "no device named 'tpu'"),
    ],
)
def test_wrong_input_is_one_line(tmp_path, capsys, monkeypatch, words, said):
    """Exit code 2, and the option is named."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path, make(0))
    code, out, err = rechecked(capsys, *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err
