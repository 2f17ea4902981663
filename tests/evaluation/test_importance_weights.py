"""Estimates from importance weights, against plain arithmetic."""

import math
import statistics

import pytest
import torch

from nfbench.evaluation import importance_weights

LOG_WEIGHT = torch.tensor([[0.3, -900.0], [-1.2, -901.5], [2.0, -899.0], [0.1, -930.0]], dtype=torch.float64)


@pytest.mark.parametrize("point", [0, 1])
def test_estimates_against_plain_sums(point):
    """F, -ln mean w and the effective sample size are what Python's sums give, also where every w underflows."""
    rows = LOG_WEIGHT[:, point].tolist()
    top = max(rows)
    w = [math.exp(row - top) for row in rows]
    assert importance_weights.bound(LOG_WEIGHT).value[point].item() == pytest.approx(-statistics.mean(rows))
    assert importance_weights.bound(LOG_WEIGHT).variance[point].item() == pytest.approx(statistics.variance(rows) / 4)
    assert importance_weights.nll(LOG_WEIGHT).value[point].item() == pytest.approx(-top - math.log(statistics.mean(w)))
    relative = statistics.variance(w) / statistics.mean(w) ** 2 / 4
    assert importance_weights.nll(LOG_WEIGHT).variance[point].item() == pytest.approx(relative)
    assert importance_weights.ess(LOG_WEIGHT).value[point].item() == pytest.approx(sum(w) ** 2 / sum(v * v for v in w))


def test_effective_sample_size_lies_between_one_and_all():
    """Equal weights count fully, one weight alone counts once."""
    equal, alone = torch.full((50, 1), -7.0), torch.cat([torch.zeros(1, 1), torch.full((49, 1), -800.0)])
    assert importance_weights.ess(equal.double()).value.item() == pytest.approx(50)
    assert importance_weights.ess(alone.double()).value.item() == pytest.approx(1)


def test_curve_against_plain_blocks():
    """Every point is the mean over complete blocks, in order; its variance is that of the blocks over their number."""
    rows = torch.randn(7, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    curve = importance_weights.curve(rows)
    assert importance_weights.lengths(7) == [1, 2, 5, 7]
    w = rows.squeeze(1).exp().tolist()
    for i, length in enumerate(importance_weights.lengths(7)):
        starts = range(0, 7 - length + 1, length)
        blocks = [-math.log(statistics.mean(w[start : start + length])) for start in starts]
        assert curve.value[i].item() == pytest.approx(statistics.mean(blocks))
        if len(blocks) > 1:
            assert curve.variance[i].item() == pytest.approx(statistics.variance(blocks) / len(blocks))
        else:
            assert curve.variance[i].item() == pytest.approx(importance_weights.nll(rows[:length]).variance.item())


@pytest.mark.parametrize("draws", [2, 5, 999, 1000, 5000])
def test_lengths_end_with_all_draws(draws):
    """The abscissa ascends from one draw to all of them, each once."""
    numbers = importance_weights.lengths(draws)
    assert numbers == sorted(set(numbers))
    assert (numbers[0], numbers[-1]) == (1, draws)
    assert {length for length in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000) if length <= draws} <= set(numbers)


def test_mean_over_data_and_its_error():
    """The variances of the data points add up: the data themselves are no source of error."""
    estimate = importance_weights.join(
        [importance_weights.bound(LOG_WEIGHT[:, :1]), importance_weights.bound(LOG_WEIGHT[:, 1:])]
    )
    value, error = estimate.over_data()
    assert value.item() == pytest.approx(-LOG_WEIGHT.mean().item())
    assert error.item() == pytest.approx(math.sqrt(sum(estimate.variance.tolist())) / 2)


@pytest.mark.parametrize(
    "estimate", [importance_weights.bound, importance_weights.nll, importance_weights.ess, importance_weights.curve]
)
def test_errors_are_the_spread(estimate):
    """Over 3000 repeats the stated variance is in the mean the variance, within 10 % where delta methods are in it.

    The standard deviation over repeats has a relative error of 1 / sqrt(6000); five are 7 %.
    """
    estimates = estimate(0.4 * torch.randn(500, 3000, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    ratio = estimates.value.std(-1) / estimates.variance.mean(-1).sqrt()
    assert ((ratio - 1).abs() < 0.1).all()
