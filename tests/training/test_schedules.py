"""Schedules: the annealing factor of the paper; the learning rate is tested beside the optimizers."""

import pytest

from nfbench.specification.config import Training
from nfbench.training.schedules import annealing


def test_annealing_follows_the_paper():
    """beta_t = min(1, 0.01 + t / 10000) reaches 1 at t = 9,900 and not one update before."""
    beta = annealing(Training(learning_rate=1e-5, updates=500_000, anneal_updates=10_000))
    assert beta(0) == 0.01
    assert beta(5_000) == pytest.approx(0.51, abs=1e-15)
    assert beta(9_899) < 1.0
    assert beta(9_900) == beta(499_999) == 1.0


def test_no_annealing_is_beta_one():
    """anneal_updates = 0 trains on the bound itself from the first update."""
    assert annealing(Training(learning_rate=0.1, updates=1, anneal_updates=0))(0) == 1.0
