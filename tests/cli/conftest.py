"""A folder with experiments, right and wrong, and a command line in it."""

import pytest
from support.commands import run_command

TINY = """\
name: tiny
title: The smallest grid
summary: One energy, a few updates.
targets: [u1]
posteriors: ["planar:K=1", "gaussian"]
profiles:
  quick:
    seeds: 2
    training: {learning_rate: 0.02, updates: 4, draws: 8, anneal_updates: 2}
    evaluation: {draws: 20, forward_draws: 20, grid: 4}
"""


@pytest.fixture
def nf(capsys, tmp_path, monkeypatch):
    """Run a command line in an empty folder: `(exit code, standard output, standard error)`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY)
    (tmp_path / "wrong.yaml").write_text(TINY.replace("summary:", "sumary:"))
    (tmp_path / "file").write_text("a regular file")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "tiny").write_text("a regular file")

    def run(*arguments):
        return run_command(capsys, *arguments)

    return run
