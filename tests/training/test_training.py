"""Training: it learns, seeds are independent of their company, and one may diverge."""

import math

import pytest
import torch
from support.trained import CASES, SHORT, Trap, models_of, state_of

from nfbench import posterior
from nfbench.specification.config import Training
from nfbench.training.loop import train
from nfbench.training.objective import Inference
from nfbench.training.program import Program
from nfbench.training.update import Update


def test_learns_a_gaussian_exactly():
    """A Gaussian posterior of a standard normal target reaches F = -ln Z = 0 from a start that is 2 nats away."""
    (model,) = models_of("gaussian", "normal:dim=2", [0])
    with torch.no_grad():
        model.posterior.source.base.copy_(torch.tensor([1.5, -1.0, 0.5, -0.5]))
    config = Training(learning_rate=0.05, updates=400, draws=1024, anneal_updates=0, schedule="one-cycle")
    out = train([model], [0], config)
    assert out.curves[0]["free_energy"][0] > 0.5
    assert torch.allclose(model.posterior.source.base, torch.zeros(4), atol=0.02)
    assert abs(out.curves[0]["free_energy"][-1]) < 0.01


@pytest.mark.parametrize("spec", ["planar:K=4", "hvi:steps=2", "mcd:steps=2"])
@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
@pytest.mark.parametrize("target_spec", CASES)
def test_seed_alone_agrees_with_seed_in_company(optimizer, target_spec, spec):
    """Seed 3 alone and seed 3 among four end at the same numbers, to float64's rounding over 60 updates."""
    config = SHORT.model_copy(update={"optimizer": optimizer, "learning_rate": 0.002, "dtype": "float64"})
    alone = train(models_of(spec, target_spec, [3]), [3], config)
    company = train(models_of(spec, target_spec, [0, 1, 3, 7]), [0, 1, 3, 7], config)
    for name, value in state_of(alone.models[0]).items():
        assert torch.allclose(value, company.models[2].state_dict()[name], rtol=1e-8, atol=1e-8), name
    assert alone.curves[0]["free_energy"] == pytest.approx(company.curves[2]["free_energy"], rel=1e-8, abs=1e-8)
    assert company.curves[0]["free_energy"] != company.curves[1]["free_energy"]


def _by_hand(model: Inference, seed: int, config: Training) -> None:
    """Eq. 20 in a plain loop over one model, with torch's own optimizers."""
    if config.optimizer == "adam":
        optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate, betas=(config.momentum, 0.999))
    else:
        optimizer = torch.optim.RMSprop(model.parameters(), lr=config.learning_rate, momentum=config.momentum)
    program = Program([model], [seed], config, "cpu")
    for t in range(config.updates):
        batch = None if program.batches is None else program.batches(t)[0]
        log_q, log_p = model(program.noise(t)[0], batch)
        beta = min(1, 0.05 + t / 8)
        optimizer.zero_grad()
        (log_q - beta * log_p).mean().backward()
        optimizer.step()


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
@pytest.mark.parametrize("target_spec", CASES)
def test_agrees_with_a_plain_loop(optimizer, target_spec):
    """Twelve updates of two seeds are those of eq. 20 written out for each, with the momentum and beta asked for."""
    config = Training(
        optimizer=optimizer, learning_rate=0.003, momentum=0.8, updates=12, draws=8, batch=20,
        anneal_start=0.05, anneal_updates=8, dtype="float64",
    )  # fmt: skip
    out = train(models_of("planar:K=2", target_spec, [2, 3]), [2, 3], config)
    for e, (seed, model) in enumerate(zip([2, 3], models_of("planar:K=2", target_spec, [2, 3]), strict=True)):
        model.double()
        _by_hand(model, seed, config)
        for name, value in state_of(model).items():
            assert torch.allclose(out.models[e].state_dict()[name], value, rtol=1e-9, atol=1e-9), name


def test_curve_points_are_means_since_the_last(monkeypatch):
    """A point of the curve is the mean bound of the updates since the point before, the last one of those left."""
    bounds: list[float] = []
    gradient = Update.gradient

    def listening(update, *arguments):
        bound, grads = gradient(update, *arguments)
        bounds.append(bound.item())
        return bound, grads

    monkeypatch.setattr(Update, "gradient", listening)
    curve = train(models_of("gaussian", "u1", [0]), [0], SHORT.model_copy(update={"updates": 203})).curves[0]
    assert curve["step"] == [*map(float, range(2, 203, 2)), 203]
    expected = [sum(bounds[i : i + 2]) / len(bounds[i : i + 2]) for i in range(0, 203, 2)]
    assert curve["free_energy"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("beta", [0.01, 1.0])
def test_curve_holds_the_bound_whatever_beta(beta):
    """The first point of the curve is the mean of ln q - ln p over the update's own noise: the bound, not F^beta."""
    config = SHORT.model_copy(update={"anneal_start": beta})
    out = train(models_of("planar:K=2", "u1", [5]), [5], config)
    (model,) = models_of("planar:K=2", "u1", [5])
    noise = Program([model], [5], config).noise(0)[0]
    log_q, log_p = model(noise)
    assert out.curves[0]["free_energy"][0] == pytest.approx((log_q - log_p).mean().item(), rel=1e-5)


def test_one_seed_diverges_alone():
    """A seed whose bound becomes NaN is marked with the update; its neighbour ends as if it had been alone."""
    edges = [math.inf, 2.5]
    models = [Inference(Trap(edge), posterior("planar:K=2", 2, seed=e)) for e, edge in enumerate(edges)]
    alone = train([Inference(Trap(math.inf), posterior("planar:K=2", 2, seed=0))], [0], SHORT)
    out = train(models, [0, 1], SHORT)
    assert out.diverged[0] is None
    assert out.diverged[1] is not None
    assert out.curves[1]["free_energy"][-1] is None
    assert out.curves[0]["free_energy"] == pytest.approx(alone.curves[0]["free_energy"], rel=1e-4, abs=1e-4)


def test_stops_when_all_seeds_diverged():
    """When no seed is left the program ends at once, with a curve up to there."""
    out = train([Inference(Trap(-math.inf), posterior("gaussian", 2))], [0], SHORT)
    assert out.diverged == [1]
    assert out.curves[0]["step"] == [1.0]


def test_one_cycle_and_annealing_are_in_the_curves():
    """Beta starts at 0.01 and reaches 1; the rate peaks at the one asked for."""
    out = train(models_of("gaussian", "u1", [0]), [0], SHORT)
    curve = out.curves[0]
    assert curve["beta"][0] == pytest.approx(0.01)
    assert curve["beta"][-1] == 1
    assert max(curve["learning_rate"]) == pytest.approx(0.02, rel=1e-3)
    assert curve["learning_rate"][-1] < 1e-4


def test_minibatches_are_of_the_training_images():
    """What a model learns from is the training split, not the images that its bound is reported on."""
    program = Program(models_of("gaussian", "digits:dim=2,hidden=2", [0]), [0], SHORT)
    assert torch.equal(program.batches.rows, program.models[0].target.splits().train)


def test_autocast_trains():
    """bfloat16 matrix products leave the bound finite and near the float32 one."""
    exact = train(models_of("nice:K=2", CASES[1], [0]), [0], SHORT)
    coarse = train(models_of("nice:K=2", CASES[1], [0]), [0], SHORT.model_copy(update={"autocast": True}))
    ours, theirs = coarse.curves[0]["free_energy"][-1], exact.curves[0]["free_energy"][-1]
    assert ours != theirs
    assert ours == pytest.approx(theirs, rel=0.05)
