"""Statistics of stored records, against scipy and against records made to show one thing."""

import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from support.synthetic import FIGURE3_KL, Plan, figure3

from nfbench.analysis.blocks import blocks, median_seeds, metrics
from nfbench.analysis.differences import against, beside, depth_steps, paired
from nfbench.analysis.summary import curve_bands, estimate, summary
from nfbench.present.results import results as read

KEY = ("u1", "nice:K=32,mixing=orthogonal", 3)


@pytest.fixture(scope="module")
def frame(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    figure3(Plan(root, diverged={KEY}), targets=("u1", "u2"))
    figure3(Plan(root, learning_rate=0.01, seeds=2), targets=("u1",))
    figure3(Plan(root / "reference", spread=0.2), targets=("u1",))
    return read(root).frame


def cells(frame, target="u1", posterior="planar:K=8", source="own"):
    """The rows of one configuration of the block with five seeds."""
    rows = frame[(frame["target"] == target) & (frame["posterior"] == posterior) & (frame["source"] == source)]
    return rows[rows.groupby("recipe")["seed"].transform("max") == 4]


def block_of_five(frame):
    return next(block.rows for block in blocks(frame) if len(block.rows) > 100)


def test_interval_is_scipys_t_interval():
    """Mean and 95 % interval are those of a one-sample t-test, and values that are not finite do not count."""
    sample = np.random.default_rng(0).normal(3, 2, 7)
    found = estimate([*sample, math.nan, math.inf])
    interval = stats.ttest_1samp(sample, 0).confidence_interval(0.95)
    assert found.n == 7
    np.testing.assert_allclose(
        [found.mean, found.low, found.high], [sample.mean(), interval.low, interval.high], rtol=1e-12
    )


def test_interval_is_never_narrower_than_the_monte_carlo_error():
    """Five seeds that agree by chance have the interval of their draws' error; five that do not, Student's."""
    agree, error = [27.78, 27.781, 27.779, 27.78, 27.78], [0.024] * 5
    found = estimate(agree, error)
    assert (found.high - found.low) / 2 == pytest.approx(1.959964 * 0.024 / math.sqrt(5), rel=1e-6)
    assert found.se == pytest.approx(0.024 / math.sqrt(5))
    apart = [27.0, 28.0, 27.5, 26.0, 29.0]
    assert estimate(apart, error) == estimate(apart)
    assert estimate(agree, [math.nan] * 5) == estimate(agree)


def test_two_values_make_no_interval():
    """Of two seeds both values are kept, and no interval is claimed."""
    found = estimate([28.0, 27.0], [0.5, 0.5])
    assert (found.mean, found.low, found.high, found.least, found.largest) == (27.5, None, None, 27.0, 28.0)
    assert found.se == pytest.approx(0.5)


def test_errors_of_a_paired_difference_are_both_sides(frame):
    """The difference of two cells has both their Monte-Carlo errors, of one and the same cell none."""
    left, right = (cells(frame, posterior=f"{name}:K=8").assign(kl=0.5) for name in ("radial", "planar"))
    found = paired(left, right, "kl")
    assert (found.high - found.low) / 2 == pytest.approx(1.959964 * math.hypot(0.003, 0.003) / math.sqrt(5), rel=1e-6)
    assert paired(left, left, "kl").high == 0.0


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize(("spread", "most"), [(0.0, 0.99), (1.0, 0.98), (10.0, 0.96)])
def test_intervals_cover_the_mean_as_often_as_they_say(seeds, spread, most):
    """In 2,000 simulations a nominal 95 % covers 94 % or more, and where the spread over seeds rules no more than 96 %.

    Where the draws' error rules, the larger one of two intervals covers more often; the documentation prints how often.
    """
    rng = np.random.default_rng(seeds)
    values = spread * rng.normal(size=(2000, seeds)) + rng.normal(size=(2000, seeds))
    found = [estimate(row, np.ones(seeds)) for row in values]
    covered = np.mean([one.low < 0 < one.high for one in found])
    assert 0.94 <= covered <= most


@pytest.mark.parametrize("values", [[], [2.0], [math.nan, 2.0]])
def test_too_few_values_leave_none_not_nan(values):
    """Without two values there is no interval, and what is missing is None."""
    found = estimate(values)
    assert found.mean in (None, 2.0)
    assert (found.sd, found.se, found.low, found.high) == (None, None, None, None)


def test_paired_difference_is_scipys_related_test(frame):
    """The paired interval over common seeds is that of ttest_rel."""
    left, right = cells(frame, posterior="radial:K=8"), cells(frame, posterior="planar:K=8")
    found = paired(left, right, "kl")
    test = stats.ttest_rel(left.sort_values("seed")["kl"], right.sort_values("seed")["kl"])
    np.testing.assert_allclose([found.low, found.high], list(test.confidence_interval(0.95)), rtol=1e-10)
    np.testing.assert_allclose(found.mean / found.se, test.statistic, rtol=1e-10)


def test_pairs_are_by_seed_and_skip_what_diverged(frame):
    """The seed that diverged on one side is left out on both, whatever the order of rows."""
    left, right = cells(frame, posterior=KEY[1]), cells(frame)
    common = [0, 1, 2, 4]
    sides = [side.set_index("seed")["kl"].loc[common] for side in (left, right)]
    for order in (0, 1, 2):
        found = paired(left, right.sample(frac=1, random_state=order), "kl")
        assert found.n == 4
        assert math.isclose(found.mean, (sides[0] - sides[1]).mean(), rel_tol=1e-12)
        assert math.isclose(found.sd, (sides[0] - sides[1]).std(), rel_tol=1e-12)


def test_nothing_is_averaged_across_recipes_or_sources(frame):
    """Own records of two learning rates and reference records stay three rows of one configuration."""
    found = summary(frame)
    rows = found[(found["target"] == "u1") & (found["posterior"] == "planar:K=8")]
    assert sorted(rows["seeds"]) == [2, 5, 5]
    assert len(list(blocks(frame))) == 3
    one = rows[(rows["source"] == "own") & (rows["seeds"] == 5)].iloc[0]
    assert math.isclose(one["kl"], cells(frame)["kl"].mean(), rel_tol=1e-12)


def test_other_data_are_another_block(frame):
    """Two protocols of data are never in one mean."""
    other = cells(frame).assign(data="sha256:1")
    assert len(summary(pd.concat([cells(frame), other]))) == 2


def test_diverged_seed_is_counted_and_left_out(frame):
    """Counts of outcomes stand beside the mean over the others."""
    found = summary(block_of_five(frame)).set_index(["target", "posterior"]).loc[KEY[:2]]
    assert (found["seeds"], found["done"], found["diverged"], found["kl_n"]) == (5, 4, 1, 4)


def test_summary_keeps_the_experiments_order(frame):
    """Rows come as the experiment lists them, not by name."""
    found = summary(block_of_five(frame))
    assert list(found["order"]) == sorted(found["order"])
    assert found["posterior"].iloc[0] == "planar:K=2"


def test_one_seed_keeps_its_own_error(frame):
    """A mean over one seed has that cell's Monte-Carlo error, one over several their spread."""
    rows = cells(frame)
    (one,) = summary(rows[rows["seed"] == 2]).itertuples()
    (five,) = summary(rows).itertuples()
    assert (one.kl_n, one.kl_se) == (1, 0.003)
    assert five.kl_se == pytest.approx(rows["kl"].std() / math.sqrt(5), rel=1e-12)


def test_depth_steps_are_paired(frame):
    """A step from K=2 to K=8 is the paired difference of the two."""
    found = depth_steps(block_of_five(frame), "kl").set_index(["target", "family", "K_from"])
    step = found.loc[("u1", "planar", 2)]
    expected = paired(cells(frame), cells(frame, posterior="planar:K=2"), "kl")
    assert (step["K_to"], step["mean"], step["low"]) == (8, expected.mean, expected.low)


def test_against_takes_equal_or_fixed_depth(frame):
    """Differences to a baseline family are at equal K, or to one K of it."""
    rows = block_of_five(frame)
    equal = against(rows, "kl", "planar").set_index(["target", "posterior"])
    fixed = against(rows, "kl", "planar", K=32).set_index(["target", "posterior"])
    assert equal.loc[("u1", "planar:K=2"), "mean"] == 0.0
    expected = paired(cells(frame, posterior="planar:K=2"), cells(frame, posterior="planar:K=32"), "kl")
    assert fixed.loc[("u1", "planar:K=2"), "mean"] == expected.mean


def test_median_seed_has_the_median_kl(frame):
    """Of five seeds the third by KL is shown, of four the second; a diverged one never."""
    chosen = median_seeds(block_of_five(frame)).set_index(["target", "posterior"])
    assert chosen.loc[("u1", "planar:K=8"), "kl"] == cells(frame)["kl"].median()
    four = cells(frame, posterior=KEY[1])["kl"].dropna().sort_values()
    assert chosen.loc[KEY[:2], "kl"] == four.iloc[1]


def test_beside_pairs_equal_configurations_of_both_sources(frame):
    """Own and reference stand beside each other where recipe and seed agree, and only there."""
    found = beside(frame).query("metric == 'kl'").set_index("posterior")
    row = found.loc["planar:K=8"]
    assert set(found["target"]) == {"u1"}
    assert (row["own"].n, row["reference"].n, row["paired"].n) == (5, 5, 5)
    assert row["own"].mean == pytest.approx(cells(frame)["kl"].mean(), rel=1e-12)
    assert row["paired"].mean == pytest.approx(row["own"].mean - row["reference"].mean, rel=1e-9)
    assert row["reference"].mean == pytest.approx(cells(frame, source="reference")["kl"].mean(), rel=1e-12)


def test_metrics_are_what_the_records_hold(frame):
    """Columns are the metrics that are there, not a fixed list."""
    assert metrics(frame) == ["kl", "forward_kl", "free_energy"]
    assert metrics(frame.assign(my_score=1.0, my_score_se=math.nan))[-1] == "my_score"


def test_curve_bands_are_quantiles_over_seeds():
    """Median and deciles at each step over the seeds that still have a value there."""
    curves = [{"step": [0, 10], "free_energy": [float(i), None if i == 4 else 10.0 * i]} for i in range(5)]
    found = curve_bands(curves)
    assert list(found["n"]) == [5, 4]
    assert list(found["median"]) == [2.0, 15.0]
    np.testing.assert_allclose(found["low"], [0.4, 3.0])
    np.testing.assert_allclose(found["high"], [3.6, 27.0])


def test_all_seeds_lost_still_gives_a_row(tmp_path):
    """A configuration of which nothing is done keeps its row, with counts and without a mean."""
    lost = {("u1", "planar:K=2", seed) for seed in range(2)}
    figure3(Plan(tmp_path, seeds=2, diverged=lost), targets=("u1",), kls={"planar": FIGURE3_KL["planar"]})
    found = summary(read(tmp_path).frame).set_index("posterior").loc["planar:K=2"]
    assert (found["diverged"], found["kl_n"]) == (2, 0)
    assert pd.isna(found["kl"])


def test_downstream_of_records_needs_no_torch():
    """Statistics, tables, plots and the report run where torch is not."""
    modules = "analysis.summary, nfbench.present.tables.experiment, nfbench.present.report.build"
    code = f"import sys, nfbench.{modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
