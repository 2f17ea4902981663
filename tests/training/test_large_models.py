"""Large models train one by one on a CPU: each has the bits that it would have alone, and nothing else changes."""

import pytest
import torch
from support.trained import models_of

from nfbench.specification.config import Training
from nfbench.training import update
from nfbench.training.acceleration import Acceleration
from nfbench.training.loop import train
from nfbench.training.program import Program

SEEDS = range(3)
CONFIG = Training(learning_rate=0.01, updates=1000, draws=4, batch=20, anneal_updates=20, schedule="one-cycle")
IMAGES = "digits:dim=3,hidden=4"


@pytest.fixture
def large(monkeypatch):
    """Every model counts as large."""
    monkeypatch.setattr(update, "LARGE", 1)


def _program(posterior, target, seeds=SEEDS, **changes):
    return Program(models_of(posterior, target, seeds), seeds, CONFIG.model_copy(update=changes))


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("target", ["u1", IMAGES])
@pytest.mark.parametrize("posterior", ["planar:K=2", "nice:K=2", "hvi:steps=1"])
@pytest.mark.parametrize(
    "changes",
    [{}, {"optimizer": "rmsprop"}, {"autocast": True}, {"estimator": "importance-weighted"}],
    ids=["plain", "rmsprop", "autocast", "weighted"],
)
def test_each_has_the_bits_that_it_has_alone(posterior, target, changes):
    """Of state, bound and optimizer, whatever the recipe; nothing is traced."""
    program = _program(posterior, target, **changes)
    alone = [_program(posterior, target, range(e, e + 1), **changes) for e in SEEDS]
    for _ in range(3):
        for each in (program, *alone):
            each.advance()
    inputs = program.noise(3), program.batches and program.batches(3)
    bounds = program.update.bound(*inputs)
    assert program.update.apart
    assert program.update.traced is None
    for e, single in enumerate(alone):
        assert not single.update.apart
        assert torch.equal(
            bounds[e : e + 1], single.update.bound(single.noise(3), single.batches and single.batches(3))
        )
        for name, value in single.update.state().items():
            ours = program.update.state()[name]
            own = ours[e : e + 1] if name == "total" else ours[e] if ours.shape == (3, *value.shape) else ours
            assert torch.equal(own, value), name


@pytest.mark.usefixtures("large")
def test_a_training_goes_on_at_the_same_bits(tmp_path):
    """Ten updates, stored and read, and ten more are twenty; models end with numbers of their own, not with views."""
    config = CONFIG.model_copy(update={"updates": 20, "validate_bound": True})
    first, second = (Program(models_of("planar:K=2", IMAGES, SEEDS), SEEDS, config) for _ in range(2))
    for _ in range(10):
        first.advance()
    first.save(tmp_path / "state.pt")
    second.restore(tmp_path / "state.pt")
    for _ in second.run():
        pass
    whole = train(models_of("planar:K=2", IMAGES, SEEDS), SEEDS, config)
    assert whole.one_by_one is None  # vmap was not tried, so it did not fail
    for ours, theirs in zip(second.outcome().models, whole.models, strict=True):
        for name, value in theirs.state_dict().items():
            assert torch.equal(ours.state_dict()[name], value)
            assert value.untyped_storage().nbytes() == value.nbytes


@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")  # of inductor's own imports
def test_what_is_large(monkeypatch):
    """Several models of as many parameters as the limit, on a CPU, that are not to be compiled."""
    models = models_of("planar:K=2", IMAGES, SEEDS)
    monkeypatch.setattr(update, "LARGE", sum(value.numel() for value in models[0].parameters()))
    assert not update.Update(models_of("planar:K=2", IMAGES, range(1)), CONFIG).apart
    assert not update.Update(models_of("planar:K=1", IMAGES, SEEDS), CONFIG).apart
    assert not update.Update(models, CONFIG, Acceleration(compile=True)).apart
    assert update.Update(models, CONFIG).apart
