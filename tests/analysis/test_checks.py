"""The checks of stored records: sound ones pass, and what no sound evaluation gives is flagged by name."""

import pandas as pd
import pytest
from support.compared import compared
from support.synthetic import Plan, figure3

from nfbench.analysis.checks import checks
from nfbench.present.results import results as read
from nfbench.specification.config import Evaluation


@pytest.fixture(scope="module")
def frame(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    figure3(Plan(root, diverged={("u1", "nice:K=32,mixing=orthogonal", 3)}), targets=("u1",))
    return read(root).frame


def test_checks_pass_on_sound_records_but_name_the_lost_cell(frame):
    """Only the check on lost cells fails where one seed diverged."""
    found = {check.name: check for check in checks(frame)}
    assert not found["every cell is done"].passed
    assert "1 diverged" in found["every cell is done"].detail
    assert all(check.passed for name, check in found.items() if name != "every cell is done")


def test_impossible_kl_is_flagged(tmp_path):
    """A KL below 0 by more than three standard errors cannot be, and the check says so."""
    figure3(Plan(tmp_path, spread=0.0), targets=("u1",), kls={"planar": {2: 0.3, 8: -0.2}})
    found = {check.name: check for check in checks(read(tmp_path).frame)}
    assert not found["kl is not below 0"].passed
    assert "1 below 0" in found["kl is not below 0"].detail


def test_rising_with_depth_is_flagged(tmp_path):
    """A family that gets worse with K, by more than its interval, is named."""
    figure3(Plan(tmp_path), targets=("u1",), kls={"planar": {2: 0.1, 8: 0.9}})
    found = {check.name: check for check in checks(read(tmp_path).frame)}
    assert not found["kl does not rise with K"].passed
    assert "planar K=2 to 8" in found["kl does not rise with K"].detail


@pytest.mark.parametrize(("shift", "passed"), [(0.0, True), (-0.03, True), (-0.3, False)])
def test_what_chance_explains_is_not_flagged(frame, shift, passed):
    """A mean KL is impossible from 3 standard errors below 0 on; a step to a deeper flow rises beyond its interval."""
    rows = pd.concat([frame[frame["posterior"] == f"planar:K={depth}"] for depth in (2, 8)])
    noise = [0.05, -0.02, 0.01, -0.05, 0.01, -0.04, 0.05, 0.02, -0.01, -0.02]  # K = 2, then 8; each of mean 0
    found = {check.name: check for check in checks(rows.assign(kl=[value + shift for value in noise]))}
    assert found["kl is not below 0"].passed == passed
    assert found["kl does not rise with K"].passed


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    compared(Plan(root, "table2", seeds=2, spread=0.1), evaluation=Evaluation(long_draws=5000))
    return read(root).frame


def test_checks_of_likelihoods_pass_on_sound_records(images):
    """Gap, bound against K, effective sample sizes and the long estimate: all hold, and all are made."""
    found = {check.name: check for check in checks(images)}
    assert set(found) == {
        "every cell is done",
        "gap is not below 0",
        "free_energy does not rise with K",
        "ess lies between 1 and the number of draws",
        "more draws do not raise -ln p(x)",
    }
    assert all(check.passed for check in found.values())


@pytest.mark.parametrize(
    ("column", "value", "name"),
    [
        ("gap", -1.0, "gap is not below 0"),
        ("ess", 200.5, "ess lies between 1 and the number of draws"),
        ("ess", 0.5, "ess lies between 1 and the number of draws"),
        ("nll_long", 99.0, "more draws do not raise -ln p(x)"),
    ],
)
def test_impossible_likelihoods_are_flagged(images, column, value, name):
    """What no sound evaluation gives fails its own check and no other."""
    found = checks(images.assign(**{column: value}))
    assert [check.name for check in found if not check.passed] == [name]


def test_long_estimate_over_other_points_is_not_compared(images):
    """Over the first points only, the long estimate says nothing of the mean over all: no check is made of it."""
    found = {check.name for check in checks(images.assign(long_points=500, nll_long=99.0))}
    assert "more draws do not raise -ln p(x)" not in found


def test_bound_that_rises_with_depth_is_flagged(tmp_path):
    """F of planar K=80 above that of K=10 in every seed: named."""
    compared(
        Plan(tmp_path, "table2", seeds=3, spread=0.1), {("planar", 10): (90.0, 85.0), ("planar", 80): (91.0, 85.0)}
    )
    found = {check.name: check for check in checks(read(tmp_path).frame)}
    assert not found["free_energy does not rise with K"].passed
    assert "planar K=10 to 80" in found["free_energy does not rise with K"].detail
