"""Estimators of the gradient: the same in expectation, without variance at an exact posterior, and other bounds."""

import math

import pytest
import torch

import nfbench
from nfbench.foundation.errors import InputError
from nfbench.records.training_words import words
from nfbench.specification.config import Training
from nfbench.training.objective import free_energy, initial_model, weighted_bound
from nfbench.training.update import Update

BASE = {"learning_rate": 0.01, "updates": 10, "anneal_updates": 0, "draws": 200, "dtype": "float64"}
FAMILIES = ["gaussian", "full-covariance", "planar:K=2", "bnaf:K=1", "realnvp:K=2,hidden=4", "mixture:components=2"]


def update(spec, target="u1", seeds=(0,), **settings):
    """An update of models in float64, away from their start."""
    models = []
    for seed in seeds:
        model = initial_model(spec, target, seed).double()
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        models.append(model)
    return Update(models, Training(**BASE, **settings))


def noise(models, batches, seed=0):
    """Standard normal noise of some batches, (batches, E, 200, 1, N)."""
    size = (batches, len(models), 200, 1, models[0].posterior.noise_dim)
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def flat(gradients):
    """All gradients as one vector."""
    return torch.cat([each.flatten() for each in gradients])


@pytest.mark.parametrize("spec", FAMILIES)
@pytest.mark.parametrize("beta", [1.0, 0.4])
def test_the_path_estimator_is_unbiased(spec, beta):
    """Its difference to the plain gradient has mean 0: every parameter within 5 standard errors over 60 batches."""
    plain, path = update(spec), update(spec, estimator="path")
    pairs = [(plain.gradient(each, None, beta), path.gradient(each, None, beta)) for each in noise(plain.models, 60)]
    assert all(torch.equal(left[0], right[0]) for left, right in pairs)  # the bound is the same
    apart = torch.stack([flat(left[1]) - flat(right[1]) for left, right in pairs])
    error = apart.std(0) / math.sqrt(len(apart))
    assert (error > 1e-6).any()
    assert (apart.mean(0).abs() <= 5 * error + 1e-12).all()


def test_the_path_estimator_has_no_variance_at_an_exact_posterior():
    """For q = p every draw has the gradient 0, to rounding, where the plain one varies."""
    gradients = {}
    for estimator in ("reparameterised", "path"):
        exact = Update([initial_model("gaussian", "normal:dim=3", 0).double()], Training(**BASE, estimator=estimator))
        with torch.no_grad():
            exact.leaves[0].zero_()
        draws = [exact.gradient(each, None, 1.0)[1] for each in noise(exact.models, 5)]
        gradients[estimator] = torch.stack([flat(each) for each in draws])
    assert gradients["path"].abs().max() < 1e-12
    assert gradients["reparameterised"].std(0).min() > 0.01


@pytest.mark.parametrize("estimator", ["path", "importance-weighted"])
def test_seeds_that_train_together_have_the_gradients_of_each_alone(estimator):
    """Under vmap the gradients are those of single models, to rounding."""
    together = update("planar:K=2", seeds=(0, 1), estimator=estimator)
    (draws,) = noise(together.models, 1)
    bounds, gradients = together.gradient(draws, None, 0.7)
    for e in (0, 1):
        alone = update("planar:K=2", seeds=(e,), estimator=estimator)
        bound, own = alone.gradient(draws[e : e + 1], None, 0.7)
        assert torch.allclose(bound[0], bounds[e])
        assert torch.allclose(flat(own), flat([each[e] for each in gradients]), atol=1e-10)


