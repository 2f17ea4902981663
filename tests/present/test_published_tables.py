"""Tables beside published values: ours, theirs, the difference and a verdict, in every format."""

import io
import json
import re

import pandas as pd
import pytest
from support.compared import FIRST, PAPER, STATIC, TABLE3, compared
from support.synthetic import Plan, digits, figure3

from nfbench.foundation.errors import InputError
from nfbench.present.results import results as read
from nfbench.present.tables.experiment import everything, table, tables
from nfbench.specification.config import Evaluation

FORMATS = ("md", "latex", "csv", "json")


@pytest.fixture(scope="module")
def frame(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    figure3(Plan(root, seeds=2), targets=("u1",))
    digits(Plan(root, seeds=2))
    return read(root).frame


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    compared(Plan(root, "table2", "standard", seeds=2, spread=0.1))
    compared(Plan(root, "table3", "standard", seeds=2, spread=0.1), TABLE3, FIRST, dim=30)
    return read(root).frame


def rows(text):
    """Cells of the lines of Markdown tables."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


IMAGES = ("table2", "figure4", "table3")


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("name", IMAGES)
def test_published_values_print_no_nan(images, name, fmt):
    """Rows without a published number, cited rows and numbers without an error bar: no NaN and no None."""
    assert not re.search(r"\b(nan|none|<na>)\b", table(images, name, fmt), flags=re.IGNORECASE)


@pytest.mark.parametrize("name", IMAGES)
def test_every_line_has_its_columns(images, name):
    """Cells and heads agree in number in every table, cited rows and what others measured among them."""
    for found in everything(images[images["experiment"] == name.replace("figure4", "table2")], name):
        assert {len(row) for row in found.rows} == {len(found.head)}
        assert len(found.keys) == len(found.rows)
        assert found.leading <= len(found.head)


def test_table_2_says_ours_theirs_difference_and_verdict(images):
    """One row of Table 2, cell by cell: ours of two seeds, the paper's as printed with its error, and what follows."""
    head, _, *lines = rows(table(images, "table2", "md"))
    row = dict(zip(head, next(line for line in lines if line[:2] == ["Planar flow", "10"]), strict=True))
    assert head[:4] == ["Posterior", "K", "-ln p(x) (nats)", "free energy (nats)"]
    assert row["-ln p(x) (nats)"] == "88.500, 88.700"
    assert row["seeds"] == "2"
    assert row["the paper's (± s.e.)"] == "<= 87.5 ± 0.29"
    assert row["ours less the paper's"] == "+1.000, +1.200"
    assert row["verdict"] == "undecided, about 3 seeds needed"
    assert {"gap (nats)", "-ln p(x), long (nats)", "ESS (draws)", "k-hat above 0.7 (share)"} <= set(head)


def test_unpublished_family_has_a_row_without_a_verdict(images):
    """Radial flows on images: ours, and dashes where the paper has nothing."""
    row = next(row for row in rows(table(images, "table2", "md")) if row[0] == "Radial flow")
    assert row[2] == "89.600, 89.800"
    assert row[-3:] == ["—", "—", "—"]


def test_cited_rows_have_a_source_and_nothing_of_ours(images):
    """HVI and DARN: the printed value, who measured it, dashes for everything else."""
    found = [row for row in rows(table(images, "table2", "md")) if "cited" in row[-1]]
    assert [row[-3] for row in found] == ["88.08", "86.40", "85.51", "84.71", "84.13"]
    assert {row[-1] for row in found} == {"cited: Salimans et al. 2015", "cited: Gregor et al. 2014"}
    assert all(set(row[1:-3]) | {row[-2]} == {"—"} for row in found)
    assert "cited" not in table(images, "figure4", "md")


def test_what_others_measured_is_a_table_of_its_own(images):
    """Re-runs stand once, under the paper's table, with their sources, and are linked to no record."""
    *_, last = tables(images[images["experiment"] == "table2"], "table2")
    assert last.title == "table2: what others measured"
    assert last.head[3:] == ["K=0", "K=10", "K=20", "K=40", "K=80"]
    assert ["Pythae", "diagonal Gaussian", "-ln p(x) (nats)", "89.78 (0.01)", *["—"] * 4] in last.rows
    assert any(row[3:] == ["98.14", "93.48", "92.28", "91.34", "90.86"] for row in last.rows)
    assert any("andrehuang" in note for note in last.notes)
    assert last.leading == len(last.head)
    text = table(images, "table2", "md")
    assert text.count("98.14") == text.count("89.78") == 1


def test_reduced_run_is_not_mistaken_for_the_papers(images):
    """The line above every table of values says profile, updates and seeds as shares, and both recipes in words."""
    for found in tables(images[images["experiment"] == "table2"], "figure4"):
        assert "Profile standard" in found.protocol
        assert "12,000 updates of the paper's 500,000, 2 seeds of the paper's 100" in found.protocol
    first = tables(images[images["experiment"] == "table2"], "table2")[0].protocol
    assert "Adam (rate 0.002, one-cycle" in first
    assert "The paper: 500,000 updates of RMSprop (rate 1e-05, constant, momentum 0.9)" in first
    assert STATIC[1] in first
    assert "S = 200 draws a test point, the long one with S = 5,000 over 500 of them" in first
    assert "hidden=400" in first


def test_the_papers_recipe_is_named_as_such(tmp_path):
    """Its own training and S: nothing is said to differ; another S is."""
    for profile, settings in (("paper", Evaluation()), ("other", Evaluation(importance_draws=5))):
        compared(Plan(tmp_path, "table2", profile, seeds=2), training=PAPER, evaluation=settings)
    other, paper = (found.protocol for found in tables(read(tmp_path).frame, "table2") if "verdict" in found.head)
    assert "500,000 updates of the paper's 500,000" in paper
    assert "The paper's recipe." in paper
    assert "The paper: S = 200 for -ln p(x)." in other


def test_figure_4_is_three_panels_of_table_2(images):
    """F, gap and -ln p(x), each beside its own published values."""
    found = tables(images[images["experiment"] == "table2"], "figure4")
    assert [one.title.rpartition(": ")[2] for one in found] == ["free energy", "gap", "-ln p(x)"]
    assert [one.rows[0][4] for one in found] == ["96.75 ± 0.05", "6.83 ± 0.34", "89.92 ± 0.33"]
    assert [bool(one.notes) for one in found] == [False, False, True]


def test_part_of_cifar_gets_no_verdict(images):
    """Table 3 from 4,000 images: the paper's values beside ours, no verdict, and the reason below."""
    text = table(images, "table3", "md")
    found = [row for row in rows(text)[2:]]
    assert [row[-3] for row in found] == ["-293.7", "-308.6", "-320.7"]
    assert {(row[-2], row[-1]) for row in found} == {("—", "not comparable")}
    assert "4,000 images" in text
    assert "no error bars" in text


def test_protocols_never_share_a_table(tmp_path):
    """The same configurations under two data protocols are two tables, each naming its own."""
    other = ("mnist:dynamic", "mnist:dynamic,60000+0+10000@ba9876543210")
    for data in (STATIC, other):
        compared(Plan(tmp_path, "table2", seeds=2), data=data)
    found = [one for one in tables(read(tmp_path).frame, "table2") if "verdict" in one.head]
    assert [[name in one.protocol for one in found] for name in (STATIC[1], other[1])] in (
        [[True, False], [False, True]],
        [[False, True], [True, False]],
    )
    assert [len([row for row in one.rows if row[0] == "Radial flow"]) for one in found] == [1, 1]


def test_families_at_equal_depth(images):
    """NICE less planar at K=10 and K=80, ours paired with interval and pairs, the paper's with its error."""
    found = next(one for one in tables(images[images["experiment"] == "table2"], "table2") if "against" in one.title)
    line = next(row for row in found.rows if row[:2] == ["NICE (permutation)", "80"])
    assert line[2:] == ["+2.100, +2.100", "+3.25 ± 0.23", "+1.700, +1.700", "+2.10 ± 0.40", "2"]
    assert next(row for row in found.rows if row[0] == "Radial flow")[3] == "—"


def test_csv_of_published_values_is_complete(images):
    """A row a configuration with each metric's comparison, then cited and remeasured rows told apart by `source`."""
    stored = pd.read_csv(io.StringIO(table(images, "figure4", "csv")))
    row = stored[stored["posterior"] == "planar:K=80"].iloc[0]
    assert (row["gap_paper"], row["nll_paper_bar"], row["free_energy_margin"]) == (4.43, 0.12, 0.6)
    assert row["nll_difference"] == pytest.approx(86.4 - 85.15)
    assert (row["nll_verdict"], row["nll_tested"]) == ("undecided", "higher than the paper's")
    assert (row["updates"], row["importance_draws"], row["long_points"]) == (12_000, 200, 500)
    others = pd.read_csv(io.StringIO(table(images, "table2", "csv"))).groupby("source", sort=False)
    assert {name: len(part) for name, part in others} == {"own": 7, "cited": 5, "remeasured": 20}
    assert set(others.get_group("cited")["nll"].isna()) == {True}
    assert others.get_group("remeasured")["nll_paper"].isna().all()
    assert others.get_group("remeasured")["citation"].notna().all()


def test_json_of_published_values_agrees_with_csv(images):
    """The same rows and numbers, missing ones null, counts whole."""
    stored = json.loads(table(images, "table2", "json"))
    flat = pd.read_csv(io.StringIO(table(images, "table2", "csv")))
    assert [row["label"] for row in stored] == list(flat["label"])
    assert stored[0]["seeds"] == 2
    assert stored[0]["nll_paper"] == 89.9
    assert stored[-1]["posterior"] is None
    assert stored[-1]["nll"] == 89.78


def test_latex_of_published_values(images):
    """Every table is there, its symbols in plain LaTeX, its lines ASCII."""
    text = table(images, "table2", "latex")
    assert text.count(r"\begin{longtable}") == 3
    assert r"{$\leq$ 87.5 $\pm$ 0.29}" in text
    assert "cited: Salimans et al. 2015" in text
    assert "89.78 (0.01)" in text
    assert all(line.isascii() for line in text.splitlines())


def test_figure_of_an_experiment_without_records_is_named(frame):
    """Figure 4 without records of table2: the message says whose records it shows."""
    with pytest.raises(InputError, match=r"'table2', which figure4 shows"):
        table(frame, "figure4", "md")


def test_everything_is_all_names_of_an_experiment(images, frame):
    """A chapter has an experiment's table, those of published numbers if there are any, and comparisons at the end."""
    found = everything(images[images["experiment"] == "table2"], "table2")
    names = [one.title.split(",")[0].split(":")[0] for one in found]
    assert names == ["table2"] * 3 + ["figure4"] * 3 + ["table2"]
    assert len(everything(frame[frame["experiment"] == "digits"], "digits")) == 2
