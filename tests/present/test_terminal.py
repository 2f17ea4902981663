"""Tables on a terminal: no line wider than it, the best marked, rows and columns as asked for."""

import io
import json

import pandas as pd
import pytest
from rich.console import Console
from support.compared import compared
from support.synthetic import Plan, figure3
from support.synthetic_timings import timing

from nfbench.analysis.best import standings
from nfbench.analysis.blocks import Block
from nfbench.foundation.errors import InputError
from nfbench.present.results import results as read
from nfbench.present.tables import terminal
from nfbench.present.tables.choose import Choice


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    figure3(Plan(root), targets=("u1", "u2"))
    compared(Plan(root, "table2", "standard", seeds=2, spread=0.1))
    return read(root)


def printed(tables, width, **options):
    """What a terminal of that width shows."""
    stream = io.StringIO()
    terminal.show(tables, Console(file=stream, width=width, highlight=False, markup=False), **options)
    return stream.getvalue()


def test_who_is_better_on_the_seeds_of_the_best_is_tied_with_it(stored):
    """The best has fewer seeds, easy ones; another one is lower on each of them, and higher by its other seeds."""
    rows = stored.frame.query("experiment == 'figure3' and target == 'u1' and K == 32")
    two = rows["family"].unique()[:2]
    rows = rows[(rows["family"] == two[1]) | ((rows["family"] == two[0]) & (rows["seed"] < 3))]
    easy = {0: 0.10, 1: 0.11, 2: 0.12, 3: 1.0, 4: 1.1}
    kl = [easy[s] + 0.05 * (f == two[0]) for f, s in zip(rows["family"], rows["seed"], strict=True)]
    assert sorted(standings(Block.of(rows.assign(kl=kl)), "kl").values()) == ["best", "tied"]


@pytest.mark.parametrize("width", [40, 60, 80, 81, 100, 160, 300])
@pytest.mark.parametrize("name", ["figure3", "table2"])
def test_a_table_is_never_wider_than_the_terminal(stored, name, width):
    """Every line fits; every configuration has its row in one line; what is left out is named below."""
    text = printed(stored.tables(name), width)
    assert max(map(len, text.splitlines())) <= width
    assert width < 60 or text.count("Planar flow  ") >= (6 if name == "figure3" else 2)
    head = stored.tables(name)[0].head
    said = " ".join(text.split())
    assert width < 60 or all(word in said for title in head for word in title.split())
    first = stored.tables(name)[0]
    values = [cell for row in first.rows for cell in row[: first.leading + 1]]
    assert width < 80 or all(cell in text for cell in values)
    assert ("not shown at this width" in text) == (width < 300)
    assert printed(stored.tables(name), width, verbose=True).count("Trained by") >= 1 > text.count("Trained by")


def test_the_best_of_a_target_is_marked(stored):
    """The lowest KL of each target has the mark, in the cell of its row; a metric that has no better end has none."""
    (table,) = stored.tables("figure3", Choice(columns=("kl",)))
    means = stored.summary().query("experiment == 'figure3'").astype({"kl": float})
    best = {target: rows.loc[rows["kl"].idxmin()] for target, rows in means.groupby("target_label")}
    marked = [table.rows[row] for (row, _), mark in table.marks.items() if mark == "best"]
    assert {row[0]: (row[1], row[2]) for row in marked} == {
        target: (row["label"], str(row["K"])) for target, row in best.items()
    }
    assert all(f"{row[3]} *" in printed([table], 100) for row in marked)


