"""Monotonic networks: values computed by hand twice and by quadrature, the start, the inverse, the declared error."""

import math

import pytest
import torch
from scipy.integrate import quad
from support.families import normal

from nfbench import posterior
from nfbench.kernels.layers.integral import LEAST
from nfbench.posteriors.contract import Identity
from nfbench.verification.subject import set_parameters


@pytest.mark.parametrize(("z", "integral", "log_slope"), [(1.5, 2.143469340, math.log(2)), (-1.0, -0.1334004996, -1.5)])
def test_the_worked_example(z, integral, log_slope):
    """f(t) = 1 + ELU(t - 1/2) from beta = 1/4, whose net is the start of a wide tanh; the slope s is mixed in."""
    flow = posterior("umnn:K=1,nodes=200,units=1,context=0", 2, dtype=torch.float64).flow
    small = 1e-4  # tanh(small t) / small is t to 1e-8
    with torch.no_grad():
        flow.slopes.fill_(small)
        flow.biases.zero_()
        flow.weights.fill_(1 / (small * flow.scale))
        flow.shifts.fill_(-0.5 / flow.scale)
        flow.networks.b_out[:, :2] = 0.25 / flow.networks.scale
    moved, log_det = flow(torch.tensor([[[z, 0.0]]], dtype=torch.float64), torch.zeros(1, 0, dtype=torch.float64))
    expected = 0.25 + (1 - LEAST) * (integral - 0.25) + LEAST * z
    assert moved[0, 0, 0].item() == pytest.approx(expected, abs=1e-6)
    at_zero = math.log((1 - LEAST) * math.exp(-0.5) + LEAST)
    mixed = math.log((1 - LEAST) * math.exp(log_slope) + LEAST)
    assert log_det.item() == pytest.approx(mixed + at_zero, abs=1e-6)


def test_the_integral_is_that_of_quadrature():
    """A map at parameters like trained ones is beta plus the integral that scipy finds, to the declared error."""
    flow = set_parameters(posterior("umnn:K=1", 3, dtype=torch.float64), "trained-like", 1).flow
    z, theta = normal(5, 1, 3, seed=2), torch.zeros(1, 16, dtype=torch.float64)
    moved = flow(z, theta)[0]
    (network,) = flow.networks.conditioners(theta)
    beta, embedding = flow._split(network(z))
    for draw in range(5):
        for i in range(3):

            def f(t, draw=draw, i=i):
                return flow.integrand(0, torch.tensor([t], dtype=torch.float64), embedding[draw, 0, i])[0].item()

            exact = beta[draw, 0, i].item() + quad(f, 0, z[draw, 0, i].item(), epsabs=1e-10)[0]
            assert moved[draw, 0, i].item() == pytest.approx(exact, abs=flow.integration_error)


def test_the_start_is_the_identity():
    """No draw moves at the start, however many maps."""
    flow = posterior("umnn:K=6", 4, dtype=torch.float64).flow
    z = normal(7, 1, 4, seed=3)
    moved, log_det = flow(z, flow.initial().double().unsqueeze(0))
    torch.testing.assert_close(moved, z, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(log_det, torch.zeros(7, 1).double(), rtol=0, atol=1e-13)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_inverse_finds_the_points(depth):
    """`inverse` undoes odd and even chains to the resolution of float64, far outside too."""
    flow = set_parameters(posterior(f"umnn:K={depth}", 3, dtype=torch.float64), "trained-like", 4).flow
    z, theta = 5 * normal(6, 2, 3, seed=5), normal(2, 16, seed=6)
    moved, log_det = flow(z, theta)
    back, minus = flow.inverse(moved, theta)
    torch.testing.assert_close(back, z, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(minus, -log_det, rtol=1e-9, atol=1e-9)


def test_more_nodes_are_nearer_to_the_determinant():
    """ln|det| is nearer to that of the computed map with more nodes, and within the declared error."""
    errors = []
    for nodes in (10, 40):
        q = set_parameters(posterior(f"umnn:K=2,nodes={nodes}", 2, dtype=torch.float64), "trained-like", 7)
        z, theta = normal(20, 1, 2, seed=8), q.source(None)[1]
        jacobians = torch.autograd.functional.jacobian(lambda z, q=q, theta=theta: q.flow(z, theta)[0].sum((0, 1)), z)
        exact = jacobians[:, :, 0].movedim(0, 1).det().log()
        errors.append((q.flow(z, theta)[1][:, 0] - exact).abs().max().item())
        assert errors[-1] <= q.flow.integration_error
    assert errors[1] < errors[0] / 2


def test_cost_grows_with_nodes():
    """The integrand costs nodes + 1 calls a coordinate; numbers do not depend on them."""
    few, many = (posterior(f"umnn:K=1,nodes={nodes}", 3).cost(10, 1, 1, gradient=False) for nodes in (9, 19))
    assert many.flops - few.flops == 10 * 10 * 3 * (5 * 8 + 8)
    assert many.numbers == few.numbers > Identity(3).cost(10, 1, 1, gradient=False).numbers
