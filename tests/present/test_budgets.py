"""Tables at equal budgets: values from the stored curves, and what changes against the end."""

import numpy as np
import pytest
from support.synthetic import Plan, figure3

import nfbench
from nfbench.analysis.budgets import Budget, parse_budget
from nfbench.cli.app import main
from nfbench.foundation.errors import InputError
from nfbench.records.store import write

SECONDS = {"planar:K=2": 4.0, "planar:K=8": 8.0, "planar:K=32": 40.0}  # of a cell
END = {"planar:K=2": 0.3, "planar:K=8": 0.2, "planar:K=32": 0.1}  # KL of the last point; until then 2.0 + END


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Planar flows whose curves fall from 2 + KL to KL at 0.5, 1 and 2 thousand of their 4,000 updates."""
    root = tmp_path_factory.mktemp("results")
    kls = {"planar": {2: 0.3, 8: 0.2, 32: 0.1}}
    falls = {"planar:K=2": 500, "planar:K=8": 1000, "planar:K=32": 2000}
    for record in figure3(Plan(root, seeds=3, diverged={("u1", "planar:K=8", 1)}), targets=("u1", "u2"), kls=kls):
        name, steps = record.cell.posterior, np.arange(0, 4001, 100)
        values = np.where(steps >= falls[name], END[name], 2.0 + END[name]) - record.facts.log_z
        curves = {"step": steps.astype(float).tolist(), "free_energy": (values + 0.001 * record.cell.seed).tolist()}
        again = record.model_copy(update={"curves": curves, "seconds": SECONDS[name], "digest": None, "arrays": None})
        write(root, again)
    return root


@pytest.fixture(scope="module")
def results(root):
    return nfbench.results(root)


def reached(results, budget, target="u1"):
    """By posterior the row of a target."""
    data = results.at("figure3", budget).data
    return data[data["target"].str.startswith(target)].set_index("posterior")


def test_seconds_are_those_of_the_quickest(results):
    """After the 4 s of the quickest the others made half and a tenth of their updates; the order turns round."""
    rows = reached(results, "seconds")
    assert rows["budget"].tolist() == [4.0] * 3
    assert rows["step"].tolist() == [4000, 2000, 400]
    assert rows["at"].tolist() == pytest.approx([0.301, 0.201, 2.101], abs=1e-9)
    assert rows["end"].tolist() == pytest.approx([0.301, 0.201, 0.101], abs=1e-9)
    assert rows["rank_at"].tolist() == [2, 1, 3]
    assert rows["rank_end"].tolist() == [3, 2, 1]
    assert rows["seeds"].tolist() == [3, 2, 3]


def test_what_is_refuted_has_no_rank(root):
    """The others are ranked without it, and a note says why."""
    results = nfbench.results(root)
    results.frame = results.frame.assign(refuted=results.frame["posterior"] == "planar:K=8")
    rows = reached(results, "seconds")
    assert rows["rank_at"].fillna(0).tolist() == [1, 0, 2]
    shown = results.at("figure3", "seconds").text("md")
    assert "Without a rank, as nfbench verify found" in shown
    assert "| 1 (2) |" in shown


def test_updates_and_gradient_evaluations_are_the_same_where_draws_are(results):
    """1,000 updates of 256 draws are 256,000 gradient evaluations; before its fall a curve has its high value."""
    updates, gradients = (reached(results, text) for text in ("updates=1000", "gradient-evaluations=256000"))
    assert updates["at"].tolist() == gradients["at"].tolist() == pytest.approx([0.301, 0.201, 2.101], abs=1e-9)
    assert updates["step"].tolist() == [1000] * 3
    assert reached(results, "updates=999")["step"].tolist() == [900] * 3
    assert gradients["spent"].tolist() == [4000 * 256] * 3


def test_of_each_family_the_largest_member_within_the_parameters(results):
    """With room for 50 numbers K = 8 (44) is taken, beside the metric of the largest; with 13 none is."""
    rows = reached(results, "parameters=50")
    assert rows.index.tolist() == ["planar:K=8"]
    summary = results.summary().query("target == 'u1'").set_index("posterior")["kl"]
    assert rows["at"].iloc[0] == pytest.approx(summary["planar:K=8"])
    assert rows["end"].iloc[0] == pytest.approx(summary["planar:K=32"])
    with pytest.raises(InputError, match="no record has a value within it"):
        results.at("figure3", "parameters=13")


def test_the_table_shows_what_changes(root, capsys):
    """Both values, the rank with the other one in brackets, the updates, and how a cut training is to be read."""
    with pytest.raises(SystemExit) as ended:
        main(["table", "figure3", "--results", str(root), "--at", "seconds", "--filter", "target=u1"])
    text, err = capsys.readouterr()
    assert (ended.value.code, err) == (0, "")
    line = next(line for line in text.splitlines() if "| 32 |" in line)
    assert [cell.strip() for cell in line.strip("|").split("|")][3:] == [
        *("2.101 ± 0.002", "0.101 ± 0.002", "3 (1)", "400", "3", "40.0")
    ]
    assert "At 4 seconds" in text
    assert "least that any configuration" in text
    assert "1 cell diverged" in text
    assert "not one that was planned to be that short" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--at hours", "no budget named 'hours'"),
        ("--at second", "did you mean seconds?"),
        ("--at seconds=-1", "expected seconds, or seconds=AMOUNT"),
        ("--at seconds=", "expected seconds, or seconds=AMOUNT"),
        ("--at seconds=0", "a number above 0"),
        ("--at parameters=1", "no record has a value within it"),
        ("--at updates --against planar", "without --at"),
        ("--at updates --margin 0.1", "without --metric"),
    ],
)
def test_wrong_budgets_are_one_line(root, capsys, words, said):
    """Exit code 2 and one line that says what was expected."""
    with pytest.raises(SystemExit) as ended:
        main(["table", "figure3", "--results", str(root), *words.split()])
    out, err = capsys.readouterr()
    assert (ended.value.code, out, err.count("\n")) == (2, "", 1)
    assert said in err


def test_budgets_in_words():
    """A kind alone has no amount; an amount may have a power of ten."""
    assert parse_budget("gradient-evaluations") == Budget("gradient-evaluations")
    assert parse_budget(" seconds=1.5e1 ") == Budget("seconds", 15.0)


def test_a_training_that_ended_early_has_spent_what_it_made(results, tmp_path):
    """Ended on evidence after half of the updates that were allowed: it spent these, and each cost twice as much."""
    for row in results.frame.query("target.str.startswith('u1') and status == 'done'").to_dict("records"):
        record = results.record(row)
        if record.cell.posterior == "planar:K=2":
            curves = {name: curve[:21] for name, curve in record.curves.items()}
            record = record.model_copy(update={"curves": curves, "digest": None})
        write(tmp_path, record)
    ended = nfbench.results(tmp_path)
    assert reached(ended, "updates=4000")["spent"].to_dict() == {
        "planar:K=2": 2000,
        "planar:K=8": 4000,
        "planar:K=32": 4000,
    }
    assert reached(ended, "gradient-evaluations")["budget"].tolist() == [2000 * 256] * 3
    assert reached(ended, "seconds=2")["step"].to_dict() == {"planar:K=2": 1000, "planar:K=8": 1000, "planar:K=32": 200}
    assert reached(ended, "seconds")["spent"].to_dict() == SECONDS


def test_families_that_follow_the_target_take_several_gradients_a_draw(results, tmp_path):
    """With four steps a draw takes six; a record from before they were counted has no row of this budget."""
    known = {"planar:K=2": {"target_gradients": 6}, "planar:K=8": {"auxiliary": True}}
    for row in results.frame.query("target.str.startswith('u1') and status == 'done'").to_dict("records"):
        record = results.record(row)
        facts = record.facts.model_copy(update=known.get(record.cell.posterior, {}))
        write(tmp_path, record.model_copy(update={"facts": facts, "digest": None}))
    rows = reached(nfbench.results(tmp_path), "gradient-evaluations=1e9")
    assert rows["spent"].to_dict() == {"planar:K=2": 6 * 4000 * 256, "planar:K=32": 4000 * 256}