def test_tied_is_what_a_paired_interval_does_not_tell_from_the_best(stored):
    """A copy of the best with noise is tied with it, one that is worse in every seed is not; two seeds tie nothing."""
    rows = stored.frame.query("experiment == 'figure3' and target == 'u1' and K == 32")
    families = rows["family"].unique()
    shift = dict(zip(families, [0.0, 0.001, 0.5, 0.5], strict=True))
    noise = {0: 0.02, 1: -0.03, 2: 0.01, 3: -0.02, 4: 0.02}
    kl = [
        0.1 + shift[f] + (noise[s] if f == families[1] else 0)
        for f, s in zip(rows["family"], rows["seed"], strict=True)
    ]
    found = standings(Block.of(rows.assign(kl=kl)), "kl")
    assert sorted(found.values()) == ["best", "tied"]
    two = rows[rows["seed"] < 2]
    assert sorted(standings(Block.of(two), "kl").values()) == ["best"]
    assert standings(Block.of(rows.assign(entropy=1.0, entropy_se=0.0)), "entropy") == {}


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ("K>=8", lambda row: row["K"] >= 8),
        ("K=32", lambda row: row["K"] == 32),
        ("target=u2", lambda row: row["target"].startswith("u2")),
        ("target!=u2", lambda row: not row["target"].startswith("u2")),
        ("label~nice", lambda row: "NICE" in row["label"]),
        ("kl<0.1", lambda row: row["kl"] < 0.1),
        ("family = planar", lambda row: row["family"] == "planar"),
    ],
)
def test_a_condition_keeps_the_rows_that_meet_it(stored, condition, kept):
    """In every format the same configurations are left, with the numbers that they had among all."""
    expected = [
        row["posterior"] for row in stored.summary().query("experiment == 'figure3'").to_dict("records") if kept(row)
    ]
    assert 0 < len(expected) < 24
    found = pd.read_csv(io.StringIO(stored.table("figure3", "csv", where=[condition])))
    assert list(found["posterior"]) == expected
    assert len(json.loads(stored.table("figure3", "json", where=[condition]))) == len(expected)
    every, some = (
        {tuple(line) for line in table.rows}
        for table in (stored.tables("figure3")[0], *stored.tables("figure3", Choice(conditions=(condition,))))
    )
    assert some < every
    assert len(some) == len(expected)


def test_a_table_is_sorted_by_what_its_cells_say(stored):
    """Numbers as numbers, largest first on request, rows without a value last."""
    (table,) = stored.tables("figure3", Choice(sort="-kl"))
    values = [float(row[3].split()[0]) for row in table.rows]
    assert values == sorted(values, reverse=True)
    first, *_ = stored.tables("table2", Choice(sort="the paper"))
    column = first.head.index("the paper's (± s.e.)")
    texts = [row[column] for row in first.rows]
    known = [float(text.split()[1 if text.startswith("<") else 0]) for text in texts if text != "—"]
    assert known == sorted(known)
    assert texts[-1] == "—" != texts[0]
    frame = pd.read_csv(io.StringIO(stored.table("figure3", "csv", sort="-kl", columns=["kl"])))
    assert list(frame["kl"]) == sorted(frame["kl"], reverse=True)
    assert {"target", "K", "kl_low"} <= set(frame)
    assert "free_energy" not in frame


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"columns": ["kll"]}, "'kll'"),
        ({"sort": "nothing"}, "'nothing'"),
        ({"where": ["K>=many"]}, "compares numbers"),
        ({"where": ["dephts>3"]}, "'dephts'"),
        ({"where": ["K"]}, "expected a name"),
        ({"sort": "-"}, "sort '-': expected"),
        ({"where": ["K>1000"]}, "no row has K>1000"),
    ],
)
def test_what_the_table_does_not_have_is_named(stored, options, said):
    """A column, an order or a condition that cannot be met is one line."""
    for fmt in ("md", "csv"):
        with pytest.raises(InputError, match=said) as caught:
            stored.table("figure3", fmt, **options)
        assert "\n" not in str(caught.value)


def test_timings_are_chosen_by_their_sizes(tmp_path):
    """A condition on a size leaves the cases of that size, in text and in data."""
    for depth in (2, 8, 32):
        timing(tmp_path, case={"posterior": f"planar:K={depth}"}.items())
    results = read(tmp_path)
    depth = int(results.timings["K"].max())
    found = pd.read_csv(io.StringIO(results.table("timing", "csv", where=[f"K={depth}"])))
    assert set(found["K"]) == {depth}
    assert len(found) == (results.timings["K"] == depth).sum()
    assert max(map(len, printed(results.tables("timing", Choice(conditions=(f"K={depth}",))), 100).splitlines())) <= 100
