"""The documentation's examples run, its commands exist, its links lead somewhere, its numbers are the records'."""

import re

import pytest
import torch
from support.pages import PAGES, README, REFERENCE, ROOT, blocks, cells, commands, name_of, table

import nfbench
from nfbench.targets.posteriordb.model import MODELS

DOCS = ROOT / "docs"
ROOMS = [path for path in (ROOT / "nfbench").iterdir() if path.is_dir()]
EVERY = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *PAGES]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name_of)
def test_the_python_of_a_page_runs(page, monkeypatch, tmp_path):
    """The Python blocks of a page run one after the other, in a folder that has the committed records."""
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "reference").symlink_to(REFERENCE)
    monkeypatch.chdir(tmp_path)
    space: dict = {"__name__": "page"}
    with torch.random.fork_rng():
        for block in blocks(page, "python"):
            exec(compile(block, name_of(page), "exec"), space)


def test_commands_exist():
    """Every command of a page is one, with options that it has, and every make target is in the Makefile."""
    from typer.main import get_command

    from nfbench.cli.app import app

    top = get_command(app)
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    used = [(page, command.split()) for page in EVERY for command in commands(page)]
    assert len(used) > 20
    for page, (program, *words) in used:
        if program == "make":
            assert words[0] in targets, (name_of(page), words)
            continue
        command = top
        while hasattr(command, "commands"):
            assert words[0] in command.commands, (name_of(page), words)
            command, words = command.commands[words[0]], words[1:]
        options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        assert {word for word in words if word.startswith("--")} <= options, (name_of(page), words)


SPECIAL = re.compile(r"[|&;<>()$`*?\[\]{}!~#\"']")  # a shell acts on these where nothing quotes them


def bare(line):
    """A line of a shell block without its comment, and without what is quoted."""
    return re.sub(r"'[^']*'|\"[^\"]*\"", "quoted", re.sub(r"(^|\s)#.*", "", line)).replace("\\\n", " ")


@pytest.mark.parametrize("page", EVERY, ids=name_of)
def test_commands_survive_a_shell(page):
    """Pasted into a shell, every word of a command reaches the program: what a shell acts on is quoted."""
    for block in blocks(page, "sh"):
        for command in (part.strip() for line in bare(block).splitlines() for part in line.split("&&")):
            assert not SPECIAL.search(command), (name_of(page), command)


def specs(text):
    """What a user may copy from a text and type after a command: specs and lists of numbers with a bar in them."""
    return re.findall(r"[\w:=,.-]*\w\|\w[\w:=,.|-]*", re.sub(r"'[^'\s]*'", "", text))


def test_helps_quote_what_a_shell_acts_on():
    """Every example with a bar in the help of a command is quoted, so that it can be typed as it stands."""
    from typer.main import get_command

    from nfbench.cli.app import app

    pending, helps = [get_command(app)], []
    while pending:
        command = pending.pop()
        pending += getattr(command, "commands", {}).values()
        helps += [command.help or "", *(getattr(parameter, "help", None) or "" for parameter in command.params)]
    assert len(helps) > 60
    assert [text for text in helps if specs(text)] == []


