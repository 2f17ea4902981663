"""Sums of iterates over blocks: means and variances of any window, R-hat and slope against other libraries."""

import numpy as np
import pytest
import torch
from scipy import stats

from nfbench.training.trace import BLOCKS, Trace, rhat, slope


def filled(num, seed=0):
    """A trace of random walks, and the walks, (num, 2, 3)."""
    walks = torch.tensor(np.random.default_rng(seed).normal(size=(num, 2, 3)).cumsum(0)) + 1000.0
    trace = Trace(walks[0])
    for values in walks:
        trace.add(values)
    return trace, walks


@pytest.mark.parametrize("num", [400, 800, 1000, 3200])
def test_windows_are_those_of_all_values(num):
    """Means and variances of four parts of the last eight blocks equal those of the values, after merging too."""
    trace, walks = filled(num)
    end = trace.complete * trace.length
    length = 2 * trace.length
    means, variances = trace.means(1, 8, 4)
    parts = walks[end - 4 * length : end, 1].reshape(4, length, 3)
    assert torch.allclose(means, parts.mean(1), rtol=1e-12)
    assert torch.allclose(variances, parts.var(1), rtol=1e-8)
    assert num - end < trace.length
    assert trace.complete < BLOCKS


def test_blocks_that_begin_before_an_update_do_not_count():
    """Only whole blocks after an update are of the window that begins with it."""
    trace, _ = filled(300)
    assert [trace.blocks_since(update) for update in (0, 1, 25, 26, 300, 500)] == [12, 11, 11, 10, 0, 0]


def test_rhat_is_that_of_two_chains():
    """Split R-hat by its formula for one chain: sqrt((n - 1) / n + B / (n W)), and 1 where nothing varies."""
    values = np.random.default_rng(0).normal([[0.0], [0.5]], 1.0, (2, 50))
    within, between = values.var(1, ddof=1).mean(), 50 * values.mean(1).var(ddof=1)
    exact = np.sqrt(49 / 50 + between / 50 / within)
    means, variances = torch.tensor(values.mean(1))[:, None], torch.tensor(values.var(1, ddof=1))[:, None]
    assert float(rhat(means, variances, 50)) == pytest.approx(exact)
    assert float(rhat(torch.ones(2, 1), torch.zeros(2, 1), 50)) == 1.0


def test_the_slope_and_its_error_are_those_of_a_regression():
    """As scipy's linregress has them, in a thousand updates."""
    means = np.random.default_rng(0).normal(size=16) + 0.1 * np.arange(16)
    fit = stats.linregress(100 * np.arange(16), means)
    assert slope(torch.tensor(means), 100) == pytest.approx((1000 * fit.slope, 1000 * fit.stderr))
