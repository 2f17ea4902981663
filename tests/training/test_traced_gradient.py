"""A traced gradient has the bits of one that calls the models, and what a user brings is never traced."""

import pytest
import torch
from support.families import own
from support.trained import models_of

from nfbench.specification.config import Training
from nfbench.specification.registry import targets
from nfbench.targets.contract import LatentVariableModel
from nfbench.targets.data_models.dlgm import DeepLatentGaussian
from nfbench.targets.function import FunctionTarget
from nfbench.training import update
from nfbench.training.acceleration import Acceleration
from nfbench.training.objective import Inference
from nfbench.training.program import Program

SEEDS = range(3)
IMAGES = "digits:dim=3,hidden=4"
# These need data that are not the package's, or are models of a user's own.
BUILT_IN = [entry.name for entry in targets if entry.name not in {"dlgm", "posteriordb"}]
CONFIG = Training(updates=1000, learning_rate=0.01, draws=6, batch=10, anneal_updates=400, schedule="one-cycle")


def _program(posterior: str, target: str, seeds: range = SEEDS, **changes: object) -> Program:
    return Program(models_of(posterior, target, seeds), seeds, CONFIG.model_copy(update=changes))


def _different(one: Program, other: Program) -> list[str]:
    """Names of the parts of the state that are not the same bits."""
    state = one.update.state()
    return [name for name, value in other.update.state().items() if not torch.equal(state[name], value)]


def _compared(posterior: str, target: str, **changes: object) -> None:
    """Three updates of a traced training and of one that is not end at the same bits."""
    traced, plain = (_program(posterior, target, **changes) for _ in range(2))
    plain.update.to_trace = False
    for _ in range(3):
        traced.advance()
        plain.advance()
    assert traced.update.traced is not None
    assert plain.update.traced is None
    assert _different(traced, plain) == []
    inputs = plain.noise(3), plain.batches and plain.batches(3)
    assert torch.equal(traced.update.bound(*inputs), plain.update.bound(*inputs))  # models can be called as before


@pytest.mark.parametrize("posterior", [entry.name for entry in own()])
def test_every_family_has_the_same_bits(posterior):
    """Of every family of this package, free, on a density."""
    _compared(posterior, "u1")


@pytest.mark.parametrize("target", BUILT_IN)
def test_every_target_has_the_same_bits(target):
    """Of every target that needs no data from elsewhere."""
    _compared("planar:K=2", target)


@pytest.mark.parametrize("posterior", ["nice:K=2", "hvi:steps=1", "planar:K=2"])
@pytest.mark.parametrize("anneal", ["joint", "kl"])
def test_amortized_posteriors_have_the_same_bits(posterior, anneal):
    """Of minibatches of images, whichever part of the bound is annealed."""
    _compared(posterior, IMAGES, anneal=anneal)


def test_products_in_bfloat16_have_the_same_bits():
    """Under autocast, whose casts are recorded with the rest."""
    _compared("planar:K=2", IMAGES, autocast=True)


@pytest.mark.parametrize("estimator", ["path", "importance-weighted"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_estimator_has_the_same_bits(estimator, dtype):
    """Of the estimators that the standard one does not contain, in both precisions."""
    _compared("full-covariance", "u1", estimator=estimator, dtype=dtype, weighted_draws=3)


def test_a_training_goes_on_at_the_same_bits(tmp_path):
    """Ten traced updates, stored and read, and ten more are twenty plain ones."""
    first, second, plain = (_program("planar:K=2", "u1") for _ in range(3))
    plain.update.to_trace = False
    for _ in range(10):
        first.advance()
    first.save(tmp_path / "state.pt")
    second.restore(tmp_path / "state.pt")
    for _ in range(10):
        second.advance()
    for _ in range(20):
        plain.advance()
    assert second.update.traced is not None
    assert _different(second, plain) == []


@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")  # of inductor's own imports
@pytest.mark.parametrize(
    ("seeds", "updates", "acceleration"),
    [(range(1), 1000, Acceleration()), (SEEDS, 999, Acceleration()), (SEEDS, 1000, Acceleration(compile=True))],
    ids=["one seed", "few updates", "compiled"],
)
def test_what_is_not_worth_it_is_not_traced(seeds, updates, acceleration):
    """A single seed, few updates, and what `torch.compile` records anyway."""
    config = CONFIG.model_copy(update={"updates": updates})
    made = update.Update(models_of("planar:K=2", "u1", seeds), config, acceleration)
    assert not made.to_trace


def test_a_users_function_is_called_at_every_update():
    """It may count, print or draw: nothing of it is recorded."""
    calls = []

    def log_joint(z):
        calls.append(len(z))
        return -0.5 * z.square().sum(-1)

    posteriors = [model.posterior for model in models_of("planar:K=2", "u1", SEEDS)]
    program = Program([Inference(FunctionTarget(log_joint, 2), q) for q in posteriors], SEEDS, CONFIG)
    program.advance()
    before = len(calls)
    program.advance()
    assert program.update.traced is None
    assert len(calls) > before > 0


def test_a_users_module_is_called_at_every_update():
    """A posterior or target of another package is not traced, wherever it stands in the model."""

    class Theirs(DeepLatentGaussian):
        pass

    models = models_of("planar:K=2", IMAGES, SEEDS)
    assert update.Update(models, CONFIG).to_trace
    assert isinstance(models[0].target, LatentVariableModel)
    models[0].target.__class__ = Theirs
    assert not update.Update(models, CONFIG).to_trace
    models = models_of("planar:K=2", IMAGES, SEEDS)
    models[0].target.encoder.append(type("Layer", (torch.nn.Identity,), {"__module__": "zuko.nn"})())
    assert not update.Update(models, CONFIG).to_trace


def test_what_cannot_be_recorded_is_called(monkeypatch):
    """Where torch's tracer gives up, training goes on by the models' calls, to the same bits."""

    def fails(*_):
        raise RuntimeError("a tracer that gives up")

    plain = _program("planar:K=2", "u1")
    plain.update.to_trace = False
    monkeypatch.setattr(update, "TracedGradient", fails)
    called = _program("planar:K=2", "u1")
    for program in (plain, called):
        program.advance()
        program.advance()
    assert called.update.traced is None
    assert _different(called, plain) == []