@pytest.mark.parametrize("page", EVERY, ids=name_of)
def test_links_lead_somewhere(page):
    """Every picture and file of the repository that a page links to exists."""
    links = [link for link in re.findall(r"\]\(([^)#]+)", page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_named_files_exist():
    """Every file or folder that a page names, from the repository's root or from the package's, is there."""
    named = {
        (page, path)
        for page in [README, ROOT / "CONTRIBUTING.md", *PAGES]
        for path in re.findall(r"`((?:[\w.]+/)+(?:[\w.]+\.\w+)?)`", page.read_text())
        if path.split("/")[0] in {"nfbench", "tests", "docs", "reports", *(room.name for room in ROOMS)}
    }
    assert len(named) > 20
    example = "nfbench/posteriors/families/cholesky.py"  # which a reader writes
    missing = [
        (name_of(page), path)
        for page, path in sorted(named)
        if path != example and not (ROOT / path).exists() and not (ROOT / "nfbench" / path).exists()
    ]
    assert missing == []


def test_every_page_is_in_the_contents():
    """Each page stands in a table of contents."""
    listed = {
        (page.parent / line.strip()).with_suffix(".md").resolve()
        for page in PAGES
        for block in re.findall(r"^```\{toctree\}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
        for line in block.splitlines()
        if line and not line.startswith(":")
    }
    assert [page for page in PAGES if page not in listed and page != DOCS / "index.md"] == []


def _stored(name, profile):
    """Lines of cells of the committed records' table of an experiment at one profile."""
    blocks = nfbench.results(REFERENCE).table(name).split("### ")
    stored = next(block for block in blocks if block.startswith(f"{name}, profile {profile}, own"))
    return [cells(line) for line in stored.splitlines() if line.startswith("|")]


@pytest.mark.parametrize(("profile", "mark"), [("quick", "figure3"), ("paper", "figure3 paper")])
def test_figure_3_is_that_of_the_records(profile, mark):
    """The page's tables of U1 are those of the committed records, row by row and cell by cell."""
    rows = [row for row in _stored("figure3", profile) if row[0] == "U1"]
    _, *shown = table((DOCS / "paper.md").read_text(), f"<!-- {mark} -->\n")
    assert shown == [[row[1], row[2], row[3], *row[-3:]] for row in rows]
    assert shown


@pytest.mark.parametrize(
    ("name", "profile", "mark"),
    [("table2", "standard", "table2"), ("table2", "full", "table2 full"), ("table3", "standard", "table3")],
)
def test_image_results_are_those_of_the_records(name, profile, mark):
    """Every row of the page's tables of image experiments stands so, column by column, in the records' table."""
    names, _, *lines = _stored(name, profile)
    records = [dict(zip(names, line, strict=True)) for line in lines]
    head, *rows = table((DOCS / "paper.md").read_text(), f"<!-- {mark} -->\n")
    assert rows
    for row in rows:
        shown = dict(zip(head, row, strict=True))
        assert any(shown.items() <= record.items() for record in records), row


def test_claims_are_those_of_the_records():
    """The page's table of the paper's claims is the one that the committed records give, cell by cell."""
    stored = [cells(line) for line in nfbench.results(REFERENCE).table("claims").splitlines() if line.startswith("|")]
    shown = table((DOCS / "reproduced.md").read_text(), "<!-- claims -->\n")
    assert shown == [stored[0], *stored[2:]]


def test_times_are_those_of_the_records():
    """Every row of the page's tables of times stands so, cell by cell, in the tables of the committed records."""
    stored = [cells(line) for line in nfbench.results(ROOT / "results").table("timing").splitlines() if "|" in line]
    heads = [line for line in stored if line[0] == "Posterior"]
    records = [dict(zip(names, line, strict=True)) for names in heads for line in stored if len(names) == len(line)]
    text = (DOCS / "speed.md").read_text()
    marks = re.findall(r"<!-- times.*? -->\n", text)
    assert len(marks) == 3
    for mark in marks:
        head, *rows = table(text, mark)
        assert len(rows) > 2
        for row in rows:
            shown = list(zip(head, row, strict=True))  # a column that the records' table lacks is a dash
            assert any(all(record.get(name, "—") == cell for name, cell in shown) for record in records), row


def test_the_table_of_steins_identity_is_complete_and_below_four():
    """Every posterior of posteriordb has a row on its page, with its largest deviations below four standard errors."""
    lines = (ROOT / "docs" / "posteriordb.md").read_text().splitlines()
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines if re.match(r"\| [\w]+-\w+ \|", line)
    ]
    assert [row[0] for row in rows] == MODELS.names()
    assert max(float(z) for row in rows for z in row[-2:]) < 4
