"""The command ``nfbench merge``: what it says, its exit codes, and wrong input in one line."""

import json

import pytest
from support.commands import run_command
from support.recorded import make

from nfbench.records.cells import Metric
from nfbench.records.store import path, write


def merged(capsys, *words):
    """Exit code, standard output and standard error of the command."""
    return run_command(capsys, "merge", *words)


def test_it_counts_what_is_equal_and_names_what_differs(tmp_path, capsys):
    """Exit code 0 while nothing is to be looked at, else 1; no line is cut off."""
    for seed in (0, 1):
        write(tmp_path / "a", make(seed))
    write(tmp_path / "b", make(0, metrics={"kl": Metric(value=7.0)}))
    into = tmp_path / "into"
    assert merged(capsys, tmp_path / "a", "--into", into) == (0, f"2 outcomes into {into}: 2 new\n", "")
    code, out, _ = merged(capsys, tmp_path / "a", tmp_path / "b", "--into", into)
    assert (code, out.splitlines()[0]) == (1, f"3 outcomes into {into}: 2 equal, 1 differs")
    assert f"{make(0).id}.json: kept as" in out
    code, out, _ = merged(capsys, tmp_path / "b", "--into", into, "--json")
    assert [(each["kind"], each["place"]) for each in json.loads(out)] == [
        ("differs", f"{path(into, 'figure3', make(0).id)}.differs")
    ]
    assert code == 1


def test_what_is_left_out_is_counted_in_full(tmp_path, capsys):
    """Some of it is shown, all of it with --verbose."""
    write(tmp_path / "a", make(0))
    for number in range(9):
        (tmp_path / "a" / f"note{number}.txt").write_text("")
    code, out, _ = merged(capsys, tmp_path / "a", "--into", tmp_path / "into")
    assert (code, out.count("note")) == (0, 5)
    assert "and 4 more" in out
    assert merged(capsys, tmp_path / "a", "--into", tmp_path / "into", "--verbose")[1].count("note") == 9


@pytest.mark.parametrize(
    "words", [("none", "--into", "b"), ("a", "--into", "a"), ("a", "--into", "a/note.txt"), ("a",)]
)
def test_wrong_input_is_one_line(tmp_path, capsys, monkeypatch, words):
    """No folder, a folder into itself, a file, and nowhere to go: exit code 2, and the word is named."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a", make(0))
    (tmp_path / "a" / "note.txt").write_text("")
    code, out, err = merged(capsys, *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("nfbench: error: ")
