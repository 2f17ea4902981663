"""The README's code runs as it stands, its numbers are those of the records, and it stays short."""

import re

import pytest
import torch
import yaml
from support.pages import README, REFERENCE, ROOT, blocks, cells, table

import nfbench

TEXT = README.read_text()


def test_it_stays_short():
    """The README is one screen and a half."""
    assert len(TEXT.splitlines()) <= 80


def test_the_example_runs(monkeypatch, tmp_path):
    """The Python block fits a density that is not in the package, and finds the flow better than the Gaussian."""
    monkeypatch.chdir(tmp_path)
    (block,) = blocks(README, "python")
    space: dict = {"__name__": "readme"}
    with torch.random.fork_rng():
        exec(compile(block, "README.md", "exec"), space)
    assert space["z"].shape == (1000, 2)
    assert {"value", "se"} <= set(space["metrics"].columns)
    assert space["comparison"].best == "planar:K=8"


def test_numbers_are_those_of_the_records():
    """Every row of the README's table stands so, cell by cell, in the table of the committed records."""
    stored = nfbench.results(REFERENCE).table("figure3")
    rows = [cells(line) for line in stored.splitlines() if line.startswith("| U1 ")]
    records = [[row[1], row[2], row[3], *row[-3:]] for row in rows]
    _, *shown = table(TEXT, "| posterior | K | KL (nats)")
    assert len(shown) >= 5
    assert [row for row in shown if row not in records] == []


@pytest.mark.parametrize("target", ["reproduce", "test", "docs"])
def test_make_targets_exist(target):
    """The commands that the README names are targets of the Makefile."""
    assert f"make {target}" in TEXT
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_the_citation_is_of_this_version():
    """`CITATION.cff` can be read, and names the package, its version and its licence."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["version"], citation["license"]) == (nfbench.__version__, "MIT")
    assert citation["title"].startswith("nfbench")


@pytest.mark.parametrize("form", ["bug", "new-family", "wrong-number"])
def test_forms_of_issues_ask_for_something(form):
    """A form for issues has a name, a description, and questions with an id and a label, some of them required."""
    content = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / f"{form}.yml").read_text())
    assert content["name"]
    assert content["description"]
    assert all(question["id"] and question["attributes"]["label"] for question in content["body"])
    assert any(question.get("validations", {}).get("required") for question in content["body"])
