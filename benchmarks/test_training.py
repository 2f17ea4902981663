"""Benchmarks of training: some updates of several seeds as one program, every registered family."""

import pytest
from families import specs

from nfbench import posterior, target
from nfbench.config import Training
from nfbench.objectives import Inference
from nfbench.training import train

UPDATES = 5


@pytest.mark.parametrize("spec", specs(8))
@pytest.mark.parametrize(("what", "draws"), [("u1", 256), ("digits", 1)], ids=["energy", "digits"])
@pytest.mark.parametrize("seeds", [1, 5])
def test_updates(benchmark, spec, what, draws, seeds):
    """Five updates, the building of the program included."""
    config = Training(learning_rate=1e-3, updates=UPDATES, draws=draws, batch=100, anneal_updates=0)
    benchmark.group = f"{UPDATES} updates, {what}, {seeds} seeds"
    models = []
    for seed in range(seeds):
        one = target(what)
        models.append(Inference(one, posterior(spec, one.dim, getattr(one, "num_features", None), seed=seed)))
    out = benchmark(train, models, range(seeds), config)
    assert out.diverged == [None] * seeds
