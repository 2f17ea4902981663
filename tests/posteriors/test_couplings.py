"""Couplings: values that were computed by hand twice, the start, what moves and what it costs."""

import math

import pytest
import torch
from support.families import normal, wild
from torch.utils.flop_counter import FlopCounterMode

from nfbench import posterior
from nfbench.posteriors.contract import Identity

FAMILIES = ["nsf", "realnvp"]
EVERY = pytest.mark.parametrize("family", FAMILIES)


def at(*point):
    """One draw (1, 1, D) in float64."""
    return torch.tensor([[point]], dtype=torch.float64)


def with_conditioners(flow, *networks):
    """The flow with the functions of its maps' networks given."""
    flow.conditioners = lambda context: list(networks)
    return flow


def test_realnvp_of_the_worked_example():
    """Two layers of known s and t: the point, ln|det|, and back."""
    flow = posterior("realnvp:K=2", 2, dtype=torch.float64).flow
    flow = with_conditioners(
        flow,
        lambda seen: torch.cat([seen / 2 - 0.25, seen.tanh() / 2], -1),  # s = 2 tanh(z_1/2 - 1/4), t = tanh(z_1)/2
        lambda seen: torch.cat([0.5 - seen / 4, seen.tanh() / 2], -1),
    )
    theta = torch.zeros(1, 16, dtype=torch.float64)
    z, log_det = flow(at(0.5, -1.0), theta)
    assert z[0, 0].tolist() == pytest.approx([1.334964276, -0.7689414214], abs=1e-9)
    assert log_det.item() == pytest.approx(1.198832225, abs=1e-9)
    back, minus = flow.inverse(z, theta)
    assert back[0, 0].tolist() == pytest.approx([0.5, -1.0], abs=1e-14)
    assert minus.item() == pytest.approx(-log_det.item(), abs=1e-14)


@EVERY
@pytest.mark.parametrize(("dim", "depth"), [(2, 1), (3, 4), (5, 3)])
def test_the_start_is_the_identity(family, dim, depth):
    """At the start a chain leaves every point where it is, in its place, with ln|det| = 0."""
    flow = posterior(f"{family}:K={depth}", dim, seed=3, dtype=torch.float64).flow
    z = 4 * normal(50, 2, dim, seed=1)
    moved, log_det = flow(z, flow.initial().double().expand(1, -1))
    assert (moved - z).abs().max() < 1e-14
    assert log_det.abs().max() < 1e-14


@EVERY
@pytest.mark.parametrize("dim", [2, 3, 5, 6])
def test_two_or_three_maps_move_every_coordinate(family, dim):
    """Two maps move every coordinate where D is even, three where it is odd; one map moves half of them."""
    z, points = 0.5 * normal(20, 1, dim, seed=2), []
    for depth in (1, 2 + dim % 2):
        flow = wild(f"{family}:K={depth}", dim, seed=4).flow
        points.append((flow(z, normal(1, flow.num_params, seed=5))[0] - z).abs().amax((0, 1)) > 1e-6)
    assert points[0].tolist() == [False] * (dim - dim // 2) + [True] * (dim // 2)
    assert points[1].all()


@EVERY
@pytest.mark.parametrize("gradient", [False, True], ids=["forward", "gradient"])
@pytest.mark.parametrize("layers", [1, 3])
def test_flops_are_the_products_and_what_the_docstring_adds(family, layers, gradient):
    """Torch's own count of matrix products, and beside it what is elementwise: none is counted twice, none left out."""
    draws, dim, depth, hidden, context = 7, 5, 3, 16, 4
    q = posterior(f"{family}:K={depth},hidden={hidden},layers={layers},context={context}", dim)
    noise = normal(draws, 1, dim, seed=1).float()
    with FlopCounterMode(display=False) as counter:
        z, log_q = q(noise)
        if gradient:
            (z.sum() + log_q.sum()).backward()
    flow, outputs = q.flow, q.flow.networks.outputs
    ways, units = 2 if gradient else 1, layers * hidden
    of_draw = (4 if gradient else 1) * units + flow.moved * flow.move_cost(gradient=gradient)
    of_draw += outputs if gradient else 0
    besides = depth * (draws * of_draw + ways * outputs * (hidden + 1))
    base = Identity(dim).cost(draws, 1, 1, gradient=gradient)
    cost = flow.cost(draws, 1, 1, gradient=gradient)
    assert cost.flops - base.flops - besides == counter.get_total_flops() > 0


@EVERY
def test_numbers_are_those_counted_by_hand(family):
    """Weights once, the context of each row once; with gradient read again and their gradient written."""
    flow = posterior(f"{family}:K=1,hidden=7,context=3", 2).flow
    outputs = flow.networks.outputs  # of the one coordinate that moves
    weights = 7 + 7 + 3 * 7 + 7 * outputs + outputs
    for gradient, times in ((False, 1), (True, 3)):
        base = Identity(2).cost(5, 4, 4, gradient=gradient)
        assert flow.cost(5, 4, 4, gradient=gradient).numbers - base.numbers == times * (weights + 4 * 3)


@EVERY
def test_without_a_context_nothing_depends_on_the_data_point(family):
    """With context=0 a flow has no numbers of a data point; with one, another context is another map."""
    assert posterior(f"{family}:K=2,context=0", 3).flow.num_params == 0
    flow = wild(f"{family}:K=2,context=2", 3, seed=6).flow
    z = normal(4, 1, 3, seed=7)
    first, second = (flow(z, torch.full((1, 2), value, dtype=torch.float64))[0] for value in (0.0, 1.0))
    assert (first - second).abs().max() > 1e-3


def test_alpha_bounds_what_a_map_stretches():
    """However large the weights, ln|det| of one map lies within alpha for each coordinate that moves."""
    flow = wild("realnvp:K=1,alpha=0.5", 4, seed=8, scale=50.0).flow
    log_det = flow(10 * normal(200, 1, 4, seed=9), normal(1, 16, seed=10))[1]
    assert 0.9 < log_det.abs().max() <= 2 * 0.5
    assert math.isclose(flow.form.constant, 0.5)
