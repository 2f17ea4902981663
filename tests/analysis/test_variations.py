"""What variations move, and which comes closest to published values."""

import io
import math

import numpy as np
import pandas as pd
import pytest
from support.comparable import compared_block

from nfbench.analysis.variations import METRICS, added, by_recipe, distance, expected, moves, reached
from nfbench.present.plots.looks import looks
from nfbench.present.plots.variations import pictures
from nfbench.present.tables.variations import tables
from nfbench.published.catalogue import published

TARGET = "dlgm:dim=40,hidden=400"
BASE = {"gaussian": (100.0, 10.0), "planar:K=10": (96.0, 8.0)}  # F and the gap
VARIED = {"wide": (-2.0, -1.5, "a"), "quick": (-1.0, -0.25, "b"), "slow": (3.0, 0.0, "b")}  # changes of them, training


def rows(shift=lambda seed: 0.1 * seed):
    """Records of the grid and of three variations, of which the last is of planar maps only; two of the same thing."""
    parts = []
    for name, (f, gap, words) in {"": (0.0, 0.0, ""), **VARIED}.items():
        posteriors = [each for each in BASE if name != "slow" or each != "gaussian"]
        runs = {each: [BASE[each][0] + f + shift(seed) for seed in range(3)] for each in posteriors}
        part = compared_block({TARGET: runs}, metric="free_energy").rows
        part["gap"] = [BASE[each][1] + gap for each in part["posterior"]]
        part["nll"], part["gap_se"], part["nll_se"] = part["free_energy"] - part["gap"], 0.0, 0.0
        part["training"] = f"Adam, {words}, batches" if words == "b" else "Adam, , batches"
        part["target"] = f"{TARGET},layers=2" if words == "a" else TARGET
        recipe = f"r1-{name}" if name else "r0"
        parts.append(part.assign(variation=name or None, experiment="table2-choices", recipe=recipe))
    return with_origins(pd.concat(parts, ignore_index=True))


def with_origins(whole):
    """The same with what each variation differs from: its target without layers, and the grid's recipe."""
    varied = whole["variation"].notna()
    return whole.assign(
        origin_target=whole["target"].str.removesuffix(",layers=2").where(varied),
        origin_recipe=whole["recipe"].str.replace(r"r1(-[a-z]+)?", "r0", regex=True).where(varied),
    )


def test_differences_are_paired_by_seed():
    """A spread that both sides share is none of the difference; the grid itself has no difference."""
    found = moves(rows())
    assert [(move.variation, move.row["posterior"]) for move in found] == [
        ("", "gaussian"), ("", "planar:K=10"), ("wide", "gaussian"), ("wide", "planar:K=10"),
        ("quick", "gaussian"), ("quick", "planar:K=10"), ("slow", "planar:K=10"),
    ]  # fmt: skip
    wide = found[2]
    assert wide.moves["free_energy"].mean == pytest.approx(-2.0)
    assert wide.moves["free_energy"].sd == pytest.approx(0.0, abs=1e-12)
    assert wide.values["free_energy"].sd == pytest.approx(0.1)
    assert wide.moves["nll"].mean == pytest.approx(-0.5)
    assert not found[0].moves


def test_distance_to_the_paper():
    """Root mean square over posteriors and metrics; a variation has the grid's values of other posteriors."""
    found, source = moves(rows()), published("figure4")
    theirs = expected(found, source)
    assert theirs[TARGET, "gaussian", "free_energy"] == 96.75
    ours = {(TARGET, "gaussian", name): value for name, value in zip(METRICS, (100.1, 10.0, 90.1), strict=True)}
    ours |= {(TARGET, "planar:K=10", name): value for name, value in zip(METRICS, (96.1, 8.0, 88.1), strict=True)}
    for point, value in ours.items():
        assert reached(found, "")[point] == pytest.approx(value)
    by_hand = np.sqrt(np.mean([(ours[point] - theirs[point]) ** 2 for point in theirs]))
    assert distance(reached(found, ""), theirs) == pytest.approx(by_hand)
    slow = reached(found, "slow")
    assert slow[TARGET, "gaussian", "free_energy"] == pytest.approx(100.1)
    assert slow[TARGET, "planar:K=10", "free_energy"] == pytest.approx(99.1)
    assert math.isnan(distance({}, theirs))
    assert math.isnan(distance(ours, {}))


def test_only_changes_of_different_things_add_up():
    """Two that change the same words of the training never stand together."""
    together = dict(added(moves(rows())))
    assert set(together) == {("wide", "quick"), ("wide", "slow")}
    assert together["wide", "quick"][TARGET, "gaussian", "free_energy"] == pytest.approx(97.1)
    assert together["wide", "slow"][TARGET, "gaussian", "free_energy"] == pytest.approx(98.1)  # slow: planar maps only


def test_the_table_says_what_is_closest():
    """A row a variation and posterior, then the closest one, and the closest sum with that it was not run."""
    (table,) = tables(rows())
    assert table.title == "table2-choices, profile quick, own records: what each variation moves"
    assert [row[0] for row in table.rows] == ["as it is"] * 2 + ["wide"] * 2 + ["quick"] * 2 + ["slow"]
    row = dict(zip(table.head, table.rows[2], strict=True))
    assert row["difference of free energy (nats)"].startswith("-2.000")
    assert "Closest, over all posteriors: wide (" in table.notes[-1]
    assert "wide, quick together would come to" in table.notes[-1]
    assert tables(rows().drop(columns="variation")) == []
    only = rows()
    assert tables(only[only["variation"].isna()]) == []


