"""The Student-t mean field: worked examples, integrals of its density, and the law of its draws."""

import math

import numpy as np
import pytest
import torch
from support.families import normal

from nfbench import posterior


def student(nu, scale=1.0, mean=0.0, dim=1):
    """A posterior with the same location, scale and degrees of freedom in each dimension."""
    q = posterior("student-t", dim, dtype=torch.float64)
    raw = math.log(math.expm1(nu - 2)) if nu > 2 else -60.0  # nu = 2 to rounding
    with torch.no_grad():
        q.source.base.copy_(torch.tensor([mean, math.log(scale)], dtype=torch.float64).repeat_interleave(dim))
        q.source.theta.fill_(raw)
    return q


def integral(q, function, upper=math.inf):
    """The integral of q(z) function(z, ln q) up to `upper`, by Gauss-Legendre in z = tan(x)."""
    nodes, weights = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(2000))
    low, high = -math.pi / 2, math.atan(upper)
    x = low + (high - low) * (nodes + 1) / 2
    z = x.tan()
    with torch.no_grad():
        log_q = q.log_prob(z[:, None, None])[:, 0]
        values = log_q.exp() * function(z, log_q) / x.cos().square()
    return float((values * weights).sum() * (high - low) / 2)


def noise_of(uniform, angle):
    return torch.special.ndtri(torch.tensor([[[uniform, angle]]], dtype=torch.float64))


def test_a_draw_and_its_density_of_the_worked_example():
    """Uniform numbers 1/3 and 1/8 with nu = 5 give t = 1.1745..., whose ln q is known."""
    z, _ = student(5)(noise_of(1 / 3, 1 / 8))
    assert z.item() == pytest.approx(1.174569681, abs=1e-9)
    q = student(5, 2.0, 0.5)
    assert q.log_prob(torch.ones(1, 1, 1).double()).item() == pytest.approx(-1.699034330, abs=1e-9)
    z, log_q = q(noise_of(1 / 3, 1 / 8))
    assert z.item() == pytest.approx(0.5 + 2 * 1.174569681, abs=1e-8)
    assert log_q.item() == pytest.approx(q.log_prob(z).item(), abs=1e-12)


def test_integrals_of_the_worked_example():
    """Entropy with s = 2 and KL to the standard normal, nu = 5."""
    assert integral(student(5, 2.0), lambda z, log_q: -log_q) == pytest.approx(2.320649853, abs=1e-7)
    divergence = integral(student(5), lambda z, log_q: log_q + 0.5 * (z.square() + math.log(2 * math.pi)))
    assert divergence == pytest.approx(0.1247691941, abs=1e-6)


@pytest.mark.parametrize(("nu", "quantile"), [(4, 1.533206274), (2, 1.885618083)])
def test_quantiles(nu, quantile):
    """The density's mass below the known quantile of 9/10, and the share of draws there."""
    q = student(nu)
    assert integral(q, lambda z, log_q: 1, quantile) == pytest.approx(0.9, abs=1e-7)
    z, _ = q(normal(200_000, 1, 2, seed=1))
    assert (z < quantile).double().mean().item() == pytest.approx(0.9, abs=5 * math.sqrt(0.09 / 200_000))


def test_start_has_the_moments_of_the_base():
    """At the start nu = 10, the mean 0 and the variance 1."""
    q = posterior("student-t", 2, dtype=torch.float64)
    z, _ = q(normal(200_000, 1, 4, seed=2))
    assert z.mean(0).abs().max() < 5 / math.sqrt(200_000)
    assert z.square().mean(0).tolist() == [pytest.approx([1, 1], abs=5 * math.sqrt(3 / 200_000))]
    assert torch.nn.functional.softplus(q.source.theta).tolist() == [pytest.approx([8, 8], abs=1e-5)]


@pytest.mark.parametrize("eps", [-13.0, 8.0])
def test_float32_keeps_uniform_numbers_off_their_ends(eps):
    """Noise whose uniform number would round to 0 or 1 gives finite draws and gradients, as in float64."""
    fine = student(3)
    noise = torch.tensor([[[eps, 0.3]]], dtype=torch.float64)
    expected = fine(noise)[0].item()
    coarse = student(3).float()
    z, log_q = coarse(noise.float())
    (z.sum() + log_q.sum()).backward()
    assert z.item() == pytest.approx(expected, rel=1e-4)
    assert all(parameter.grad.isfinite().all() for parameter in coarse.parameters())


def test_draws_are_differentiable_in_the_degrees_of_freedom():
    """The path gradient of E|t| in nu agrees with that of the known mean of |t|."""
    q = student(6)
    z, _ = q(normal(400_000, 1, 2, seed=3))
    raw = q.source.theta
    (grad,) = torch.autograd.grad(z.abs().mean(), raw)

    def mean(nu):
        return (
            2 * nu.sqrt() * (torch.lgamma((nu + 1) / 2) - torch.lgamma(nu / 2)).exp() / (math.sqrt(math.pi) * (nu - 1))
        )

    exact = torch.autograd.grad(mean(2 + torch.nn.functional.softplus(raw)).sum(), raw)[0]
    assert grad.item() == pytest.approx(exact.item(), rel=0.05)
