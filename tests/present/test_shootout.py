"""The tables of the shootout: verdict, speed and quality of every posterior, and what families cannot do."""

import json

import pytest
from support.synthetic import Plan, figure3
from support.synthetic_verdicts import verdict

import nfbench
from nfbench.analysis.shootout import shootouts
from nfbench.cli.app import main
from nfbench.present.report.chapter import chapter
from nfbench.present.tables import shootout
from nfbench.records.store import write
from nfbench.records.verdicts import write as write_verdict

KLS = {"planar": {2: 0.3, 8: 0.2}, "radial": {2: 0.5, 8: -0.4}}
SECONDS = {"planar:K=2": 1.0, "planar:K=8": 8.0, "radial:K=2": 2.0, "radial:K=8": 3.0}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Four posteriors on two targets, with seconds; the quickest passes, another one fails, two are not verified."""
    root = tmp_path_factory.mktemp("results")
    plan = Plan(root, experiment="shootout", seeds=3, diverged={("u1", "planar:K=8", 1)})
    for record in figure3(plan, targets=("u1", "u2"), kls=KLS):
        seconds = SECONDS[record.cell.posterior]
        curves = {"step": [0.0, 1000.0, 2000.0, 4000.0], "free_energy": [9.0, 5.0, 1.0, 0.0]}
        again = record.model_copy(
            update={"training_seconds": seconds, "curves": curves, "digest": None, "arrays": None}
        )
        write(root, again)
    write_verdict(root, verdict("planar:K=2", lacking={"one_dimension": "dim=1: expected 2"}, order=1))
    write_verdict(root, verdict("radial:K=8", failed=["ln|det|", "finite"], absent=["round trip"], order=2))
    write_verdict(root, verdict("planar:K=8", library="zuko 0.1"))
    return root


@pytest.fixture(scope="module")
def tables(root):
    results = nfbench.results(root)
    return shootout.tables(results, results.frame)


def cells(table, column):
    """By posterior and K the cells of a column."""
    return {(row[0], row[1]): row[table.head.index(column)] for row in table.rows}


def test_a_row_has_verdict_speed_and_quality(root, tables):
    """Medians over seeds at the end; verdicts of the same library only; seconds and their ratio to the median's."""
    end = tables[0]
    assert list(cells(end, "verdict").values()) == ["passed", "not verified", "not verified", "2 failed"]
    assert list(cells(end, "s").values()) == ["1.00", "8.00", "2.00", "3.00"]
    assert list(cells(end, "times the median").values()) == ["0.400", "3.20", "0.800", "1.20"]
    assert list(cells(end, "not done").values()) == ["", "1", "", ""]
    frame = nfbench.results(root).frame
    median = frame[(frame["posterior"] == "planar:K=2") & (frame["target"] == "u1")]["kl"].median()
    assert end.rows[0][3] == f"{median:.3f}"


def test_equal_seconds_are_read_off_the_curve(root, tables):
    """Who was done by the median time of 2.5 s keeps the end; of 8 s that is after 1,000 or 2,000 of 4,000 updates."""
    same = tables[1]
    assert "in equal seconds" in same.title
    assert same.rows[0][3] == tables[0].rows[0][3]
    (all_of_it,) = shootouts(nfbench.results(root), nfbench.results(root).frame)
    slow = all_of_it.runners[1]
    assert slow.courses[0].same == pytest.approx(5.0 + slow.row["log_z"])


def test_a_divergence_below_zero_is_not_the_best(tables):
    """A wrong ln q gives one; the best of the others is marked."""
    end = tables[0]
    assert [row for (row, column), mark in end.marks.items() if column == 3 and mark == "best"] == [1]


def test_a_refuted_posterior_is_not_the_best(tmp_path):
    """However low its values are, the mark is another one's."""
    for record in figure3(
        Plan(tmp_path, experiment="shootout", seeds=1), targets=("u1",), kls={"planar": {2: 0.3, 8: 0.01}}
    ):
        write(tmp_path, record.model_copy(update={"training_seconds": 1.0, "digest": None, "arrays": None}))
    write_verdict(tmp_path, verdict("planar:K=8", failed=["ln|det|", "E_q[p/q] = 1"], size=0.5, label="Planar flow"))
    results = nfbench.results(tmp_path)
    end, *_ = shootout.tables(results, results.frame)
    assert list(cells(end, "verdict").values()) == ["not verified", "refuted, 2 failed"]
    assert [row for (row, column), mark in end.marks.items() if column == 3 and mark == "best"] == [0]


def test_what_families_cannot_do(root, tables):
    """One row a verdict: failed checks, what was tried in vain, and checks that do not apply though they do to most."""
    last = tables[-1]
    assert last.title == "What families cannot do: 2 of 3 pass every check of nfbench verify"
    by_label = {row[0]: row[1:5] for row in last.rows}
    assert by_label["planar:K=2"] == ["passed", "—", "have one dimension", "—"]
    assert by_label["radial:K=8"] == ["2 failed", "ln|det|, finite", "—", "round trip"]
    assert "nfbench 0.1.0 at abcdef0123, torch 2.13.0" in last.protocol


def printed(capsys, root, *words):
    """What ``nfbench table`` prints."""
    with pytest.raises(SystemExit) as caught:
        main(["table", *words, "--results", str(root)])
    assert caught.value.code == 0
    return capsys.readouterr().out


def test_the_command_prints_them(root, capsys):
    """`table shootout` begins with them, unless it is narrowed; `table verdicts` has the last one in every format."""
    assert printed(capsys, root, "shootout").startswith("### shootout, profile quick, own records: at equal updates")
    assert "equal updates" not in printed(capsys, root, "shootout", "--filter", "target=u1")
    rows = json.loads(printed(capsys, root, "verdicts", "--format", "json"))
    data = {row["posterior"]: row for row in rows if row["library"] is None}
    assert data["radial:K=8"]["failed"] == "ln|det|; finite"
    assert data["planar:K=2"]["cannot"] == "have one dimension (dim=1: expected 2)"
    assert "radial" not in printed(capsys, root, "verdicts", "--filter", "verdict=passed")


def test_no_verdict_is_one_line(tmp_path):
    """Without stored verdicts the message names the command that writes them."""
    (tmp_path / "results").mkdir()
    with pytest.raises(nfbench.InputError, match="no stored verdicts; expected what 'nfbench verify --libraries"):
        nfbench.results(tmp_path / "results").table("verdicts")


def test_its_chapter_of_the_report_begins_with_them(root, tmp_path, monkeypatch):
    """The usual table of every target follows."""
    monkeypatch.setattr("nfbench.present.report.chapter.saved", lambda *_: [])  # no pictures
    titles = [table.title for table in chapter(nfbench.results(root), tmp_path, "shootout").tables]
    assert ["equal updates" in titles[0], "equal seconds" in titles[1], "cannot do" in titles[2]] == [True] * 3
    assert titles[3] == "shootout, profile quick, own records"
