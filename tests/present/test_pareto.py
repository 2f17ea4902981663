"""Quality against time: what each posterior reaches at its end and at the same time, and the picture of it."""

import pytest
from support.synthetic import Plan, figure3

from nfbench.analysis.blocks import Block
from nfbench.analysis.courses import races
from nfbench.experiments.library import load
from nfbench.experiments.plan import plan
from nfbench.present.plots import pareto
from nfbench.present.plots.looks import looks
from nfbench.present.results import results as read
from nfbench.specification.registry import posteriors
from nfbench.specification.spec import parse


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    figure3(Plan(root, seeds=3), targets=("u1", "u2"))
    return read(root)


@pytest.fixture
def rows(results):
    """Records of twelve posteriors, whose trainings took one to twelve seconds."""
    rows = results.frame[results.frame["experiment"] == "figure3"].copy()
    rows["training_seconds"] = rows.groupby("posterior", sort=False).ngroup() + 1.0
    return rows


def test_the_same_time_is_the_median_of_all(results, rows):
    """Who was done by then counts with the end; of others the curve says how far they were, with ln Z."""
    race = next(races(Block.of(rows), results.curves))
    assert race.metric == "kl"
    assert race.time == 6.5
    assert [course.seconds for course in race.courses] == list(range(1, 13))
    assert all(course.same == course.end for course in race.courses if course.seconds <= race.time)
    last = race.courses[-1]
    curve = results.curves(last.row)
    place = min(range(len(curve["step"])), key=lambda n: abs(curve["step"][n] / curve["step"][-1] - 6.5 / 12))
    values = [
        results.curves(row)["free_energy"][place] + row["log_z"]
        for _, row in rows[(rows["posterior"] == last.row["posterior"]) & (rows["target"] == "u1")].iterrows()
    ]
    assert last.same == pytest.approx(sorted(values)[1])


def test_records_without_seconds_have_no_race(results, rows):
    """Records of before the seconds were kept give no picture, and no error."""
    block = Block.of(rows.drop(columns="training_seconds"))
    assert list(races(block, results.curves)) == []
    assert list(pareto.pictures(results, block, looks(rows["family"]))) == []


def test_the_picture_has_every_posterior(results, rows):
    """A panel a target; an entry a family, and K beside each mark; one below zero, or a refuted one, is a cross."""
    rows.loc[rows["posterior"] == rows["posterior"].iloc[0], "kl"] = -0.5
    rows["refuted"] = rows["posterior"] == rows["posterior"].iloc[-1]
    (picture,) = pareto.pictures(results, Block.of(rows), looks(rows["family"]))
    assert picture.name == "pareto"
    axes = picture.figure.axes
    assert [axis.get_title() for axis in axes] == list(dict.fromkeys(rows["target_label"]))
    for axis in axes:
        lines = axis.get_lines()
        labels = [line.get_label() for line in lines if not line.get_label().startswith("_")]
        assert len(labels) == 12
        assert set(labels) == set(rows["label"])
        assert sorted(text.get_text() for text in axis.texts) == sorted(["2", "8", "32"] * len(set(labels)))
        assert [line.get_marker() for line in lines].count("x") == 2
        front = next(line for line in lines if line.get_linestyle() == "--")
        assert min(front.get_ydata()) > 1e-3


@pytest.mark.parametrize(("known", "drawn"), [(8, True), (7, False)])
def test_few_posteriors_with_seconds_have_no_picture(known, drawn, results, rows):
    """Those that were trained before seconds were kept do not count."""
    names = rows["posterior"].unique()
    rows.loc[rows["posterior"].isin(names[known:]), "training_seconds"] = float("nan")
    assert bool(list(pareto.pictures(results, Block.of(rows), looks(rows["family"])))) == drawn


def test_one_length_stands_in_the_legend(results, rows):
    """Where a family has a single length, its entry says which, and nothing stands beside its mark."""
    rows["family"] = rows["posterior"]
    (picture,) = pareto.pictures(results, Block.of(rows), looks(rows["family"]))
    for axis in picture.figure.axes:
        labels = {line.get_label() for line in axis.get_lines() if not line.get_label().startswith("_")}
        assert labels == {f"{label}, K={k}" for label, k in zip(rows["label"], rows["K"], strict=True)}
        assert not axis.texts


def test_a_bound_is_shown_above_the_best(results, rows):
    """Where ln Z is not known F has no zero, and an outlier of a million nats does not hide how the others differ."""
    ends = {posterior: 100 + 10.0**place for place, posterior in enumerate(rows["posterior"].unique(), -6)}
    rows = rows.drop(columns=["kl", "log_z"]).assign(free_energy=rows["posterior"].map(ends))
    (picture,) = pareto.pictures(results, Block.of(rows), looks(rows["family"]))
    for axis in picture.figure.axes:
        assert axis.get_ylabel() == "free energy (nats)\nabove the best"
        assert axis.get_yscale() == "log"
        shown = [line.get_ydata()[0] for line in axis.get_lines() if not line.get_label().startswith("_")]
        assert min(shown) == 1e-3
        assert max(shown) == pytest.approx(1e5 - 1e-6)


@pytest.mark.parametrize("profile", ["smoke", "quick", "standard"])
def test_the_shootout_has_every_family_and_library(profile):
    """Every registered family is in every profile, those of libraries as far as they are installed."""
    names = {parse(group.posterior).name for group in plan(load("shootout"), profile)}
    assert names == {entry.name for entry in posteriors if entry.installed}
