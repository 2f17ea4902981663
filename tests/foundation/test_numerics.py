"""Streams, stable functions and the root find."""

import math

import numpy as np
import pytest
import torch
from support.families import normal

from nfbench.foundation.numerics import log_mean_exp, monotone_root, standard_normal_log_prob
from nfbench.foundation.randomness import seeded, stream


def test_streams_depend_on_seed_and_names_only():
    """Equal names give equal draws whatever was drawn before; any other name or seed gives others."""
    first = torch.rand(5, generator=stream(3, "noise", 0))
    torch.rand(7)
    assert torch.equal(first, torch.rand(5, generator=stream(3, "noise", 0)))
    for other in (stream(4, "noise", 0), stream(3, "noise", 1), stream(3, "order", 0), stream(3, "noise", "0")):
        assert not torch.equal(first, torch.rand(5, generator=other))


def test_streams_take_any_integer():
    """A seed from numpy is the same seed."""
    one, other = (torch.rand(3, generator=stream(seed, "noise")) for seed in (3, np.int64(3)))
    assert torch.equal(one, other)


def test_seeded_depends_on_seed_and_names():
    """Another seed or another name gives other draws, so that two uses of one seed do not share a stream."""
    found = []
    for seed, name in ((1, "target"), (1, "posterior"), (2, "target")):
        with seeded(seed, name):
            found.append(torch.rand(1).item())
    assert len(set(found)) == 3


def test_seeded_leaves_gpus_alone(monkeypatch):
    """The generators of other devices, which are not put back, are not seeded either."""

    def refuse(seed: int) -> None:
        raise AssertionError("a GPU's generator was seeded")

    monkeypatch.setattr(torch.cuda, "manual_seed_all", refuse)
    with seeded(1, "a"):
        torch.rand(1)


def test_seeded_leaves_the_generator_alone():
    """Inside the block draws repeat; outside nothing happened."""
    state = torch.get_rng_state()
    with seeded(1, "a"):
        one = torch.rand(3)
    with seeded(1, "a"):
        other = torch.rand(3)
    assert torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_standard_normal_log_prob():
    """Agrees with torch.distributions."""
    z = normal(4, 3, 5, seed=1)
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
    assert torch.allclose(standard_normal_log_prob(z), expected, rtol=1e-14, atol=0)


def test_log_mean_exp_does_not_overflow():
    """The mean of exp(1000) and exp(1000 + ln 3) is exp(1000) times 2."""
    x = torch.tensor([1000.0, 1000.0 + math.log(3)], dtype=torch.float64)
    assert log_mean_exp(x, 0).item() == pytest.approx(1000 + math.log(2), abs=1e-12)


def test_log_mean_exp_counts_along_its_dimension():
    """The mean of equal numbers is the number, along either side of a rectangle."""
    x = torch.full((2, 7), 3.0, dtype=torch.float64)
    for dim in (0, 1):
        assert torch.allclose(log_mean_exp(x, dim), torch.tensor(3.0, dtype=torch.float64), rtol=1e-14, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_monotone_root_where_newton_alone_fails(dtype):
    """x^(1/3)-like and flat-at-the-root functions are solved to the dtype's resolution, each in its own bracket."""
    right = torch.tensor([-2.0, -1e-3, 0.0, 0.5, 5.0], dtype=dtype)

    def arctan(x):
        return torch.atan(20 * (x - right)), 20 / (1 + (20 * (x - right)).square())

    root = monotone_root(arctan, right - 30, right + 17)
    assert torch.allclose(root, right, rtol=0, atol=20 * torch.finfo(dtype).eps)

    def cubic(x):
        return x**3 - right, 3 * x.square()

    bound = right.abs() + 1
    value, _ = cubic(monotone_root(cubic, -bound, bound))
    assert value.abs().max() < 20 * torch.finfo(dtype).eps


def test_monotone_root_of_nothing():
    """An empty batch has an empty root."""
    empty = torch.zeros(0)
    assert monotone_root(lambda x: (x, torch.ones_like(x)), empty, empty).shape == (0,)
