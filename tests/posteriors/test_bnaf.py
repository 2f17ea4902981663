"""Block neural autoregressive flows: values computed by hand twice, what is triangular, the start, what they cost."""

import math

import pytest
import torch
from support.families import normal, wild

from nfbench import posterior
from nfbench.posteriors.block_networks import BlockNetworks, Layer, apply, tanh_and_log_slope
from nfbench.posteriors.contract import Identity

RESIDUALS = pytest.mark.parametrize("residual", ["gated", "normal"])


def numbers(values):
    """A float64 tensor."""
    return torch.tensor(values, dtype=torch.float64)


def example():
    """The network of the worked example, D = 2, one hidden layer of two units for each coordinate."""
    e = math.exp
    first = numbers([[e(0.1), 0], [e(-0.2), 0], [0.5, e(0.3)], [-0.4, e(-0.1)]])
    last = numbers([[1, e(-0.5), 0, 0], [0.3, -0.2, e(0.2), e(-0.3)]])
    return [
        Layer(first, numbers([0.1, -0.1, 0.2, 0]), numbers([[[0.1], [-0.2]], [[0.3], [-0.1]]])),
        Layer(last, numbers([0.05, -0.05]), numbers([[[0, -0.5]], [[0.2, -0.3]]])),
    ]


def test_the_network_of_the_worked_example():
    """The values f and ln df_i/dz_i of a network are those computed by hand."""
    f, log_slopes = apply(example(), numbers([[[0.5, -1.0]]]))
    assert f[0, 0].tolist() == pytest.approx([0.8052819767, -1.407060309], abs=1e-9)
    assert log_slopes[0, 0].tolist() == pytest.approx([0.1770819218, 0.0410207039], abs=1e-9)


@pytest.mark.parametrize(
    ("residual", "point", "expected"),
    [
        ("gated", [0.6900256150, -1.253378488], 0.1395846266),
        ("normal", [1.305281977, -2.407060309], 1.499470637),
    ],
)
def test_maps_of_the_worked_example(residual, point, expected):
    """A gated map with gate 1/2 and a normal one: the point, ln|det|, and back."""
    flow = posterior(f"bnaf:K=1,residual={residual}", 2, dtype=torch.float64).flow
    flow.networks = lambda context: [example()]
    if residual == "gated":
        flow.gate.data.fill_(0.5)
    theta = torch.zeros(1, 16, dtype=torch.float64)
    z, log_det = flow(numbers([[[0.5, -1.0]]]), theta)
    assert z[0, 0].tolist() == pytest.approx(point, abs=1e-9)
    assert log_det.item() == pytest.approx(expected, abs=1e-9)
    back, minus = flow.inverse(z, theta)
    assert back[0, 0].tolist() == pytest.approx([0.5, -1.0], abs=1e-14)
    assert minus.item() == pytest.approx(-log_det.item(), abs=1e-14)


@pytest.mark.parametrize("layers", [1, 2])
def test_a_network_increases_in_each_coordinate_and_sees_none_after(layers):
    """df/dz of random networks is lower triangular, its diagonal positive and as `apply` says."""
    torch.manual_seed(0)
    networks = BlockNetworks(1, 4, units=3, layers=layers, context=2).double()
    (network,) = networks.networks(normal(1, 2, seed=1))
    z = normal(4, seed=2)
    jacobian = torch.autograd.functional.jacobian(lambda x: apply(network, x[None, None])[0][0, 0], z)
    assert not jacobian.triu(1).any()
    assert (jacobian.diagonal() > 0).all()
    torch.testing.assert_close(apply(network, z[None, None])[1][0, 0], jacobian.diagonal().log())


def test_the_slope_of_tanh_far_out():
    """The logarithm of tanh' agrees with 1 - tanh^2 near 0, and falls as -2 |a| where that is 0."""
    a = torch.linspace(-3, 3, 101, dtype=torch.float64)
    torch.testing.assert_close(tanh_and_log_slope(a)[1], (1 - a.tanh().square()).log())
    assert tanh_and_log_slope(numbers([-500.0, 500.0]))[1].tolist() == pytest.approx([-1000 + 2 * math.log(2)] * 2)
    assert torch.equal(tanh_and_log_slope(a)[0], a.tanh())
    assert torch.autograd.gradcheck(tanh_and_log_slope, a.clone().requires_grad_())
    assert torch.autograd.gradgradcheck(tanh_and_log_slope, a.clone().requires_grad_())


@RESIDUALS
def test_the_image_is_everything(residual):
    """Points far beyond what f reaches have a density and come from somewhere: the residual makes a map onto."""
    flow = wild(f"bnaf:K=2,residual={residual}", 3, seed=1).flow
    z, theta = 1e4 * normal(20, 1, 3, seed=2), normal(1, 16, seed=3)
    z_0, log_det = flow.inverse(z, theta)
    assert log_det.isfinite().all()
    torch.testing.assert_close(flow(z_0, theta)[0], z, rtol=1e-10, atol=1e-8)


@RESIDUALS
@pytest.mark.parametrize("depth", [1, 8, 80])
def test_the_start_is_near_the_identity_at_every_depth(residual, depth):
    """K maps together move the points of a unit Gaussian by less than a tenth, on the whole."""
    flow = posterior(f"bnaf:K={depth},residual={residual}", 3, dtype=torch.float64).flow
    z = normal(500, 1, 3, seed=4)
    moved, log_det = flow(z, flow.initial().double().expand(1, -1))
    assert (moved - z).square().mean().sqrt() < 0.1
    assert log_det.abs().max() < 0.3


@RESIDUALS
@pytest.mark.parametrize("gradient", [False, True], ids=["forward", "gradient"])
def test_cost_counted_by_hand(residual, gradient):
    """D = 2, two units a coordinate, no context: 3 blocks of two weights in and three of two out."""
    flow = posterior(f"bnaf:K=1,residual={residual},units=2,context=0", 2).flow
    weights, diagonal, times = 6 + 6, 4 + 4, 3 if gradient else 1
    base, cost = (one.cost(5, 1, 1, gradient=gradient) for one in (Identity(2), flow))
    draw = 2 * weights + 6 * 4 + 3 * diagonal + 8 * 2
    assert cost.flops - base.flops == times * (5 * draw + 3 * weights + diagonal)
    assert cost.numbers - base.numbers == times * (weights + 2 * (4 + 2))
