"""Distances of two sets of draws: closed forms of Gaussians, and how often equal distributions are told apart."""

import math

import numpy as np
import pytest
from scipy import stats

from nfbench.evaluation import two_sample


def normal(seed, num=10_000, dim=1, mean=0.0, sd=1.0):
    """Draws of N(mean, sd^2 I), shape (num, dim)."""
    return mean + sd * np.random.default_rng(seed).normal(size=(num, dim))


def near(value, exact):
    """Whether an estimate lies within 4 of its standard errors of a number, and the error says something."""
    return abs(value.value - exact) < 4 * value.se < 0.1


def test_errors_of_moments_are_those_of_the_normals():
    """For N(0.3, 0.8^2) beside N(0, 1): 0.3 sd and ln 0.8, within 4 standard errors; the worst coordinate counts."""
    x, y = normal(0, dim=3), normal(1, dim=3)
    x[:, 1] = 0.3 + 0.8 * x[:, 1]
    assert near(two_sample.mean_error(x, y), 0.3)
    assert near(two_sample.log_sd_error(x, y), -math.log(0.8))
    assert near(two_sample.log_sd_ratio(x, y), math.log(0.8) / 3)


def test_standard_errors_of_moments_are_the_spread_of_repetitions():
    """Over 200 repetitions of 500 draws the stated errors are the standard deviations of the estimates, to 15 %."""
    for distance in (two_sample.mean_error, two_sample.log_sd_ratio, two_sample.log_sd_error):
        pairs = [distance(normal(2 * e, 500, mean=2.0, sd=1.5), normal(2 * e + 1, 500)) for e in range(200)]
        values, errors = np.array(pairs).T
        assert errors.mean() == pytest.approx(values.std(), rel=0.15)


@pytest.mark.parametrize(("dim", "mean", "sd"), [(1, 1.0, 1.0), (1, 0.5, 2.0), (4, 1.0, 0.5)])
def test_sliced_w2_is_that_of_the_normals(dim, mean, sd):
    """Sliced W2^2 of N(mean, sd^2 I) and N(0, I) is mean^2 + (sd - 1)^2, to 3 % and 4 standard errors."""
    found = two_sample.sliced_w2(normal(0, 20_000, dim, mean, sd), normal(1, 20_000, dim), np.random.default_rng(2))
    # E (theta . m)^2 = |m|^2 / D has the error of 100 directions, which all parts share: it is in no standard error.
    exact = math.sqrt(mean**2 + (sd - 1) ** 2)
    assert found.value == pytest.approx(exact, rel=0.03 if dim == 1 else 0.15)


@pytest.mark.parametrize("width", [0.5, 2.0])
def test_mmd_is_that_of_the_normals(width):
    """MMD^2 of N(1, 1) and N(0, 1) is 2 h / sqrt(h^2 + 2) (1 - exp(-1 / (2 (h^2 + 2)))), within 4 standard errors."""
    found = two_sample.squared_mmd(normal(0, mean=1.0), normal(1), width)
    spread = width**2 + 2
    assert near(found, 2 * width / math.sqrt(spread) * (1 - math.exp(-1 / (2 * spread))))


def test_equal_distributions_are_told_apart_about_as_often_as_nominal():
    """At a nominal 20 %, MMD rejects 150 pairs and C2ST 50 pairs of equal normals within 4 binomial errors of it."""
    level = 0.2
    blocks = 5
    t = stats.t.ppf(1 - level, blocks - 1)
    found = [two_sample.squared_mmd(normal(2 * e, 1000, 2), normal(2 * e + 1, 1000, 2), 1.5) for e in range(150)]
    rejected = np.mean([each.value > t * each.se for each in found])
    assert abs(rejected - level) < 4 * math.sqrt(level * (1 - level) / 150)
    z = stats.norm.ppf(1 - level)
    accuracies = [two_sample.c2st(normal(2 * e, 200, 2), normal(2 * e + 1, 200, 2), e).value for e in range(50)]
    rejected = np.mean([(each - 0.5) * 2 * math.sqrt(200) > z for each in accuracies])
    assert abs(rejected - level) < 4 * math.sqrt(level * (1 - level) / 50)


def test_unequal_distributions_are_told_apart():
    """N(0, I) and a normal with correlation 0.8: both tests see it at 5 standard errors, moments do not."""
    x, y = normal(0, 4000, 2), normal(1, 4000, 2)
    x[:, 1] = 0.8 * x[:, 0] + 0.6 * x[:, 1]
    accuracy, mmd = two_sample.c2st(x, y, 0), two_sample.squared_mmd(x, y, two_sample.median_distance(y))
    assert accuracy.value > 0.5 + 5 * accuracy.se
    assert mmd.value > 5 * mmd.se
    assert two_sample.log_sd_error(x, y).value < 0.1


def test_the_accuracy_is_that_of_the_best_classifier():
    """N(2, 1) and N(0, 1) are told apart with accuracy Phi(1), within 4 standard errors and a loss of 0.02."""
    found = two_sample.c2st(normal(0, 4000, mean=2.0), normal(1, 4000), 0)
    best = stats.norm.cdf(1.0)
    assert best - 0.02 - 4 * found.se < found.value < best + 4 * found.se


def test_a_constant_coordinate_is_no_error():
    """A coordinate in which the reference is constant is shifted, and not divided by zero."""
    y = normal(0, 100, 2)
    y[:, 1] = 3.0
    assert all(np.isfinite(each).all() for each in two_sample.standardise(y, y + 1))