def test_the_picture_has_a_row_for_each_variation():
    """A panel a metric; a mark for each difference, at its place beside the zero of the grid as it is."""
    ((block, picture),) = pictures(rows(), looks(rows()["family"]))
    assert block.rows["variation"].isna().all()
    assert [axis.get_xlabel() for axis in picture.figure.axes] == [
        f"difference of {name} (nats)" for name in ("free energy", "gap", "-ln p(x)")
    ]
    first = picture.figure.axes[0]
    assert [label.get_text() for label in first.get_yticklabels()] == ["wide", "quick", "slow"]
    marks = {
        float(line.get_xdata()[0]): line.get_ydata()[0] for line in first.get_lines() if line.get_marker() != "None"
    }
    assert {round(x, 6): round(y) for x, y in marks.items()} == {-2.0: 0, -1.0: 1, 3.0: 2}
    assert list(pictures(rows()[rows()["variation"].isna()], looks(rows()["family"]))) == []
    dollars = rows().replace({"variation": {"wide": r"$x_{$ $\\alpha$"}})
    ((_, picture),) = pictures(dollars, looks(dollars["family"]))
    picture.figure.savefig(io.BytesIO())  # no formula, and no broken one


def on_targets():
    """Records on two targets, of which the variation makes other ones; values tell all of them apart."""
    parts = []
    for number, (name, more) in enumerate({"": "", "wide": ",layers=2"}.items()):
        targets = {f"dlgm:dim={dim}{more}": {"gaussian": [dim + 0.5 * number] * 3} for dim in (4, 3)}
        part = compared_block(targets, metric="free_energy").rows
        parts.append(part.assign(variation=name or None, recipe=f"r{number}"))
    return with_origins(pd.concat(parts, ignore_index=True))


def test_targets_are_not_mixed():
    """Each variation differs from the grid's target of which it is one, and the table names targets."""
    wide = [move for move in moves(on_targets()) if move.variation]
    assert [(move.place, move.moves["free_energy"].mean) for move in wide] == [
        (("dlgm:dim=4", "gaussian"), pytest.approx(0.5)),
        (("dlgm:dim=3", "gaussian"), pytest.approx(0.5)),
    ]
    assert [move.changes for move in wide] == [{"layers"}] * 2
    (table,) = tables(on_targets())
    assert [row[1] for row in table.rows] == [
        *("dlgm:dim=4", "dlgm:dim=3"), *("dlgm:dim=4,layers=2", "dlgm:dim=3,layers=2")
    ]  # fmt: skip
    ((_, picture),) = pictures(on_targets(), looks(on_targets()["family"]))
    assert [axis.get_title() for axis in picture.figure.axes] == ["DLGM:DIM=4", "DLGM:DIM=3"]


def test_no_other_target_stands_in_for_one_without_records():
    """Where the grid lacks a target there is no difference, and a note says so."""
    part = on_targets()
    part = part[part["target"] != "dlgm:dim=4"]
    alone = next(move for move in moves(part) if move.row["target"] == "dlgm:dim=4,layers=2")
    assert alone.base is None
    assert not alone.moves
    (table,) = tables(part)
    assert "to differ from: wide, dlgm:dim=4,layers=2, gaussian." in table.notes[1]


def test_a_record_that_names_no_origin_stays_readable():
    """It has no differences, and stands in a table of its own."""
    for part in (on_targets(), on_targets().drop(columns=["origin_target", "origin_recipe"])):
        if "origin_target" in part:
            part.loc[part["target"] == "dlgm:dim=3,layers=2", ["origin_target", "origin_recipe"]] = None
        alone = [move for move in moves(part) if move.variation][-1]
        assert (alone.place, alone.moves) == (("dlgm:dim=3,layers=2", "gaussian"), {})
        assert "to differ from: wide, dlgm:dim=" in tables(part)[-1].notes[1]


def test_recipes_are_not_mixed():
    """Of an experiment whose file was changed each variation is beside the grid that it was planned with."""
    old, new = on_targets(), on_targets()
    for part, updates in ((old, 10), (new, 20)):
        part["training"] = f"{updates} updates of Adam"
        for column in ("recipe", "origin_recipe"):
            part[column] = part[column].where(part[column].isna(), part[column] + f"-{updates}")
    new["free_energy"] += 100 * new["variation"].isna()
    both = pd.concat([old, new], ignore_index=True)
    parts = list(by_recipe(both))
    assert [block.recipe for block, _ in parts] == ["r0-10", "r0-20"]
    for (_, found), shift in zip(parts, (0.5, -99.5), strict=True):
        assert [move.moves["free_energy"].mean for move in found if move.variation] == [pytest.approx(shift)] * 2
    assert len(tables(both)) == 2


def test_lost_runs_are_named():
    """A configuration of which no run is done has no value, not the grid's, and a note counts what is lost."""
    part = rows()
    lost = (part["variation"] == "quick") & (part["posterior"] == "gaussian")
    part.loc[lost, "status"] = "diverged"
    part.loc[lost, [*METRICS]] = math.nan
    assert (TARGET, "gaussian", "gap") not in reached(moves(part), "quick")
    (table,) = tables(part)
    assert table.notes[1] == "Runs that are not done, and in no mean: quick 3 of 6."


def test_what_is_refuted_is_not_compared_with_the_paper():
    """Its F is no bound: nothing is said of how near to the paper it comes."""
    part = rows()
    theirs = expected(moves(part.assign(refuted=part["posterior"] == "gaussian")), published("figure4"))
    assert {posterior for _, posterior, _ in theirs} == {"planar:K=10"}
