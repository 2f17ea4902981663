"""Who beats whom on one target: tests by seed, their correction, the ROPE, and the seeds that are needed."""

import math

import numpy as np
import pytest
from scipy import stats
from support.comparable import compared_block

from nfbench.analysis.comparison import baselines, comparisons, holm, paired_test
from nfbench.analysis.equivalence import equivalence
from nfbench.analysis.power import MOST_SEEDS, needed_seeds
from nfbench.analysis.rope import signed_rank
from nfbench.analysis.summary import estimate
from nfbench.foundation.errors import InputError

MARGIN = 0.05


def test_holm_is_that_of_statsmodels():
    """Adjusted p-values agree with statsmodels' for random p-values with equal ones among them."""
    multitest = pytest.importorskip("statsmodels.stats.multitest", reason="statsmodels is not installed")
    random = np.random.default_rng(0)
    for size in (1, 2, 7, 40):
        values = np.round(random.uniform(size=size), 2)
        _, theirs, _, _ = multitest.multipletests(values, method="holm")
        np.testing.assert_allclose(holm(values), theirs, rtol=1e-12)


def test_a_test_that_was_not_made_does_not_count():
    """With NaN among them the others are adjusted as without it."""
    assert holm([0.01, math.nan, 0.02])[::2] == holm([0.01, 0.02])
    assert holm([]) == []


def test_the_paired_test_is_scipys():
    """Without divergence the p-value is that of the paired t-test; Monte-Carlo errors can only raise it."""
    random = np.random.default_rng(1)
    for n in (2, 3, 10):
        mine, theirs = random.normal(size=n), random.normal(0.5, 1, size=n)
        differences = mine - theirs
        expected = stats.ttest_rel(mine, theirs).pvalue
        assert paired_test(differences, estimate(differences)) == pytest.approx(expected, rel=1e-10)
        assert paired_test(differences, estimate(differences, [5.0] * n)) > expected


def test_a_seed_that_diverged_is_the_worst():
    """Of eight seeds all of which diverged on one side the test is the exact signed-rank test, 2 / 2^8; of both, 1."""
    one, both = np.full(8, np.inf), np.zeros(8)
    assert paired_test(one, estimate([])) == pytest.approx(2 / 2**8)
    assert paired_test(both, estimate([])) == 1.0 or math.isnan(paired_test(both, estimate([])))
    block = compared_block({"a": [0.1] * 8, "b": [math.inf] * 8})
    assert comparisons(block, "kl", "b")["verdict"].tolist() == ["better"]
    assert comparisons(block, "kl", "a")["verdict"].tolist() == ["worse"]
    assert comparisons(block, "kl", "a")["improvement"].tolist() == [0.0]


def signed_rank_by_hand(differences, margin, draws):
    """Benavoli et al. (2017), eq. 9, by loops over pairs, with weights from gamma variates: below, within, above."""
    random, values = np.random.default_rng(7), [0.0, *differences]
    counts = {"below": 0, "within": 0, "above": 0}
    for _ in range(draws):
        weights = random.gamma([0.5, *[1.0] * len(differences)])
        shares = dict.fromkeys(counts, 0.0)
        for left, mine in zip(values, weights, strict=True):
            for right, theirs in zip(values, weights, strict=True):
                total = left + right
                side = "above" if total > 2 * margin else "below" if total < -2 * margin else "within"
                shares[side] += mine * theirs
        counts[max(shares, key=shares.get)] += 1
    return tuple(count / draws for count in counts.values())


@pytest.mark.parametrize("margin", [0.05, 0.3])
def test_the_rope_is_that_of_its_formula(margin):
    """The three probabilities agree with an implementation by loops within the Monte-Carlo error of both."""
    random, draws = np.random.default_rng(2), 1000
    for n, shift in ((5, 0.0), (5, 0.1), (12, -0.2), (30, 0.04)):
        differences = shift + 0.2 * random.normal(size=n)
        expected = signed_rank_by_hand(differences, margin, draws)
        assert signed_rank(differences, margin) == pytest.approx(expected, abs=4 * math.sqrt(0.25 / draws))


def test_within_the_margin_is_the_equivalence_test():
    """The p-value of the two one-sided tests is that by which a paper's number counts as reproduced."""
    values = {"a": [0.10, 0.12, 0.11, 0.13, 0.09], "b": [0.11, 0.11, 0.12, 0.12, 0.10]}
    table = comparisons(compared_block(values), "kl", "b")
    (row,) = table.to_dict("records")
    difference = estimate(np.subtract(values["a"], values["b"]))
    assert row["p_within"] == pytest.approx(equivalence(difference, 0.0, 0.0, MARGIN).p_value, rel=1e-6)
    assert row["verdict"] == "within the margin"
    assert row["prob_within"] > 0.99


