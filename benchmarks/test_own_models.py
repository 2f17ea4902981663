"""Benchmarks of users' own models: a Pyro model's draws at once and one by one, a plain density beside a built-in."""

import pytest
import torch

from nfbench import posterior, target
from nfbench.foundation.randomness import stream
from nfbench.specification.config import Training
from nfbench.targets.function import FunctionTarget
from nfbench.training.objective import Inference
from nfbench.training.program import Program

DRAWS = 256
SCHOOLS = """
import torch
import pyro
import pyro.distributions as dist

y = torch.tensor([28.0, 8, -3, 7, -1, 1, 18, 12])
sd = torch.tensor([15.0, 10, 16, 11, 9, 11, 10, 18])


def model():
    mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = pyro.sample("tau", dist.HalfCauchy(5.0))
    with pyro.plate("schools", 8):
        theta = pyro.sample("theta", dist.Normal(mu, tau))
        pyro.sample("y", dist.Normal(theta, sd), obs=y)
"""
PLAIN = """
import math
import torch
dim = 2


def log_joint(z):
    return -0.5 * z.square().sum(-1) - 0.5 * dim * math.log(2 * math.pi)
"""


@pytest.mark.parametrize("calls", ["vectorised", "one by one"])
def test_pyro(benchmark, calls, tmp_path):
    """Values and gradients of 256 draws of eight schools: what `pyro:` does, and Pyro's own potential in a loop."""
    pytest.importorskip("pyro", reason="Pyro is not installed: pip install pyro-ppl")
    from pyro.infer.mcmc.util import initialize_model

    (tmp_path / "schools.py").write_text(SCHOOLS)
    built = target(f"pyro:{tmp_path / 'schools.py'}::model")
    with torch.random.fork_rng():
        _, potential, _, _ = initialize_model(built._density._model)
    points = torch.randn(DRAWS, 1, built.dim, generator=stream(0, "schools"))

    def vectorised() -> torch.Tensor:
        z = points.clone().requires_grad_()
        return torch.autograd.grad(built.log_joint(z).sum(), z)[0]

    def one_by_one() -> torch.Tensor:
        z = points.clone().requires_grad_()
        pieces = ({"mu": row[0], "tau": row[1], "theta": row[2:]} for row in z[:, 0])
        return torch.autograd.grad(-sum(potential(each) for each in pieces), z)[0]

    benchmark.group = f"Pyro, gradients of {DRAWS} draws"
    function = vectorised if calls == "vectorised" else one_by_one
    torch.testing.assert_close(benchmark(function), vectorised(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("density", ["built in", "function", "file"])
def test_update(benchmark, density, seeds, tmp_path):
    """One update of a planar flow on the unit Gaussian: the registry's, the same function, the same in a file."""
    (tmp_path / "plain.py").write_text(PLAIN)
    specs = {"built in": "normal:dim=2", "file": f"file:{tmp_path / 'plain.py'}"}
    models = []
    for seed in range(seeds):
        built = target(specs[density]) if density in specs else FunctionTarget(target("normal:dim=2").log_joint, 2)
        models.append(Inference(built, posterior("planar:K=8", 2, None, seed=seed)))
    config = {"learning_rate": 1e-4, "updates": 10**6, "anneal_updates": 0, "schedule": "one-cycle", "draws": DRAWS}
    program = Program(models, range(seeds), Training(**config))
    benchmark.group = f"update, unit Gaussian, {seeds} seeds"
    benchmark(program.advance)
    assert program.update.total.isfinite().all()
