"""Tables and pictures of who beats whom: on the command line, in Python and in every format."""

import io
import json

import pandas as pd
import pytest
from rich.console import Console
from support.commands import run_command
from support.comparable import compared_block
from support.synthetic import Plan, figure3

import nfbench
from nfbench.foundation.errors import InputError
from nfbench.present.plots import comparisons as plots
from nfbench.present.plots.looks import looks
from nfbench.present.tables import comparisons, terminal


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    figure3(Plan(root, seeds=4, diverged={("u1", "radial:K=8", 1)}), targets=("u1", "u2"))
    return root


@pytest.fixture(scope="module")
def results(root):
    return nfbench.results(root)


def run(capsys, *words):
    """Run a command line: its exit code, what it printed and what it said."""
    return run_command(capsys, *words)


def test_the_table_says_what_the_data_say(results):
    """Each line of the table has the difference, the tests and the verdict of its row in the data."""
    compared = results.against("figure3", "planar")
    (table,) = compared.tables
    data = results.comparisons("figure3", "planar")
    assert len(table.rows) == len(data) == 2 * 9
    for line, row in zip(table.rows, data.to_dict("records"), strict=True):
        cells = dict(zip(table.head, line, strict=True))
        assert cells["verdict"] == row["verdict"]
        assert cells["p (Holm)"] == comparisons.p_value(row["p_holm"])
        assert cells["difference of KL (nats)"].startswith(f"{row['mean']:+.3f}")
    diverged = data.query("target == 'u1' and posterior == 'radial:K=8'").iloc[0]
    assert (diverged["pairs"], diverged["diverged"]) == (4, 1)
    assert any("4 (1 diverged)" in line for line in table.rows)


def test_the_ranking_says_what_the_data_say(results):
    """The first of the ranking has the lowest mean rank and nothing to be compared with; a diverged run is counted."""
    (table,) = results.ranked("figure3").tables
    data = results.ranking("figure3")
    assert table.rows[0][0] == "Planar flow"
    assert [line[2] for line in table.rows] == [f"{rank:.2f}" for rank in data["rank"]]
    assert data["rank"].is_monotonic_increasing
    assert table.rows[0][-2] == "—" != table.rows[1][-2]
    assert "8 (1 diverged)" in {line[-1] for line in table.rows}
    other = results.ranking("figure3", against="radial:K=8")
    assert set(other["base"]) == {"radial:K=8"}
    assert other["improvement"].iloc[0] > 0.9


@pytest.mark.parametrize("words", [("table", "figure3", "--against", "planar:K=8"), ("rank", "figure3")])
def test_every_format_and_choice_works(root, capsys, words):
    """Text fits the terminal's width, data have a row a comparison, and filters, columns and orders are obeyed."""
    code, out, err = run(capsys, *words, "--results", root, "--format", "csv", "--filter", "K>=8")
    assert (code, err) == (0, "")
    data = pd.read_csv(io.StringIO(out))
    assert set(data["K"]) == {8, 32}
    code, out, _ = run(capsys, *words, "--results", root, "--format", "json", "--filter", "K=32")
    assert len(json.loads(out)) == (data["K"] == 32).sum()
    code, out, _ = run(capsys, *words, "--results", root, "--format", "md", "--columns", "p (Holm)", "--sort", "-p (")
    assert out.splitlines()[4].endswith("| p (Holm) |")
    assert run(capsys, *words, "--results", root, "--format", "latex")[0] == 0
    code, out, _ = run(capsys, *words, "--results", root, "--format", "text", "--filter", "K=8", "-v")
    assert code == 0
    assert "Holm's method" in out


def test_the_verdict_is_shown_at_eighty_characters(results):
    """On a usual terminal the verdict stands beside the difference, broken at its blanks where it is long."""
    stream = io.StringIO()
    terminal.show(results.against("figure3", "planar").tables, Console(file=stream, width=80, highlight=False))
    assert any("verdict" in line for line in stream.getvalue().splitlines()[1:5])
    assert max(map(len, stream.getvalue().splitlines())) <= 80


@pytest.mark.parametrize("width", [40, 80, 120])
def test_text_is_never_wider_than_the_terminal(results, width):
    """Neither table has a line that is wider."""
    stream = io.StringIO()
    console = Console(file=stream, width=width, highlight=False, markup=False)
    terminal.show([*results.against("figure3", "planar").tables, *results.ranked("figure3").tables], console)
    assert max(map(len, stream.getvalue().splitlines())) <= width


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("table figure3 --against plnar", "did you mean planar"),
        ("table figure3 --against planar --metric k1", "no metric named 'k1'"),
        ("table figure3 --against planar --margin 0", "margin 0: expected a number above 0"),
        ("table figure3 --against planar --margin nan", "margin nan: expected a number above 0"),
        ("table figure3 --margin 0.1", "expected --against"),
        ("table figure3 --against planar --filter K>99", "no row has K>99"),
        ("rank figure3 --columns kll", "'kll'"),
        ("rank figure3 --columns ,", "expected names of columns"),
        ("rank figure3 --targets random", "expected at least 5"),
        ("rank figure3 --against planar", "no posterior named 'planar' in the ranking"),
        ("rank timing", "expected an experiment"),
    ],
)
def test_wrong_input_is_one_line(root, capsys, words, said):
    """Exit code 2, nothing printed, one line that names what is wrong."""
    code, out, err = run(capsys, *words.split(), "--results", root)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err


