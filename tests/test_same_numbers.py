"""Training and evaluation give the numbers that they gave at revision 5224031, before modules moved to new folders.

`tests/data/same_numbers.json` was written once, at that revision, by ``python tests/test_same_numbers.py``. It holds,
for a small cell of each family on a density and on the digits, under the fused kernels and under plain PyTorch:

- the sha256 of all learned parameters and the sha256 of all metrics: equal bit by bit on the machine named there (the
  processor decides how vectors are summed, so on another one these are not compared);
- the metrics themselves: equal on every machine within what 20 updates make of float32 rounding.
"""

import hashlib
import itertools
import json
import os
import platform
from pathlib import Path

import pytest
import torch

from nfbench.evaluation.evaluate import evaluate
from nfbench.foundation.environment import provenance
from nfbench.foundation.settings import BACKEND_VARIABLE
from nfbench.specification.config import Cell, Evaluation, Training
from nfbench.training.loop import train
from nfbench.training.objective import initial_model

STORED = Path(__file__).parent / "data" / "same_numbers.json"
POSTERIORS = ("gaussian", "planar:K=3", "radial:K=3", "nice:K=3", "nice:K=3,mixing=orthogonal")
TARGETS = ("u1", "digits")
BACKENDS = ("numba", "reference")
SEEDS = {"one seed": (0,), "two seeds": (0, 1)}  # two are stacked under vmap, where other kernels run than for one
TRAINING = Training(learning_rate=0.01, updates=20, draws=16, batch=20, anneal_updates=8)
EVALUATION = Evaluation(draws=50, forward_draws=50, importance_draws=20, grid=10)
# A relative rounding of 2^-24 in each of 20 updates of Adam, whose steps of 0.01 can turn their sign where a gradient
# is nearly zero, stays far below the Monte-Carlo error of 50 draws; F of the digits is about 40 nats.
RELATIVE, ABSOLUTE = 2e-3, 2e-2


def machine():
    """What the rounding of a sum depends on: processor, PyTorch, numba."""
    facts = provenance()
    return [platform.machine(), facts["processor"], facts["libraries"]["torch"], facts["libraries"]["numba"]]


def outcome(target, posterior, seeds):
    """Train the seeds of a cell as one program and evaluate the first.

    Returns:
        The sha256 of all parameters of all seeds, the sha256 of the metrics, and the metrics by name.
    """
    cells = [
        Cell(experiment="same", profile="same", target=target, posterior=posterior, seed=seed,
             training=TRAINING, evaluation=EVALUATION)
        for seed in seeds
    ]  # fmt: skip
    trained = train([initial_model(cell.posterior, cell.target, cell.seed) for cell in cells], seeds, TRAINING)
    parameters = hashlib.sha256()
    for model in trained.models:
        for _, value in sorted(model.named_parameters()):
            parameters.update(value.detach().contiguous().numpy().tobytes())
    metrics, _ = evaluate(trained.models[0], EVALUATION, seed=0)
    values = {name: metric.value for name, metric in sorted(metrics.items())}
    return parameters.hexdigest(), hashlib.sha256(json.dumps(values).encode()).hexdigest(), values


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("posterior", POSTERIORS)
def test_numbers_are_those_of_before(posterior, target, seeds, backend, monkeypatch):
    """Parameters and metrics are the stored ones: bit by bit where the machine is the same, else within rounding."""
    monkeypatch.setenv(BACKEND_VARIABLE, backend)
    stored = json.loads(STORED.read_text())
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        parameters, digest, values = outcome(target, posterior, SEEDS[seeds])
    finally:
        torch.set_num_threads(threads)
    expected = stored["cells"][f"{posterior}, {target}, {seeds}, {backend}"]
    assert values == pytest.approx(expected["metrics"], rel=RELATIVE, abs=ABSOLUTE)
    if stored["machine"] == machine():
        assert (parameters, digest) == (expected["parameters"], expected["digest"])


def write():
    """Store the numbers of this machine at this revision."""
    torch.set_num_threads(1)
    cells = {}
    for posterior, target, seeds, backend in itertools.product(POSTERIORS, TARGETS, SEEDS, BACKENDS):
        os.environ[BACKEND_VARIABLE] = backend
        parameters, digest, values = outcome(target, posterior, SEEDS[seeds])
        key = f"{posterior}, {target}, {seeds}, {backend}"
        cells[key] = {"parameters": parameters, "digest": digest, "metrics": values}
    STORED.parent.mkdir(exist_ok=True)
    STORED.write_text(json.dumps({"machine": machine(), "cells": cells}, indent=1) + "\n")


if __name__ == "__main__":
    write()
