"""Inverse autoregressive flows: values computed by hand twice, the order of coordinates, the start, what they cost."""

import math

import pytest
import torch
from support.families import normal, wild

from nfbench import posterior
from nfbench.posteriors.contract import Identity
from nfbench.posteriors.networks import AutoregressiveNetworks

MODES = pytest.mark.parametrize("mode", ["gated", "affine"])


def at(*point):
    """One draw (1, 1, D) in float64."""
    return torch.tensor([[point]], dtype=torch.float64)


def example(z):
    """The numbers of the worked example, m_i = -1/4 + z_(i-1) (- z_1/2 for i = 3) and s_i + c = 1/2 + z_(i-1)/2."""
    before = torch.cat([torch.zeros_like(z[..., :1]), z[..., :-1]], -1)
    m = -0.25 + before - torch.tensor([0.0, 0.0, 0.5], dtype=z.dtype) * z[..., :1]
    return torch.cat([m, 0.5 + before / 2], -1)


def reversed_example(z):
    """The same numbers with the order of the coordinates reversed."""
    m, s = example(z.flip(-1)).chunk(2, -1)
    return torch.cat([m.flip(-1), s.flip(-1)], -1)


def test_gated_maps_of_the_worked_example():
    """One map, then one in the reversed order: points, ln|det|, and back in three steps a map."""
    theta = torch.zeros(1, 16, dtype=torch.float64)
    one, two = (posterior(f"iaf:K={depth}", 3, dtype=torch.float64).flow for depth in (1, 2))
    one.form = two.form = one.form._replace(constant=0.0, unit=1.0)  # as published: c in s, and no division
    one.conditioners = lambda context: [example]
    two.conditioners = lambda context: [example, reversed_example]
    z, log_det = one(at(0.5, -1.0, 0.75), theta)
    assert z[0, 0].tolist() == pytest.approx([0.2168444984, -0.5989733740, -0.3750000000], abs=1e-10)
    assert log_det.item() == pytest.approx(-1.554095171, abs=1e-9)
    z, log_det = two(at(0.5, -1.0, 0.75), theta)
    assert z[0, 0].flip(0).tolist() == pytest.approx([-0.3278074164, -0.6099697441, -0.1784327568], abs=1e-10)
    assert log_det.item() == pytest.approx(-3.175134843, abs=1e-9)
    back, minus = two.inverse(z, theta)
    assert back[0, 0].tolist() == pytest.approx([0.5, -1.0, 0.75], abs=1e-14)
    assert minus.item() == pytest.approx(-log_det.item(), abs=1e-14)


@MODES
@pytest.mark.parametrize("layers", [1, 3])
def test_the_order_turns_from_map_to_map(mode, layers):
    """The Jacobian of the first map is lower triangular and nowhere else zero, that of the second upper triangular."""
    flow = wild(f"iaf:K=2,mode={mode},layers={layers},hidden=24", 5, seed=1).flow
    theta, z = normal(1, 16, seed=2), normal(5, seed=3)
    below = torch.ones(5, 5, dtype=torch.bool).tril()
    for network, pattern in zip(flow.conditioners(theta), (below, below.T), strict=True):
        move = lambda x, network=network: flow.move(x[None, None], network(x[None, None]))[0][0, 0]  # noqa: E731
        jacobian = torch.autograd.functional.jacobian(move, z)
        assert torch.equal(jacobian != 0, pattern)


@MODES
def test_the_start_is_the_identity(mode):
    """At the start maps leave every point where it is, with ln|det| = 0, gated ones to rounding."""
    flow = posterior(f"iaf:K=5,mode={mode}", 4, dtype=torch.float64).flow
    z = 4 * normal(50, 2, 4, seed=4)
    moved, log_det = flow(z, flow.initial().double().expand(1, -1))
    assert (moved - z).abs().max() <= (1e-14 if mode == "gated" else 0)
    assert log_det.abs().max() <= (1e-14 if mode == "gated" else 0)


def test_closed_gates_have_a_density():
    """Where sigmoid(s + c) is 0 in float32, ln|det| is the sum of ln sigmoid, not ln 0."""
    flow = posterior("iaf:K=1", 2).flow
    flow.conditioners = lambda context: [lambda z: torch.cat([torch.zeros_like(z), torch.full_like(z, -500.0)], -1)]
    log_det = flow(torch.ones(1, 1, 2), torch.zeros(1, 16))[1]
    assert log_det.item() == pytest.approx(2 * (-499 - math.log(1 / (1 + math.exp(-1)))), rel=1e-6)


@MODES
@pytest.mark.parametrize("gradient", [False, True], ids=["forward", "gradient"])
def test_flops_are_those_of_the_weights_that_are_there(mode, gradient):
    """By hand for D = 3, H = 4, C = 0: units of degrees 1, 2, 1, 2 see as many coordinates, and 2, 1, 2, 1 see them."""
    flow = posterior(f"iaf:K=1,mode={mode},hidden=4,context=0", 3).flow
    weights = 6 + 2 * 6  # in, and out to m and to s
    moves = {"gated": (9, 19), "affine": (6, 15)}[mode][gradient]
    draw = 2 * weights + 4 + 3 * moves + gradient * (4 * weights + 3 * 4 + 6)
    scaled = (1 + gradient) * (2 * 6 + 6)
    base = Identity(3).cost(5, 1, 1, gradient=gradient)
    cost = flow.cost(5, 1, 1, gradient=gradient)
    assert cost.flops - base.flops == 5 * draw + scaled
    assert cost.numbers - base.numbers == (3 if gradient else 1) * (weights + 4 + 6)


@pytest.mark.parametrize("dim", [2, 3, 7])
def test_masks_leave_what_the_cost_counts(dim):
    """The weights that a network uses, masks applied, are as many as `products` says."""
    networks = AutoregressiveNetworks(2, dim, 3, hidden=8, layers=2, context=5)
    with torch.no_grad():
        for parameter in networks.parameters():
            parameter.fill_(1.0)
        first, between, last = networks.weights()
    used = sum(int((weights[0] != 0).sum()) for weights in (first, between[0], last))
    assert networks.products() == (used, 5 * (8 + 3 * dim))
