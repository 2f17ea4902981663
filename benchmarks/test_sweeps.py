"""Benchmarks of how a gradient step grows: with the number of maps, with the dimension, every registered family."""

import pytest
import torch
from support.families import normal, posterior, specs

from nfbench.specification.spec import parse

DRAWS = 256


def _step(benchmark, spec: str, dim: int) -> None:
    q = posterior(spec, dim)
    noise = normal(DRAWS, 1, q.noise_dim, seed=1, dtype=torch.float32)

    def step() -> None:
        q.zero_grad(set_to_none=True)
        z, log_q = q(noise)
        (z.square().sum() + log_q.sum()).backward()

    benchmark(step)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in q.parameters())


@pytest.mark.parametrize("spec", [spec for spec in specs(2, 8, 32) if "K" in dict(parse(spec).options)])
def test_depth(benchmark, spec):
    """A gradient step of 256 draws in two dimensions, with 2, 8 and 32 maps."""
    benchmark.group = f"depth, {spec.rpartition('K=')[0]}"
    _step(benchmark, spec, 2)


@pytest.mark.parametrize("dim", [2, 8, 32, 128])
@pytest.mark.parametrize("spec", specs(8))
def test_dimension(benchmark, spec, dim):
    """A gradient step of 256 draws through 8 maps, in 2 to 128 dimensions."""
    benchmark.group = f"dimension, {spec}"
    _step(benchmark, spec, dim)
