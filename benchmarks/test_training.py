"""Benchmarks of training: one update of several seeds as one program, every registered family."""

import pytest
from support.families import specs

from nfbench import posterior, target
from nfbench.specification.config import Training
from nfbench.training.objective import Inference
from nfbench.training.program import Program

CONFIG = {"learning_rate": 1e-4, "updates": 10**6, "batch": 100, "anneal_updates": 0, "schedule": "one-cycle"}


def _program(spec: str, what: str, draws: int, seeds: int, optimizer: str) -> Program:
    models = []
    for seed in range(seeds):
        one = target(what)
        models.append(Inference(one, posterior(spec, one.dim, getattr(one, "num_features", None), seed=seed)))
    return Program(models, range(seeds), Training(draws=draws, optimizer=optimizer, **CONFIG))


@pytest.mark.parametrize("spec", specs(8))
@pytest.mark.parametrize(("what", "draws"), [("u1", 256), ("digits", 1)], ids=["energy", "digits"])
@pytest.mark.parametrize("seeds", [1, 5])
def test_update(benchmark, spec, what, draws, seeds):
    """Noise, minibatch, gradient, optimizer, schedule: all that one update of a training is."""
    program = _program(spec, what, draws, seeds, "adam")
    benchmark.group = f"update, {what}, {seeds} seeds"
    benchmark(program.advance)
    assert program.update.total.isfinite().all()


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_update_of_a_wide_model(benchmark, optimizer):
    """The deep latent Gaussian model at MNIST's size: 784 pixels, 400 maxout units, 40 latents."""
    program = _program("gaussian", "specks:pixels=784,dim=40,hidden=400", 1, 1, optimizer)
    benchmark.group = "update, 784 pixels"
    benchmark(program.advance)
    assert program.update.total.isfinite().all()
