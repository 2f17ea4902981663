"""F of training, validation and test data along the way, and the parameters that were best on validation data."""

import dataclasses

import pytest
import torch
from support.trained import models_of

from nfbench import posterior, target
from nfbench.foundation.randomness import stream
from nfbench.specification.config import Training
from nfbench.training.loop import train
from nfbench.training.objective import Inference, free_energy
from nfbench.training.program import Program
from nfbench.training.update import Update
from nfbench.training.validation import PARTS, Validation

CONFIG = Training(learning_rate=0.01, updates=40, batch=20, anneal_updates=10, dtype="float64", validate_bound=True)
DIGITS = "digits:dim=3,hidden=4"


def _models(seeds):
    return [model.double() for model in models_of("planar:K=2", DIGITS, seeds)]


@pytest.mark.parametrize("seeds", [[0], [3, 5]])
def test_bounds_are_those_of_the_models(seeds):
    """Each part's F is the mean over its data points of ln q - ln p at one draw from the seed's own stream."""
    models = _models(seeds)
    update = Update(models, CONFIG)
    validation = Validation(models[0].target, seeds, 3, update.params, torch.float64)
    values = validation(update.bound, 7)
    for e, (seed, model) in enumerate(zip(seeds, models, strict=True)):
        for part in PARTS:
            x = validation.data[part]
            noise = torch.randn(1, len(x), 3, generator=stream(seed, "validation", part), dtype=torch.float64)
            with torch.no_grad():
                expected = free_energy(*model(noise, x)).mean()
            assert values[part][e] == pytest.approx(float(expected), rel=1e-12)
    splits = models[0].target.splits()
    assert torch.equal(validation.data["valid"], splits.valid.double())
    assert torch.equal(validation.data["test"], splits.test.double())
    assert validation.best_step.tolist() == [7.0] * len(seeds)


@pytest.mark.parametrize("seeds", [[0], [0, 1]])
def test_the_best_parameters_are_kept(seeds):
    """Where one of two models has got worse its earlier parameters stay, and the other has the new ones."""
    models = _models(seeds)
    update = Update(models, CONFIG)
    validation = Validation(models[0].target, seeds, 3, update.params, torch.float64)
    first = {name: value.clone() for name, value in update.params.items()}
    bounds = iter([[5.0] * 9, [6.0, *[4.0] * 8], [float("nan")] * 9])

    def told(values):
        return lambda noise, batch: torch.tensor(values[: len(seeds)], dtype=torch.float64)

    for step in (10, 20, 30):
        validation(told(next(bounds)), step)
        with torch.no_grad():
            for value in update.params.values():
                value.add_(1)
    assert validation.best_step.tolist() == [10.0, 20.0][: len(seeds)]
    for e in range(len(seeds)):
        params, step = validation.best_of(e)
        assert step == (10, 20)[e]
        for name, value in params.items():
            start = first[name] if len(seeds) == 1 else first[name][e]
            assert torch.equal(value, start + (0, 1)[e])


def test_an_overfitting_model_is_seen():
    """Of 40 training images F on these falls below F on others, and the best parameters are not the last."""
    config = CONFIG.model_copy(update={"updates": 1500, "learning_rate": 0.05, "anneal_updates": 0})
    (model,) = _models([0])
    observations = model.target.observations
    model.target.observations = dataclasses.replace(observations, train=observations.train[:40])
    trained = train([model], [0], config)
    curve = trained.curves[0]
    assert curve["free_energy_train"][-1] < curve["free_energy_valid"][-1] - 5
    params, step = trained.best[0]
    assert step == curve["step"][min(range(100), key=curve["free_energy_valid"].__getitem__)] < 1500
    assert {name: value.shape for name, value in params.items()} == {
        name: value.shape for name, value in model.named_parameters()
    }


def test_a_stopped_training_resumes_exactly(tmp_path):
    """Best parameters, curves and bounds are the same after a stop in the middle."""
    whole = train(_models([0, 1]), [0, 1], CONFIG)
    program = Program(_models([0, 1]), [0, 1], CONFIG)
    for done in program.run():
        if done == 17:
            break
    program.save(tmp_path / "state.pt")
    resumed = train(_models([0, 1]), [0, 1], CONFIG, checkpoint=tmp_path / "state.pt")
    assert resumed.curves == whole.curves
    for (ours, our_step), (theirs, their_step) in zip(resumed.best, whole.best, strict=True):
        assert our_step == their_step
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_density_has_no_validation_data():
    """A target without data trains as it does without the option."""
    config = CONFIG.model_copy(update={"draws": 4})
    model = Inference(target("u1"), posterior("planar:K=2", 2))
    trained = train([model], [0], config)
    assert trained.best is None
    assert set(trained.curves[0]) == {"step", "free_energy", "beta", "learning_rate"}