def test_the_weighted_bound_is_that_of_burda_and_others():
    """By hand for two groups of two draws; one draw a group is F, and more draws have a lower bound on average."""
    log_q, log_p = torch.randn(2, 4000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weight = (log_p[:4] - log_q[:4]).exp()
    by_hand = -torch.stack([weight[:2].mean(0), weight[2:].mean(0)]).log()
    assert torch.allclose(weighted_bound(log_q[:4], log_p[:4], draws=2), by_hand)
    assert torch.allclose(weighted_bound(log_q, log_p, 0.3, draws=1), free_energy(log_q, log_p, 0.3))
    means = [float(weighted_bound(log_q, log_p, draws=draws).mean()) for draws in (1, 2, 8, 40)]
    assert means == sorted(means, reverse=True)


def test_the_weighted_gradient_is_that_of_its_bound():
    """Against central differences of the bound by the same draws, in one direction."""
    weighted = update("planar:K=2", estimator="importance-weighted", weighted_draws=20)
    (draws,) = noise(weighted.models, 1)
    _, gradients = weighted.gradient(draws, None, 1.0)
    direction = [torch.ones_like(leaf) for leaf in weighted.leaves]

    def bound(step):
        with torch.no_grad():
            for leaf, part in zip(weighted.leaves, direction, strict=True):
                leaf.add_(step * part)
            value = weighted_bound(*weighted.models[0](draws[0]), draws=20).mean()
            for leaf, part in zip(weighted.leaves, direction, strict=True):
                leaf.sub_(step * part)
        return float(value)

    slope = (bound(1e-5) - bound(-1e-5)) / 2e-5
    assert float(flat(gradients).sum()) == pytest.approx(slope, rel=1e-6)


def test_fits_with_each_estimator():
    """Path gradients end with the exact posterior; weighted draws make a diagonal Gaussian wider, which F does not."""
    settings = {"updates": 400, "dtype": "float64", "learning_rate": 0.05}
    path = nfbench.fit("gaussian", "normal:dim=2", estimator="path", draws=8, **settings)
    assert torch.allclose(path.posterior.source.base, torch.zeros(4, dtype=torch.float64), atol=1e-4)

    def log_joint(z):  # correlation 0.9: the best factorised sd by F is sqrt(1 - 0.81) = 0.44
        return -0.5 * (z.square().sum(-1) - 1.8 * z.prod(-1)) / 0.19

    narrow = nfbench.fit("gaussian", log_joint, dim=2, draws=64, **settings)
    wide = nfbench.fit("gaussian", log_joint, dim=2, draws=64, estimator="importance-weighted", **settings)
    sds = [float(fitted.posterior.source.base.detach()[..., 2:].exp().mean()) for fitted in (narrow, wide)]
    assert sds[0] == pytest.approx(0.436, abs=0.02)
    assert sds[1] > 0.6


def test_wrong_settings_are_one_line_each():
    """What does not go together is named with its values; nothing is stored by default."""
    for settings, message in (
        ({"estimator": "score"}, "estimator='score'"),
        ({"weighted_draws": 4}, "weighted_draws=4 needs estimator=importance-weighted"),
        ({"estimator": "importance-weighted", "weighted_draws": 3}, "weighted_draws=3 does not divide draws=256"),
        ({"estimator": "importance-weighted", "stop": "evidence"}, "stop=evidence needs another estimator"),
    ):
        with pytest.raises(InputError, match=message):
            nfbench.fit("gaussian", "u1", updates=2, **settings)
    stored = Training(**BASE).model_dump()
    assert not {"estimator", "weighted_draws"} & set(stored)


def test_a_posterior_without_density_has_no_path():
    """The path estimator needs ln q at points, and says so."""
    with pytest.raises(InputError, match="no density at points"):
        update("hvi", estimator="path")


def test_the_training_in_words_names_the_estimator():
    """So that tables say how their numbers came about; the usual one is not named."""
    assert "gradient" not in words(Training(**BASE), data=False)
    assert "path gradients" in words(Training(**BASE, estimator="path"), data=False)
    weighted = Training(**BASE, estimator="importance-weighted", weighted_draws=50)
    assert "the bound of 50 importance-weighted draws" in words(weighted, data=False)
