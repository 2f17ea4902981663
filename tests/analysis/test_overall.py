"""Rankings over targets: against scikit-posthocs and scipy, and how often their intervals hold."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats
from support.comparable import compared_block

from nfbench.analysis.best import standings
from nfbench.analysis.comparison import comparisons
from nfbench.analysis.improvement import improvement
from nfbench.analysis.interquartile import interquartile, interquartile_mean
from nfbench.analysis.overall import joined, left_out, overall, pairwise
from nfbench.analysis.profiles import profiles
from nfbench.analysis.refuted import refuted
from nfbench.analysis.scores import metric_of, scores
from nfbench.foundation.errors import InputError

DISTANCES = np.array([0.0, 0.1, 0.5, 2.0])


def runs_of(num=4, targets=5, seeds=6, seed=0):
    """Random runs (num, targets, seeds), the later posteriors worse, without equal values."""
    random = np.random.default_rng(seed)
    return np.abs(random.normal(size=(num, targets, seeds))) + 0.25 * np.arange(num)[:, None, None]


def block_of(values, names="abcdefgh"):
    return compared_block(
        {f"t{j}": {names[i]: values[i, j] for i in range(len(values))} for j in range(values.shape[1])}
    )


def test_pairwise_tests_are_those_of_scikit_posthocs():
    """Adjusted Wilcoxon p-values over targets and seeds agree with scikit-posthocs' for every pair."""
    posthocs = pytest.importorskip("scikit_posthocs", reason="scikit-posthocs is not installed")
    values = runs_of()
    pairs = pairwise(scores(block_of(values), "kl"))
    theirs = posthocs.posthoc_wilcoxon([each.ravel() for each in values], p_adjust="holm").to_numpy()
    order = ["abcd".index(name) for name in pairs.posteriors]
    np.testing.assert_allclose(pairs.p, theirs[np.ix_(order, order)], rtol=1e-10)
    assert pairs.blocks == 30


def test_mean_ranks_are_those_of_friedmans_test():
    """The mean ranks give the statistic of scipy's Friedman test."""
    values = runs_of()
    pairs = pairwise(scores(block_of(values), "kl"))
    k, n = len(values), pairs.blocks
    statistic = 12 * n / (k * (k + 1)) * ((pairs.ranks - (k + 1) / 2) ** 2).sum()
    assert statistic == pytest.approx(stats.friedmanchisquare(*(each.ravel() for each in values)).statistic)
    assert sorted(pairs.ranks) == list(pairs.ranks)


def test_iqm_improvement_and_profiles_are_scipys():
    """The interquartile mean is scipy's trimmed mean, P(improvement) its Mann-Whitney U, the profile its ECDF.

    rliable computes the first two by these functions too; it does not import beside pandas 3.
    """
    values = runs_of(targets=4, seeds=5)
    every = scores(block_of(values), "kl")
    for i, j in ((0, 1), (2, 1)):
        mine, base = every.runs("abcd"[i]), every.runs("abcd"[j])
        assert interquartile_mean(mine) == pytest.approx(stats.trim_mean(values[i], 0.25, axis=None))
        u = [stats.mannwhitneyu(values[j, t], values[i, t]).statistic for t in range(4)]
        assert improvement(mine, base).value == pytest.approx(np.mean(u) / 25)
    theirs = stats.ecdf(values[0].ravel()).cdf.evaluate(DISTANCES)
    np.testing.assert_allclose(profiles(every, DISTANCES)["a"], theirs)


def test_diverged_runs_are_the_worst():
    """A quarter of diverged runs is trimmed, more make the mean infinite; no profile reaches them, no rank is worse."""
    values = runs_of(num=2, targets=1, seeds=8)
    values[0, 0, :2] = math.inf
    every = scores(block_of(values), "kl")
    assert math.isfinite(interquartile(every.runs("a")).value)
    assert profiles(every, np.array([1e9]))["a"] == pytest.approx(6 / 8)
    table = overall(block_of(values), "kl").set_index("posterior")
    assert table.loc["a", "diverged"] == 2
    values[0, 0, :4] = math.inf
    lost = overall(block_of(values), "kl").set_index("posterior").loc["a"]
    assert lost["iqm"] == math.inf
    assert lost["iqm_low"] is None or math.isnan(lost["iqm_low"])
    assert improvement([np.full(3, np.inf)], [np.full(3, np.inf)]).value == 0.5


