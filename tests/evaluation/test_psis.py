"""k-hat of weights whose tail is known."""

import math

import numpy as np
import pytest

from nfbench.evaluation.psis import khat


@pytest.mark.parametrize("k", [0.2, 0.5, 0.9, 1.5])
def test_pareto_weights_have_their_shape(k):
    """u^-k is Pareto of shape k; the fit to T = 3 sqrt(S) draws has standard deviation (1 + k) / sqrt(T), five allowed.

    The estimate is drawn towards 0.5 as ten more draws of that shape would (Vehtari et al. 2024, Appendix).
    """
    draws, rows = 40_000, 20
    khats = khat(-k * np.log(np.random.default_rng(0).random((rows, draws))))
    tail = 3 * math.sqrt(draws)
    expected, error = (tail * k + 5) / (tail + 10), (1 + k) / math.sqrt(tail)
    assert abs(khats - expected).max() < 5 * error
    assert abs(khats.mean() - expected) < 5 * error / math.sqrt(rows)


def test_a_factor_changes_nothing():
    """k-hat is the weights' up to a constant, however small they are."""
    rows = np.random.default_rng(1).normal(size=(3, 1000))
    assert khat(rows - 5000.0) == pytest.approx(khat(rows), rel=1e-6)


def test_bounded_weights_are_reliable():
    """Weights with a bound that many come near have a negative shape."""
    assert (khat(np.random.default_rng(2).random((5, 1000))) < 0.3).all()


def test_weights_that_cannot_be_fitted():
    """Equal weights have no tail, those hopelessly far apart the worst; none, few, or NaN among them are no number."""
    rows = np.random.default_rng(3).normal(size=(6, 1000))
    rows[0] = -3.0
    rows[1] = -3.0 + 1e-15 * rows[1]
    rows[2] *= 1e5
    rows[3, 7] = np.nan
    rows[4] = -np.inf
    khats = khat(rows)
    assert khats[:3].tolist() == [-np.inf, -np.inf, np.inf]
    assert np.isnan(khats[3:5]).all()
    assert np.isfinite(khats[5])
    assert np.isnan(khat(rows[5:, :24])).all()
    assert np.isfinite(khat(rows[5:, :25])).all()


def test_the_wider_apart_the_worse():
    """k-hat of log-normal weights grows with their spread, to infinity where the smaller ones vanish."""
    row = np.random.default_rng(4).normal(size=5000)
    khats = khat(np.stack([sigma * row for sigma in (0.5, 2, 5, 20, 100, 400, 700, 1e4)]))
    assert (np.diff(khats[:6]) > 0).all()
    assert (khats[6:] == np.inf).all()
