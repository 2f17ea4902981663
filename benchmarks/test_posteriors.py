"""Benchmarks of every registered family: a draw, a gradient step and a density, at the sizes of the two models."""

import pytest
import torch
from support.families import densities, normal, posterior, specs

SIZES = {"energy": (256, 1, 2, None), "digits": (1, 100, 10, 64)}  # S, B, D, F
EVERY = pytest.mark.parametrize("spec", specs(8))
SIZE = pytest.mark.parametrize("size", SIZES)


def _case(spec: str, size: str):
    draws, batch, dim, features = SIZES[size]
    q = posterior(spec, dim, features)
    given = None if features is None else normal(batch, features, seed=1, dtype=torch.float32)
    return q, normal(draws, batch, q.noise_dim, seed=2, dtype=torch.float32), given


@EVERY
@SIZE
def test_draw(benchmark, spec, size):
    """Draws and their densities, no gradient."""
    q, noise, given = _case(spec, size)
    benchmark.group = f"draw, {size}"
    with torch.no_grad():
        z, log_q = benchmark(q, noise, given)
    assert z.isfinite().all()
    assert log_q.isfinite().all()


@EVERY
@SIZE
def test_gradient(benchmark, spec, size):
    """Draws, densities and the gradient of all parameters."""
    q, noise, given = _case(spec, size)
    benchmark.group = f"gradient, {size}"

    def step() -> None:
        q.zero_grad(set_to_none=True)
        z, log_q = q(noise, given)
        (z.square().sum() + log_q.sum()).backward()

    benchmark(step)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in q.parameters())


@pytest.mark.parametrize("spec", densities(specs(8)))
@SIZE
def test_density(benchmark, spec, size):
    """The density at given points, by the family's inverse."""
    q, noise, given = _case(spec, size)
    benchmark.group = f"density, {size}"
    with torch.no_grad():
        z, log_q = q(noise, given)
        found = benchmark(q.log_prob, z, given)
    assert torch.allclose(found, log_q, rtol=1e-3, atol=1e-3)