def test_verdicts_are_corrected_over_the_table():
    """A difference with p = 0.01 is shown alone, and no longer among ten without a difference."""
    random = np.random.default_rng(3)
    noise = random.normal(size=6)
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    base = random.normal(size=6)
    shift = float(stats.t.isf(0.005, 5)) / math.sqrt(6)
    alone = {"base": base, "x": base + noise + shift}
    many = alone | {f"n{number}": base + random.permutation(noise) for number in range(10)}
    row = comparisons(compared_block(alone), "kl", "base").iloc[0]
    assert row["p"] == row["p_holm"] == pytest.approx(0.01, rel=0.01)
    assert row["verdict"] == "worse"
    table = comparisons(compared_block(many), "kl", "base").set_index("posterior")
    assert table.loc["x", "p_holm"] == pytest.approx(0.11, rel=0.01)
    assert table.loc["x", "verdict"].startswith("undecided")
    assert table.loc["x", "needed"] > row["needed"]


def test_two_seeds_say_how_many_are_needed():
    """Of two seeds with a spread of 0.02 the verdict names the number; of one seed that it cannot decide."""
    two = comparisons(compared_block({"a": [0.10, 0.13], "b": [0.10, 0.10]}), "kl", "b").iloc[0]
    assert two["verdict"] == f"2 seeds cannot decide this: about {needed_seeds(two['sd'], 2, MARGIN)} needed"
    one = comparisons(compared_block({"a": [0.10], "b": [0.2]}), "kl", "b").iloc[0]
    assert one["verdict"] == "1 seed cannot decide this"


def test_needed_seeds_of_a_known_spread_are_those_of_the_t_test():
    """With a spread known from 100,000 seeds the number is the least at which the t-test's power is 80 %."""
    for ratio in (0.5, 1.0, 3.0):
        found = needed_seeds(0.05 * ratio, 100_000, 0.05)

        def power(n, ratio=ratio):
            return stats.nct.sf(stats.t.isf(0.025, n - 1), n - 1, math.sqrt(n) / ratio)

        assert power(found) >= 0.8 - 0.02
        assert power(found - 2) < 0.8
    assert needed_seeds(100.0, 3, 0.05) is None


@pytest.mark.parametrize("pilot", [2, 3, 5, 10])
def test_a_planted_difference_is_found_at_the_needed_number_of_seeds(pilot):
    """From a pilot of few seeds, 0.05 nats are found in at least 80 % of experiments, at no difference in at most 5 %.

    The pilot's spread takes 200 equally likely values; each needs a number of seeds, of which 200 experiments are
    simulated. Both shares hold within three standard errors.
    """
    random, size, spread = np.random.default_rng([pilot, 1]), 200, 0.05
    chances = (np.arange(size) + 0.5) / size
    spreads = spread * np.sqrt(stats.chi2.ppf(chances, pilot - 1) / (pilot - 1))
    seeds = [needed_seeds(float(sd), pilot, MARGIN) or MOST_SEEDS for sd in spreads]
    n = np.minimum(seeds, 1000)[:, None]  # a pilot of two can ask for more; with fewer, less is found
    means = spread / np.sqrt(n) * random.normal(size=(size, size))
    errors = spread * np.sqrt(random.chisquare(n - 1, size=(size, size)) / (n - 1) / n)
    found, false = ((2 * stats.t.sf(abs(shift + means) / errors, n - 1) < 0.05).mean() for shift in (MARGIN, 0.0))
    assert found >= 0.8 - 3 * math.sqrt(0.2 * 0.8) / size
    assert false <= 0.05 + 3 * math.sqrt(0.05 * 0.95) / size


def test_a_family_is_compared_at_equal_depth_and_a_posterior_with_all():
    """A spec without K means the member of equal K, or the only one; with K, that posterior; another is refused."""
    block = compared_block({name: [0.1, 0.2, 0.3] for name in ("planar:K=2", "planar:K=8", "radial:K=8", "gaussian")})
    assert baselines(block, "planar") == {"radial:K=8": "planar:K=8"}
    assert baselines(block, "gaussian") == dict.fromkeys(["planar:K=2", "planar:K=8", "radial:K=8"], "gaussian")
    assert baselines(block, "planar:K=2") == dict.fromkeys(["planar:K=8", "radial:K=8", "gaussian"], "planar:K=2")
    with pytest.raises(InputError, match="did you mean planar"):
        baselines(block, "plnar")
