"""The README's code runs as it stands, and its commands exist."""

import re
from pathlib import Path

import pytest
import torch

from nfbench.analysis.timings import timed
from nfbench.present.tables import timings
from nfbench.present.tables.experiment import table
from nfbench.records import frame, store

PAGE = Path(__file__).parents[1] / "README.md"


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_python_example(monkeypatch):
    """The Python block runs from the repository's root, and its last line has one row for every committed record."""
    monkeypatch.chdir(PAGE.parent)
    (block,) = _blocks("python")
    space: dict = {}
    with torch.random.fork_rng():
        exec(compile(block, "README.md", "exec"), space)
    assert space["z"].shape == (1, 100, 40)
    stored = [file for file in Path("results/reference").glob("*/*.json") if file.parent.name != store.TIMING]
    assert len(space["frame"]) == len(stored) > 0


def test_numbers_are_those_of_the_records():
    """Every row of the README's table stands so, cell by cell, in the table of the committed records."""
    stored = table(frame.results(PAGE.parent / "results" / "reference"), "figure3", "md")
    rows = [_cells(line) for line in stored.splitlines() if line.startswith("| U1 ")]
    assert rows
    text = PAGE.read_text().split("| posterior |")[1].split("\n\n")[0]
    ours = [_cells(line) for line in text.splitlines()[2:]]
    assert ours == [[row[1], row[2], row[3], *row[-3:]] for row in rows]


@pytest.mark.parametrize("name", ["table2", "table3"])
def test_image_results_are_those_of_the_records(name):
    """Every row of the README's tables of image experiments stands so, column by column, in the records' table."""
    stored = table(frame.results(PAGE.parent / "results" / "reference"), name, "md").split("\n### ")[0]
    lines = [_cells(line) for line in stored.splitlines() if line.startswith("|")]
    found = [dict(zip(lines[0], cells, strict=True)) for cells in lines[2:]]
    text = PAGE.read_text().split(f"<!-- {name} -->\n")[1].split("\n\n")[0]
    head, _, *rows = [_cells(line) for line in text.splitlines()]
    assert len(rows) >= 4
    for row in rows:
        ours = dict(zip(head, row, strict=True))
        assert any(ours.items() <= one.items() for one in found), row


def test_times_are_those_of_the_records():
    """Every row of the README's tables of times stands so, cell by cell, in the tables of the committed records."""
    stored = [_cells(line) for line in timings.table(timed(PAGE.parent / "results"), "md").splitlines() if "|" in line]
    heads = [cells for cells in stored if cells[0] == "Posterior"]
    texts = [part.split("\n\n")[0] for part in PAGE.read_text().split("| Posterior | amortized |")[1:]]
    assert len(texts) == 3
    for text in texts:
        head, _, *rows = [_cells(line) for line in ("| Posterior | amortized |" + text).splitlines()]
        assert len(rows) > 2
        for row in rows:
            same = [cells for cells in stored if cells[:6] == row[:6]]
            found = [
                dict(zip(names, cells, strict=True)) for names in heads for cells in same if len(names) == len(cells)
            ]
            cells = list(zip(head, row, strict=True))  # a column that the records' table lacks is a dash
            assert any(all(one.get(name, "—") == cell for name, cell in cells) for one in found), row


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_commands_exist():
    """Every `nfbench` command in the README is one, with options that it has."""
    from typer.main import get_command

    from nfbench.cli.app import app

    commands = get_command(app).commands
    lines = [line.partition("#")[0] for block in _blocks("") for line in block.splitlines()]
    used = [line.split() for line in lines if line.startswith("nfbench ")]
    assert used
    for words in used:
        options = {option for parameter in commands[words[1]].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options


@pytest.mark.parametrize("target", ["reproduce", "test"])
def test_make_targets_exist(target):
    """The two commands at the top are targets of the Makefile."""
    assert f"make {target}" in PAGE.read_text().split("##")[0]
    assert re.search(rf"^{target}:", (PAGE.parent / "Makefile").read_text(), re.MULTILINE)


def test_pictures_are_there():
    """Every picture and page that the README links to in this repository exists."""
    links = [link for link in re.findall(r"\]\(([^)#]+)", PAGE.read_text()) if "://" not in link]
    assert links
    assert [link for link in links if not (PAGE.parent / link).exists()] == []
