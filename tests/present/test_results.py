"""Results as Python users have them: tables, pictures and statistics as on the command line, each file read once."""

import os
from collections import Counter
from pathlib import Path

import pytest
from support.synthetic import Plan, digits, figure1, figure3
from support.synthetic_images import TABLE3, of_images
from support.synthetic_timings import timing

import nfbench
from nfbench.analysis.summary import summary
from nfbench.cli.app import main
from nfbench.foundation.errors import InputError
from nfbench.present.report.build import report
from nfbench.present.tables import experiment, timings


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    figure3(Plan(root, seeds=2), targets=("u1",))
    figure3(Plan(root / "reference", seeds=2), targets=("u1",))
    digits(Plan(root, seeds=1))
    figure1(Plan(root, seeds=1))
    of_images(Plan(root, seeds=1), TABLE3)
    for depth in (2, 8, 32):
        timing(root, case={"posterior": f"planar:K={depth}"})
        timing(root, "zuko", 4.0, {"posterior": f"planar:K={depth}"})
    return root


@pytest.fixture(scope="module")
def results(root):
    return nfbench.results(root)


@pytest.fixture
def reads(monkeypatch):
    """How often each file of records was read since, by its path."""
    counts = Counter()
    original = os.open

    def counted(file, *arguments, **options):
        counts.update([Path(file)] if str(file).endswith((".json", ".npz")) else [])
        return original(file, *arguments, **options)

    monkeypatch.setattr(os, "open", counted)
    return counts


def run(*words):
    """Run a command line; its exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return ended.value.code


@pytest.mark.parametrize("command", ["table figure3", "table timing", "plot figure3", "plot table3", "report"])
def test_a_command_reads_no_record_twice(root, tmp_path, reads, capsys, command):
    """Tables, pictures with curves and arrays, and the whole report: every file of records is read at most once."""
    out = ["--out", tmp_path / "out"] if "table " not in command else []
    assert run(*command.split(), "--results", root, *out) == 0
    assert set(reads.values()) == {1}
    stored = {file for file in root.rglob("*.json") if command != "table timing" or file.parent.name == "timing"}
    stored -= {file for file in root.rglob("timing/*.json") if command not in ("table timing", "report")}
    assert {file for file in reads if file.suffix == ".json"} == stored
    assert capsys.readouterr().err == ""


def test_what_reproduce_shows_reads_no_record_twice(root, tmp_path, reads, capsys):
    """The tables, verdicts and the report at the end of `reproduce` are of one reading."""
    from nfbench.cli.show import show

    show(["figure3", "digits"], "quick", root, tmp_path / "out")
    assert set(reads.values()) == {1}
    assert {file for file in reads if file.suffix == ".json"} == set(root.rglob("*.json"))


def test_tables_are_those_of_the_command_line(results, root, capsys):
    """By the name of an experiment, of a figure, or of the timings, in each format."""
    for name in ("figure3", "digits", "timing"):
        for fmt in ("md", "latex", "csv", "json"):
            assert run("table", name, "--results", root, "--format", fmt) == 0
            assert capsys.readouterr().out == results.table(name, fmt) + "\n"
    assert results.table("figure3") == experiment.table(results.frame, "figure3", "md")
    assert results.table("timing", "csv") == timings.table(results.timings, "csv")


def test_summary_is_that_of_all_records(results):
    """One row a configuration of the frame."""
    assert results.summary().equals(summary(results.frame))
    assert len(results.summary()) == results.frame.groupby(["source", "experiment", "posterior", "target"]).ngroups


def test_plots_are_written_where_asked(results, tmp_path):
    """The files that are named are there, of an experiment and of timings, once each; text is a path too."""
    files = results.plot("digits", out=str(tmp_path / "figures"), formats=["png", "svg", "png"])
    files += results.plot("timing", out=tmp_path / "figures")
    assert sorted(files) == sorted((tmp_path / "figures").iterdir())
    assert {file.name.partition("-")[0] for file in files} == {"digits", "timing"}


def test_a_part_is_shown_alone(results, tmp_path):
    """Tables, timings and the report of narrowed results have nothing of the rest."""
    part = results.narrowed(results.frame.query("experiment == 'digits'")["id"])
    assert part.timings.empty
    assert part.table("digits") == results.table("digits")
    with pytest.raises(InputError, match=r"no records of experiment 'figure3'.*: digits"):
        part.table("figure3")
    assert '<section id="figure3">' not in report(part, tmp_path / "out").read_text()


def test_a_notebook_shows_a_short_escaped_table(tmp_path):
    """The line of `repr`, one row a configuration up to twenty, and nothing of a record is markup."""
    figure3(Plan(tmp_path, seeds=2, profile="<b>quick</b>"))
    results = nfbench.results(tmp_path)
    page = results._repr_html_()
    assert page.startswith("<p>&lt;Results &#x27;")
    assert "96 records: 96 of figure3" in page
    assert "<b>" not in page
    assert page.count("<tr>") == 1 + 20
    assert "and 28 more configurations" in page
    assert "<td>Planar flow</td><td>2</td><td>2</td><td>KL (nats)</td><td>0." in page


def test_a_notebook_shows_a_folder_without_records(tmp_path):
    """No table, no error."""
    assert nfbench.results(tmp_path)._repr_html_() == f"<p>&lt;Results &#x27;{tmp_path}&#x27;: 0 records&gt;</p>"


@pytest.mark.parametrize(
    ("ask", "line"),
    [
        (lambda results: results.table("figure9"), "no records of experiment 'figure9'"),
        (lambda results: results.table("digits", "word"), "no table format named 'word'; known: md, latex, csv, json"),
        (lambda results: results.plot("figure9"), "no records of experiment 'figure9'"),
        (lambda results: results.narrowed([]).table("timing"), "no timing records under"),
        (lambda results: results.narrowed([]).plot("timing"), "no timing records under"),
        (lambda _: nfbench.results(None), "results folder None: expected a path"),
        (lambda _: nfbench.results("/nowhere/at/all"), "no results folder '/nowhere/at/all'"),
    ],
)
def test_bad_input_is_one_line(results, ask, line, tmp_path, monkeypatch):
    """Unknown names and formats, nothing timed, no folder: each is named, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=line) as refused:
        ask(results)
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []
