"""Streams, stable functions and the root find."""

import math

import pytest
import torch
from families import normal

from nfbench.numerics import log_mean_exp, monotone_root, seeded, standard_normal_log_prob, stream


def test_streams_depend_on_seed_and_names_only():
    """Equal names give equal draws whatever was drawn before; any other name or seed gives others."""
    first = torch.rand(5, generator=stream(3, "noise", 0))
    torch.rand(7)
    assert torch.equal(first, torch.rand(5, generator=stream(3, "noise", 0)))
    for other in (stream(4, "noise", 0), stream(3, "noise", 1), stream(3, "order", 0), stream(3, "noise", "0")):
        assert not torch.equal(first, torch.rand(5, generator=other))


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