def test_a_posterior_without_a_run_on_some_target_is_left_out_and_named():
    """The ranking has only posteriors that can be ranked everywhere; the others are named."""
    values = runs_of(num=3, targets=3, seeds=3)
    values[1, 2] = math.nan
    block = block_of(values)
    assert left_out(block, "kl") == ["b"]
    assert sorted(overall(block, "kl")["posterior"]) == ["a", "c"]


def test_a_refuted_posterior_is_neither_ranked_nor_compared():
    """What `nfbench verify` refuted has no rank and no star, changes nobody's excess, and is named by the notes."""
    values = runs_of(num=4, targets=3, seeds=3)
    values[3] = values[:3].min(axis=0) / 9  # a bound that is none
    block = block_of(values)
    wrong = dataclasses.replace(block, rows=block.rows.assign(refuted=block.rows["posterior"] == "d"))
    assert overall(block, "kl")["posterior"].iloc[0] == "d"
    assert "d" in {key[-1] for key in standings(block, "kl")}
    assert overall(wrong, "kl").equals(overall(block_of(values[:3]), "kl"))
    assert "d" not in {key[-1] for key in standings(wrong, "kl")}
    assert refuted(wrong) == ["d"]
    assert refuted(block) == left_out(wrong, "kl") == []
    assert "d" not in set(comparisons(wrong, "kl", "a")["posterior"])
    for compare in (lambda: overall(wrong, "kl", against="d"), lambda: comparisons(wrong, "kl", "d")):
        with pytest.raises(InputError, match="posterior 'd': nfbench verify found that ln q is not the density"):
            compare()
    nobody = dataclasses.replace(block, rows=block.rows.assign(refuted=True))
    assert overall(nobody, "kl").empty


def test_high_values_are_better_where_they_are():
    """By a metric whose high values are better the order turns round, and the best has the least excess."""
    values = runs_of(num=3, targets=3, seeds=4)
    low = overall(block_of(values), "kl")["posterior"].tolist()
    targets = {f"t{j}": {"abc"[i]: values[i, j] for i in range(3)} for j in range(3)}
    table = overall(compared_block(targets, metric="ess"), "ess")
    assert table["posterior"].tolist() == low[::-1]
    assert table["iqm"].iloc[0] == table["iqm"].min()


def test_joined_groups_hold_no_pair_that_differs():
    """Neighbours that no test tells apart are joined, one that every test tells apart stands alone."""
    values = runs_of(num=3, seeds=10)
    values[1] = values[0] + 1e-3 * np.random.default_rng(1).normal(size=values[0].shape)
    values[2] += 50
    pairs = pairwise(scores(block_of(values), "kl"))
    assert joined(pairs) == [(0, 1)]
    assert pairs.posteriors[2] == "c"


@pytest.mark.parametrize(("over", "reason"), [("randomly", "expected fixed"), ("random", "expected at least 5")])
def test_wrong_targets_are_refused(over, reason):
    """Neither another word nor four targets that are to stand for others are taken."""
    with pytest.raises(InputError, match=reason):
        overall(block_of(runs_of(targets=4)), "kl", over)


def test_what_ranks_is_a_metric_of_every_target():
    """KL ranks where every target has it; where one lacks it (ln Z is not known there) the free energy does."""
    block = block_of(runs_of(num=2, targets=2))
    rows = block.rows.assign(free_energy=block.rows["kl"] - 1.0, free_energy_se=0.0)
    assert metric_of(dataclasses.replace(block, rows=rows), None) == "kl"
    rows.loc[rows["target"] == "t1", "kl"] = np.nan
    block = dataclasses.replace(block, rows=rows)
    assert metric_of(block, None) == "free_energy"
    assert len(overall(block, metric_of(block, None))) == 2


def test_a_metric_that_cannot_rank_is_refused():
    """An unknown metric, and one without a better end, are named in one line."""
    block = block_of(runs_of(num=2, targets=1))
    with pytest.raises(InputError, match="no metric named 'k1'"):
        metric_of(block, "k1")
    entropy = compared_block({"a": [1.0, 2.0]}, metric="entropy")
    with pytest.raises(InputError, match="neither better low nor high"):
        metric_of(entropy, "entropy")
    with pytest.raises(InputError, match="no metric of which"):
        metric_of(entropy, None)


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("over", ["fixed", "random"])
def test_intervals_cover_the_truth(seeds, over):
    """Over 300 simulations of six targets both intervals hold in 95 % of cases, within three standard errors.

    The page on numbers prints more cases from more simulations.
    """
    from benchmarks.interval_coverage import covered

    allowed = 3 * math.sqrt(0.05 * 0.95 / 300)
    for share in covered(over, 6, seeds, 300).values():
        assert 0.95 - allowed - 0.01 <= share <= 1.0