def test_python_refuses_wrong_types(results):
    """A metric, margin or word that is of another type is named."""
    for wrong in ({"metric": 1}, {"margin": "0.1"}):
        with pytest.raises(InputError, match="comparisons: m"):
            results.comparisons("figure3", "planar", **wrong)
    with pytest.raises(InputError, match="ranking: targets=None"):
        results.ranking("figure3", targets=None)


def block(seeds=3, targets=3):
    """A block in which a and b are alike and c is worse by far."""
    values = {"a": [0.1 + 0.01 * seed for seed in range(seeds)], "b": [0.1 + 0.01 * seed for seed in range(seeds)]}
    return compared_block({f"t{place}": values | {"c": [9.0] * seeds} for place in range(targets)})


def test_the_picture_of_ranks_joins_what_no_test_tells_apart():
    """Two equal posteriors are joined by one bar, and the caption says by which test; a profile stands beside."""
    profile, ranks, _ = plots.pictures(block(), looks("abc"))
    (axis,) = ranks.figure.axes
    bars = [line for line in axis.lines if line.get_linewidth() == 3]
    assert [list(bar.get_ydata()) for bar in bars] == [[-0.25, 1.25]]
    assert "signed-rank test at 5 %, adjusted by Holm's method over all 3 pairs" in ranks.caption
    lines = {line.get_label(): line.get_ydata() for line in profile.figure.axes[0].lines}
    assert lines["C"][-1] == 1.0
    assert max(lines["C"][: len(lines["C"]) // 2]) == 0.0


def test_ranks_are_drawn_with_how_often_each_was_taken():
    """Of two equal posteriors both have rank 1.5 in all nine blocks; a rank that was taken twice has twice the area."""
    values = {"a": [0.1, 0.2, 0.3], "b": [0.2, 0.3, 0.1], "c": [9.0] * 3}
    *_, ranks, _ = plots.pictures(compared_block({"t1": values, "t2": values}), looks("abc"))
    (axis,) = ranks.figure.axes
    discs = {each.get_gid(): (each.get_offsets()[:, 0].tolist(), each.get_sizes()) for each in axis.collections}
    taken, areas = discs["shares a"]
    assert taken == [1.0, 2.0]
    assert areas[0] == pytest.approx(2 * areas[1])
    assert discs["shares c"][0] == [3.0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["A  1.33", "B  1.67", "C  3.00"]


def test_the_picture_of_wins_says_who_beats_whom():
    """C loses to a and b in every run, which a test shows; a and b win half each, which none does."""
    *_, wins = plots.pictures(block(), looks("abc"))
    shares = wins.figure.axes[0].images[0].get_array()
    assert shares.filled(-1.0).tolist() == [[-1.0, 0.5, 1.0], [0.5, -1.0, 1.0], [0.0, 0.0, -1.0]]
    (dots,) = [line for line in wins.figure.axes[0].lines if line.get_gid() == "apart"]
    assert sorted(zip(*dots.get_data(), strict=True)) == [(0, 2), (1, 2), (2, 0), (2, 1)]
    assert "2 of 3 pairs do" in wins.caption


def test_no_picture_where_nothing_can_be_ranked():
    """One target has neither picture; two seeds on two targets are too few for a test, and have no ranks."""
    assert list(plots.pictures(block(targets=1), looks("abc"))) == []
    assert [picture.name for picture in plots.pictures(block(2, 2), looks("abc"))] == ["profile"]


def test_a_report_compares_only_what_can_be_read():
    """Several targets have a ranking and all against its first, one target the latter only, large blocks neither."""
    tables = comparisons.of_report(block())
    assert [table.title.rpartition(": ")[2] for table in tables] == ["ranking", "against a"]
    assert [table.folded for table in tables] == [False, True]
    assert [table.folded for table in comparisons.of_report(block(targets=1))] == [True]
    many = compared_block({f"t{j}": {f"p{i}": [0.1, 0.2] for i in range(31)} for j in range(10)})
    assert [table.title.rpartition(": ")[2] for table in comparisons.of_report(many)] == ["ranking"]
    assert comparisons.of_report(compared_block({f"p{i}": [0.1, 0.2] for i in range(61)})) == []
    assert comparisons.of_report(compared_block({"a": [1.0], "b": [2.0]}, metric="entropy")) == []
