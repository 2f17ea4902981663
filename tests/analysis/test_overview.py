"""Posteriors and targets at a glance: quality in its unit, who is best and tied, seconds, and what was lost."""

import math

import numpy as np
import pytest
from support.comparable import compared_block

from nfbench.analysis.best import standings
from nfbench.analysis.blocks import Block
from nfbench.analysis.overview import EXCESS, FLOOR_UNITS, OWN_UNITS, overviews

ALIKE = [0.10, 0.12, 0.14, 0.11]


def of(block):
    (shown,) = overviews(block)
    return shown


def test_standings_are_those_of_the_tables():
    """The best has the lowest mean, tied is whose paired difference contains 0, what differs is neither."""
    near, far = [value + 0.01 * (-1) ** n for n, value in enumerate(ALIKE)], [value + 0.1 for value in ALIKE]
    block = compared_block({"t1": {"a": ALIKE, "b": near, "c": far}, "t2": {"a": far, "b": far, "c": ALIKE}})
    shown = of(block)
    assert shown.standing == {("a", "t1"): "best", ("b", "t1"): "tied", ("c", "t2"): "best"}
    assert len(shown.standing) == len(standings(block, "kl"))
    assert shown.leaders() == [("a", 1, 1), ("c", 1, 1), ("b", 0, 1)]
    assert shown.unit == OWN_UNITS
    assert shown.quality == pytest.approx(np.array([[0.1175, 0.2175], [0.1175, 0.2175], [0.2175, 0.1175]]))


def test_two_seeds_tie_nothing():
    """With two seeds the best is named, and nobody is tied with it."""
    assert set(of(compared_block({"a": [0.1, 0.2], "b": [0.1, 0.2], "c": [0.3, 0.4]})).standing.values()) == {"best"}


def test_a_metric_without_zero_is_counted_from_the_best_of_its_target():
    """-ln p(x) is shown above the lowest mean of each target."""
    shown = of(compared_block({"t1": {"a": [90.0], "b": [92.0]}, "t2": {"a": [7.0], "b": [5.0]}}, metric="nll"))
    assert shown.unit == EXCESS
    assert shown.quality.tolist() == [[0.0, 2.0], [2.0, 0.0]]


def test_errors_against_draws_come_in_units_of_their_floor():
    """An error of .06 beside a floor of .02 is 3; means and sds are shown each, and no other metric."""
    block = compared_block({"a": ALIKE, "b": ALIKE})
    rows = block.rows.assign(**{f"{name}_se": 0.0 for name in ("mean_error", "log_sd_error")})
    rows = rows.assign(mean_error=0.06, mean_error_floor=0.02, log_sd_error=0.05, log_sd_error_floor=0.1)
    means, sds = overviews(Block.of(rows))
    assert (means.unit, set(means.metrics.values()), set(sds.metrics.values())) == (
        FLOOR_UNITS,
        {"mean_error"},
        {"log_sd_error"},
    )
    assert means.quality == pytest.approx(np.full((2, 1), 3.0))
    assert sds.quality == pytest.approx(np.full((2, 1), 0.5))


def test_lost_seeds_are_counted_and_seconds_are_means():
    """One of three seeds diverged, all of another posterior did: counted; seconds are over the seeds that are done."""
    block = compared_block({"a": [0.1, 0.2, math.inf], "b": [math.inf] * 3})
    rows = block.rows.assign(seconds=[1.0, 3.0, 50.0, 1.0, 1.0, 1.0])
    shown = of(Block.of(rows))
    assert (shown.runs.tolist(), shown.lost.tolist()) == ([[3], [3]], [[1], [3]])
    assert shown.seconds[0, 0] == 2.0
    assert np.isnan(shown.seconds[1, 0])
    assert np.isnan(shown.quality[1, 0])
    assert shown.timed == "cell"
    timed = of(Block.of(rows.assign(training_seconds=0.5)))
    assert (timed.timed, timed.seconds[0, 0]) == ("training", 0.5)


def test_a_posterior_that_lost_a_seed_to_divergence_is_never_the_best():
    """The seeds that are left are lower than all others, but the lost one is worse; where all lost one, means rank."""
    lost = [0.01, 0.01, math.inf]
    shown = of(compared_block({"a": lost, "b": [0.1, 0.2, 0.3], "c": [0.1, 0.21, 0.31]}))
    assert shown.standing == {("b", "u1"): "best", ("c", "u1"): "tied"}
    assert ("a", "u1") in of(compared_block({"a": lost, "b": [0.1, 0.2, math.inf]})).standing


def test_an_impossible_divergence_is_never_the_best():
    """A KL far below 0 is marked as wrong, neither best nor tied; one within its error of 0 may be the best."""
    block = compared_block({"a": [-5.0, -5.1, -5.2], "b": [-0.01, 0.02, -0.02], "c": [0.3, 0.4, 0.5]})
    shown = of(Block.of(block.rows.assign(kl_se=0.05)))
    assert shown.wrong.tolist() == [[True], [False], [False]]
    assert shown.standing == {("b", "u1"): "best"}


def test_what_is_refuted_is_wrong_and_no_ground_to_count_from():
    """Others are counted from the best of those whose ln q is right."""
    block = compared_block({"a": [-5.0] * 3, "b": [1.0] * 3, "c": [1.5] * 3}, metric="free_energy")
    shown = of(Block.of(block.rows.assign(refuted=block.rows["posterior"] == "a")))
    assert shown.wrong.tolist() == [[True], [False], [False]]
    assert shown.quality[1:].tolist() == [[0.0], [0.5]]
    assert "a" not in {posterior for posterior, *_ in shown.leaders()}


def test_nothing_to_compare_is_nothing():
    """Where every cell is lost, or no metric ranks, there is no overview."""
    assert list(overviews(compared_block({"a": [math.inf], "b": [math.inf]}))) == []
    assert list(overviews(compared_block({"a": [1.0], "b": [2.0]}, metric="entropy"))) == []
