"""A posterior beside draws of its target: closed forms of two Gaussians, floors, and modes that weights cannot see."""

import math

import numpy as np
import pytest
import torch

from nfbench import target
from nfbench.evaluation.evaluate import evaluate
from nfbench.evaluation.reference import compare, evaluate_reference, forward, reference_draws
from nfbench.posteriors.build import posterior
from nfbench.records.diagnostic_measures import DIAGNOSTICS, DISTANCES
from nfbench.specification.config import Evaluation
from nfbench.targets.function import FunctionTarget
from nfbench.training.objective import Inference

PLAIN = Evaluation(draws=1000, forward_draws=1000)
FULL = Evaluation(draws=1000, forward_draws=1000, diagnosis_draws=1000, reference_draws=2000)


class Normal(FunctionTarget):
    """An unnormalised N(0, I) with stored reference draws."""

    def __init__(self, dim, draws):
        super().__init__(lambda z: -0.5 * z.square().sum(-1), dim)
        self.draws = draws

    def reference(self):
        return self.draws


def gaussian(mean, sd, dim=1):
    """A posterior N(mean, sd^2 I)."""
    q = posterior("gaussian", dim)
    with torch.no_grad():
        q.source.base.copy_(torch.tensor([[mean] * dim + [math.log(sd)] * dim]).reshape(q.source.base.shape))
    return q


@pytest.mark.parametrize("log_z", [0.0, None])
@pytest.mark.parametrize(("mean", "sd"), [(0.2, 1.1), (-0.3, 1.5)])
def test_eubo_and_forward_ess_are_those_of_two_normals(log_z, mean, sd):
    """Draws of p = N(0, 1) for q = N(mean, sd^2): KL(p||q), and 1 / E_p[p / q], within 4 standard errors."""
    x = np.random.default_rng(0).normal(size=100_000)
    found = forward(-0.5 * x**2 + 0.5 * ((x - mean) / sd) ** 2 + math.log(sd), log_z)
    kl = math.log(sd) + (1 + mean**2) / (2 * sd**2) - 0.5
    share = math.sqrt(2 * sd**2 - 1) / sd**2 * math.exp(-(mean**2) / (2 * sd**2 - 1))
    assert abs(found["eubo"].value - kl) < 4 * found["eubo"].se < 0.02
    assert abs(found["forward_ess"].value - share) < 4 * found["forward_ess"].se < 0.02


def test_a_constant_in_the_density_moves_eubo_only():
    """The forward effective sample size does not depend on ln Z where that is not known."""
    log_weight = np.random.default_rng(0).normal(size=1000)
    plain, shifted = forward(log_weight), forward(log_weight + 700.0)
    assert shifted["eubo"].value == pytest.approx(plain["eubo"].value + 700)
    assert shifted["forward_ess"].value == pytest.approx(plain["forward_ess"].value)


def test_every_distance_of_an_exact_posterior_is_at_its_floor():
    """Draws of p itself are as far from the reference as its other half, within 4 errors of the difference."""
    draws = np.random.default_rng(0).normal(size=(3, 2000, 3)) * [1.0, 10.0, 0.1]
    metrics = compare(*draws, seed=0)
    for name in DISTANCES:
        value, floor = metrics[name], metrics[f"{name}_floor"]
        assert abs(value.value - floor.value) < 4 * math.hypot(value.se, floor.se), name


def test_a_wrong_posterior_is_above_every_floor():
    """N(0.5, 0.7^2) for N(0, 1): each distance leaves its floor by more than 4 errors."""
    first, second, third = np.random.default_rng(0).normal(size=(3, 4000, 2))
    metrics = compare(0.5 + 0.7 * third, first, second, seed=0)
    for name in DISTANCES:
        value, floor = metrics[name], metrics[f"{name}_floor"]
        assert abs(value.value - floor.value) > 4 * math.hypot(value.se, floor.se), name


def test_a_mode_that_weights_cannot_see_is_seen_by_the_reference():
    """On one of two modes k-hat is good, the forward effective sample size is 0 and a classifier sees it."""
    places = torch.where(torch.arange(4000) < 2000, 9.0, -9.0).unsqueeze(1)
    draws = places + torch.randn(4000, 1, generator=torch.Generator().manual_seed(0))
    two = Normal(1, draws)
    two.function = lambda z: torch.logaddexp(-0.5 * (z[..., 0] - 9) ** 2, -0.5 * (z[..., 0] + 9) ** 2)
    metrics, _ = evaluate(Inference(two, gaussian(9.0, 1.0)), FULL, 0)
    assert "khat" not in metrics or metrics["khat"].value < metrics["khat_threshold"].value
    assert metrics["psis_gap"].value < 0.01
    assert metrics["forward_ess"].value < 1e-6
    assert metrics["c2st"].value > 0.7


def test_stored_draws_are_thinned_evenly_and_shuffled():
    """Of 1000 stored draws every fourth is taken, each once, and halves have draws from everywhere."""
    draws = reference_draws(Normal(1, torch.arange(1000.0).unsqueeze(1)), 250, 0)
    assert sorted(draws.flatten().tolist()) == list(range(0, 1000, 4))
    assert abs(float(draws[:125].mean()) - 500) < 4 * 290 / math.sqrt(125)
    assert torch.equal(draws, reference_draws(Normal(1, torch.arange(1000.0).unsqueeze(1)), 250, 0))


def test_without_draws_of_the_target_nothing_is_compared():
    """A density without sampler and reference, too few draws, and one without normaliser have no such metrics."""
    for density in (FunctionTarget(lambda z: -z.square().sum(-1), 2), Normal(2, torch.randn(50, 2))):
        assert evaluate_reference(Inference(density, posterior("gaussian", 2)), 1000, 0) == {}
    assert reference_draws(target("u2:walls=none"), 100, 0) is None


def test_diagnostics_are_switched_on_by_options_that_default_to_nothing():
    """Without the options metrics and the stored text are those of before; with them all diagnostics are there."""
    plain, arrays = evaluate(Inference(target("u1"), gaussian(0.5, 1.2, 2)), PLAIN, 0)
    assert set(plain) == {"free_energy", "kl", "forward_kl"}
    full, more = evaluate(Inference(target("u1"), gaussian(0.5, 1.2, 2)), FULL, 0)
    assert set(full) == set(plain) | set(DIAGNOSTICS)
    assert all(full[name] == plain[name] for name in plain)
    assert {name: len(more[name]) for name in set(more) - set(arrays)} == {
        name: 2
        for name in (
            *("reweighted_mean", "reweighted_mean_se", "reweighted_sd", "reweighted_sd_se"),
            *("posterior_mean", "posterior_sd"),
        )
    }
    assert not {"diagnosis_draws", "reference_draws"} & set(PLAIN.model_dump())
    assert {"diagnosis_draws", "reference_draws"} <= set(FULL.model_dump())
    assert full["eubo"].value == pytest.approx(full["forward_kl"].value + target("u1").log_z, abs=0.3)


def test_every_diagnostic_says_how_it_is_computed_where_it_is_from_and_what_it_cannot_see():
    """The glossary's entries of diagnostics have a formula, a source and a limit."""
    for name, entry in DIAGNOSTICS.items():
        assert entry.formula, name
        assert entry.source, name
        assert entry.blind, name
