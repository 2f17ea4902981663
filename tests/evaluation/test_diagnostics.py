"""Diagnostics of densities: thresholds, smoothed weights, reweighted moments, the gap, agreement of restarts."""

import math

import numpy as np
import pytest
import torch

from nfbench.analysis.agreement import agreement
from nfbench.evaluation.diagnostics import diagnose, evaluate_weights, of_weights
from nfbench.evaluation.psis import khat, khat_threshold, smoothed
from nfbench.posteriors.build import posterior
from nfbench.targets.function import FunctionTarget
from nfbench.training.objective import Inference


def weighted(scale, mean=0.0, draws=20_000, seed=0):
    """Draws of N(0, 1) with the weights of an unnormalised N(mean, scale^2), whose ln Z is ln(scale sqrt(2 pi))."""
    z = np.random.default_rng(seed).normal(size=(draws, 1))
    log_p = -0.5 * ((z[:, 0] - mean) / scale) ** 2
    log_q = -0.5 * z[:, 0] ** 2 - 0.5 * math.log(2 * math.pi)
    return z, log_p - log_q


@pytest.mark.parametrize(("draws", "threshold"), [(100, 0.5), (200, 0.5654), (1000, 2 / 3), (2155, 0.7), (10**6, 0.7)])
def test_the_threshold_of_khat_grows_with_the_draws(draws, threshold):
    """min(1 - 1 / log10 S, 0.7), by hand."""
    assert khat_threshold(draws) == pytest.approx(threshold, abs=1e-4)


def test_smoothing_keeps_the_scale_and_the_bulk_of_the_weights():
    """Weights below the tail are untouched, those of the tail stay ordered, and k-hat is that of `khat`."""
    _, log_weight = weighted(1.3)
    log_w, shape = smoothed(log_weight)
    order = np.argsort(log_weight)
    assert np.allclose(log_w[order][:19_000], log_weight[order][:19_000])
    assert not np.allclose(log_w[order][-100:], log_weight[order][-100:])
    assert (np.diff(log_w[order]) >= -1e-12).all()
    assert shape == khat(log_weight[None])[0]


def test_the_gap_and_the_reweighted_moments_are_those_of_p():
    """For two normals the gap is their KL, and reweighted moments are those of p within 4 MCSE, others those of q."""
    mean, scale = 0.3, 0.9
    found = of_weights(*weighted(scale, mean))
    exact = math.log(scale) + (1 + mean**2) / (2 * scale**2) - 0.5
    assert found.reliable
    assert abs(found.gap.value - exact) < 4 * found.gap.se
    assert found.gap.se < 0.01
    assert abs(found.reweighted.mean[0] - mean) < 4 * found.reweighted.mean_se[0]
    assert abs(found.reweighted.sd[0] - scale) < 4 * found.reweighted.sd_se[0]
    assert found.plain.sd[0] == pytest.approx(1.0, abs=0.02)
    assert abs(found.plain.mean[0]) < 4 * found.plain.mean_se[0]


def test_the_errors_are_those_that_repetitions_have():
    """MCSE of means, sds and gap against the spread over 200 repetitions of 1000 draws, to 25 %."""
    many = [of_weights(*weighted(0.8, 0.2, 1000, seed)) for seed in range(200)]
    for spread, said in (
        ([each.reweighted.mean[0] for each in many], [each.reweighted.mean_se[0] for each in many]),
        ([each.reweighted.sd[0] for each in many], [each.reweighted.sd_se[0] for each in many]),
        ([each.gap.value for each in many], [each.gap.se for each in many]),
    ):
        assert np.mean(said) == pytest.approx(np.std(spread), rel=0.25)


def test_a_narrow_approximation_is_not_reliable():
    """Draws of N(0, 1) for N(0, 3^2): weights have infinite variance, and k-hat says so."""
    found = of_weights(*weighted(3.0))
    assert not found.reliable
    assert found.ess < 0.1 * found.draws


