"""Tables in every format, with what was lost in sight and no NaN."""

import io
import json
import re

import pandas as pd
import pytest
from support.compared import FIRST, TABLE3, compared
from support.synthetic import FIGURE3_KL, Plan, digits, figure1, figure3

from nfbench.analysis.summary import summary
from nfbench.foundation.errors import InputError
from nfbench.present.results import results as read
from nfbench.present.tables.experiment import table, tables
from nfbench.present.tables.render import interval, number

DIVERGED = ("u1", "radial:K=8", 1)
FORMATS = ("md", "latex", "csv", "json")


@pytest.fixture(scope="module")
def frame(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    figure3(Plan(root, diverged={DIVERGED}))
    figure3(Plan(root / "reference", seeds=1), targets=("u1",))
    lost = {("u1", "planar:K=2", 0), ("u1", "planar:K=2", 1)}
    planar = {"planar": {K: FIGURE3_KL["planar"][K] for K in (2, 8)}}
    figure3(Plan(root, experiment="mine", seeds=2, diverged=lost), targets=("u1",), kls=planar)
    digits(Plan(root, seeds=3))
    figure1(Plan(root, seeds=2))
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


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("experiment", ["figure3", "figure1", "digits", "mine"])
def test_nothing_prints_nan(frame, experiment, fmt):
    """Whatever is missing, one seed, no seed, no metric: no format prints a NaN or a None."""
    assert not re.search(r"\b(nan|none)\b", table(frame, experiment, fmt), flags=re.IGNORECASE)


DATA = {
    "None": lambda rows: pd.Series([None] * len(rows), index=rows.index, dtype=object),
    "NaN": lambda rows: pd.Series(float("nan"), index=rows.index),
    "some None": lambda rows: pd.Series([None if t else "d" for t in rows["seed"] % 2], index=rows.index, dtype=object),
    "some NaN": lambda rows: pd.Series("d", index=rows.index).where(rows["seed"] % 2 == 0),
}


@pytest.mark.parametrize("kind", DATA)
@pytest.mark.parametrize("experiment", ["figure3", "digits", "table2"])
def test_rows_without_data_are_compared_in_every_format(frame, images, experiment, kind):
    """Data missing in all rows or in some, as None or as NaN: each format is written, CSV as if they had a name."""
    every = images if experiment == "table2" else frame
    rows = every[every["experiment"] == experiment]
    rows = rows.assign(data=DATA[kind](rows))
    texts = {fmt: table(rows, experiment, fmt) for fmt in FORMATS}
    assert not any(re.search(r"\bnan\b", text, flags=re.IGNORECASE) for text in texts.values())
    named = table(rows.assign(data=rows["data"].astype(object).where(rows["data"].notna(), "none")), experiment, "csv")
    sides = [
        pd.read_csv(io.StringIO(text), dtype={"data": str}).fillna({"data": "none"}) for text in (texts["csv"], named)
    ]
    names = ["source", "recipe", "data", "target", "posterior", "label", "K"]
    found, wanted = (one.sort_values(names, ignore_index=True) for one in sides)
    pd.testing.assert_frame_equal(found, wanted)
    assert found.filter(regex="paper$|paper_difference$").notna().any().any() == (experiment != "digits")
    assert len(json.loads(texts["json"])) == len(found)


def test_csv_holds_the_statistics_to_full_precision(frame):
    """Read back, CSV has one row a configuration and the means that the statistics gave."""
    stored = pd.read_csv(io.StringIO(table(frame, "figure3", "csv")))
    expected = summary(frame[frame["experiment"] == "figure3"])
    assert len(stored) == 60
    pd.testing.assert_series_equal(stored["kl"], expected["kl"].astype(float), rtol=1e-12)
    assert {"verdict", "paper_difference", "difference", "kl_low", "kl_n"} <= set(stored)


def test_json_holds_the_same_numbers_as_csv(frame):
    """JSON parses, its missing numbers are null, and it agrees with CSV."""
    stored = json.loads(table(frame, "figure3", "json"))
    flat = pd.read_csv(io.StringIO(table(frame, "figure3", "csv")))
    assert [row["posterior"] for row in stored] == list(flat["posterior"])
    assert [row["kl"] for row in stored] == pytest.approx(list(flat["kl"]), rel=1e-12)
    assert next(row for row in stored if row["seeds"] == 1)["kl_low"] is None


def test_markdown_has_equal_columns_and_a_block_for_each_source(frame):
    """Every line of a block has the head's number of cells; own and reference are two tables."""
    text = table(frame, "figure3", "md")
    assert text.count("### ") == 2
    assert "reference records" in text
    assert {len(row) for row in rows(text)} == {12}
    assert len(rows(text)) == 48 + 12 + 2 * 2


def test_latex_has_booktabs_rules_and_escapes(frame):
    """Rules of booktabs, escaped per cent signs, no bare symbols; numbers as siunitx reads them."""
    text = table(frame, "figure3", "latex")
    assert text.count(r"\toprule") == 4  # first head and continued head, of two blocks
    assert r"\bottomrule" in text
    assert r"95 \%" in text
    assert r"$\pm$" in text  # in the caption
    assert " +- " in text
    assert all(symbol not in text for symbol in "±—")
    line = next(line for line in text.splitlines() if line.startswith("U1 &"))
    assert line.count("&") == 11
    assert "& -1.5" in line


def test_diverged_seed_is_visible(frame):
    """The count of what diverged stands in the row that it belongs to."""
    found = [row for row in rows(table(frame, "figure3", "md")) if "4 of 5 (1 diverged)" in row]
    assert [row[:3] for row in found] == [["U1", "Radial flow", "8"]]


def test_a_configuration_without_a_finished_seed_keeps_its_row(frame):
    """All seeds diverged: the row is there, with a dash for each number."""
    row = next(row for row in rows(table(frame, "mine", "md")) if "0 of 2 (2 diverged)" in row)
    assert row[:4] == ["U1", "Planar flow", "2", "—"]


def test_one_seed_has_a_value_without_interval_and_no_verdict(frame):
    """A single seed shows its value, no ±, and is not tested."""
    block = next(
        found for found in tables(frame[frame["experiment"] == "figure3"], "figure3") if "reference" in found.title
    )
    first = dict(zip(block.head, block.rows[0], strict=True))
    assert "±" not in first["KL (nats)"]
    assert first["verdict"] == "not tested"


def test_published_numbers_stand_beside_ours_with_their_margin(frame):
    """The paper's difference, the margin with its reason, and why U2 to U4 get no verdict are all in the table."""
    text = table(frame, "figure3", "md")
    row = next(row for row in rows(text) if row[:3] == ["U1", "Planar flow", "2"])
    assert row[-2] == "+0.321 ± 0.009"
    assert "margin 0.05" in text
    assert "walls" in next(line for line in text.splitlines() if "Not comparable" in line)
    hidden = next(row for row in rows(text) if row[0].startswith("U4") and row[2] == "2")
    assert hidden[-2].endswith("*")
    assert hidden[-1] == "not comparable"


def test_columns_are_what_the_records_hold(frame):
    """An experiment without published numbers shows its own metrics and no comparison."""
    heads = {name: tables(frame[frame["experiment"] == name], name)[0].head for name in ("figure1", "digits", "mine")}
    assert heads["figure1"][3:5] == ["entropy (nats)", "log-determinant (nats)"]
    assert heads["digits"][3:6] == ["free energy (nats)", "-ln p(x) (nats)", "gap (nats)"]
    assert "verdict" not in heads["mine"]


def test_no_depth_is_a_dash_and_no_maps_are_a_zero(frame, tmp_path):
    """A Gaussian has no K; a flow of no maps has K = 0."""
    figure3(Plan(tmp_path, seeds=1), targets=("u1",), kls={"planar": {0: 1.0}})
    assert rows(table(read(tmp_path).frame, "figure3", "md"))[2][:3] == ["U1", "Planar flow", "0"]
    assert rows(table(frame, "digits", "md"))[2][1:3] == ["Diagonal Gaussian", "—"]


def test_protocol_is_said(frame):
    """Profile, recipe, data and number of seeds stand above the numbers."""
    text = table(frame, "digits", "md")
    assert "3 seeds a configuration" in text
    assert "sha256:0123" in text
    assert frame[frame["experiment"] == "digits"]["recipe"].iloc[0] in text


def test_unknown_experiment_and_format_are_named(frame):
    """An experiment without records is refused with those that have some; so is an unknown format."""
    with pytest.raises(InputError, match=r"'figure9'.*digits, figure1, figure3, mine"):
        table(frame, "figure9", "md")
    with pytest.raises(InputError, match=r"'xls'.*md, latex, csv, json"):
        table(frame, "figure3", "xls")


def test_numbers_as_text():
    """Decimals are fixed, tiny intervals are not shown as zero, and nothing is a dash."""
    assert number(None) == number(float("nan")) == "—"
    assert interval(-1.23456, -1.24456, -1.22456) == "-1.235 ± 0.010"
    assert interval(0.5, float("nan"), float("nan")) == "0.500"


def test_training_is_said_in_words(frame):
    """Also where nothing is published: optimizer, rate, updates and annealing."""
    assert "Trained by 4,000 updates of Adam (rate 0.02, constant, beta_1 0.9)" in table(frame, "digits", "md")
    assert "256 draws an update" in table(frame, "figure3", "md")
    assert "Trained" not in table(frame, "figure1", "md")
