"""The command ``nfbench leaderboard``."""

import pytest
from support.commands import run_command
from support.recorded import make

from nfbench.records.store import write


def written(capsys, *words):
    """Exit code, standard output and standard error of the command."""
    return run_command(capsys, "leaderboard", *words)


def test_it_says_where_the_index_is(tmp_path, capsys):
    """A file that is there."""
    write(tmp_path / "results", make(0))
    code, out, _ = written(capsys, tmp_path / "results", "--out", tmp_path / "pages")
    assert (code, out) == (0, f"leaderboard: {tmp_path / 'pages' / 'index.html'}\n")
    assert (tmp_path / "pages" / "index.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize("words", [("none",), ("results", "--out", "file"), ("empty",)])
def test_wrong_input_is_one_line(tmp_path, capsys, monkeypatch, words):
    """No folder, nothing in it, and a file in place of the pages' folder."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "results", make(0))
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    code, out, err = written(capsys, *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