def test_weights_that_are_not_finite_are_nan_not_an_error():
    """A NaN weight, and weights that are all zero, have no k-hat and are not reliable."""
    z, log_weight = weighted(1.0, draws=200)
    for wrong in (np.where(np.arange(200) == 3, np.nan, log_weight), np.full(200, -np.inf)):
        found = of_weights(z, wrong)
        assert math.isnan(found.khat)
        assert not found.reliable


def test_a_posterior_that_misses_a_mode_looks_good_and_restarts_disagree():
    """What weights cannot see, agreement of restarts can: each of two Gaussians sits on another mode."""
    target = FunctionTarget(lambda z: torch.logaddexp(-0.5 * (z[..., 0] - 9) ** 2, -0.5 * (z[..., 0] + 9) ** 2), 1)
    found = []
    for place in (-9.0, 9.0):
        q = posterior("gaussian", 1)
        with torch.no_grad():
            next(iter(q.parameters())).copy_(torch.tensor([place, 0.0]).reshape(next(iter(q.parameters())).shape))
        found.append(diagnose(Inference(target, q), 1000))
    assert all(each.reliable for each in found)
    assert all(each.gap.value < 0.01 for each in found)
    plain = [each.plain for each in found]
    apart = agreement(
        [each.mean for each in plain], [each.sd for each in plain], [each.free_energy.value for each in found]
    )
    assert apart.moments > 10
    assert apart.free_energy < 0.01


def test_moments_can_be_those_of_another_space():
    """With `constrain`, moments are of what it returns."""
    target = FunctionTarget(lambda z: -0.5 * z.square().sum(-1), 2)
    found = diagnose(Inference(target, posterior("gaussian", 2)), 500, constrain=lambda z: z[:, :1].exp())
    assert found.plain.mean.shape == (1,)
    assert found.plain.mean[0] > 1


def test_moments_can_be_those_of_counts():
    """What `constrain` returns may be integers, as the halves that draws lie in."""
    target = FunctionTarget(lambda z: -0.5 * z.square().sum(-1), 1)
    found = diagnose(Inference(target, posterior("gaussian", 1)), 10_000, constrain=lambda z: (z > 0).long())
    assert found.plain.mean[0] == pytest.approx(0.5, abs=4 * 0.5 / 100)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_constant_coordinate_changes_no_shift_and_loses_no_moment(dtype):
    """The diagonal of a correlation matrix is 1 up to rounding, half of a Cholesky factor 0: neither is a shift."""

    def constrain(z):
        rounded = 1 + torch.finfo(z.dtype).eps * (z[:, :1] > 0)
        return torch.cat([z, torch.zeros_like(z), rounded], 1)

    def metrics(target):
        model = Inference(target, posterior("gaussian", 1, seed=0)).to(dtype=dtype)
        model.posterior.source.base.data += 0.1
        return evaluate_weights(model, 500, 0)

    target = FunctionTarget(lambda z: -0.5 * z.square().sum(-1), 1)
    alone, _ = metrics(target)
    target.constrain = constrain
    beside, arrays = metrics(target)
    for name in ("mean_shift", "log_sd_shift"):
        assert beside[name].value == pytest.approx(alone[name].value, rel=1e-9)
        assert beside[name].se == pytest.approx(alone[name].se, rel=1e-9)
    assert arrays["posterior_mean"][1:].tolist() == pytest.approx([0.0, 1.0], abs=1e-6)
    assert all(not values[1:].any() for name, values in arrays.items() if not name.endswith("mean"))


def test_an_exact_posterior_in_float32_is_exact():
    """Weights that differ by rounding in float32 have no tail: k-hat says exact, not that none can be trusted."""
    mean, sd = torch.tensor([1.0, -3.0]), torch.tensor([0.5, 2.0])
    target = FunctionTarget(lambda z: -0.5 * ((z - mean) / sd).square().sum(-1), 2)
    model = Inference(target, posterior("gaussian", 2))
    model.posterior.source.base.data = torch.cat([mean, sd.log()]).expand_as(model.posterior.source.base)
    found = diagnose(model, 20_000)
    assert found.khat == -math.inf
    assert found.reliable
