"""Sylvester flows: worked examples, orthonormal columns, exact inverses, the least slope, and wrong options."""

import math

import pytest
import torch
from support.families import normal, wild

from nfbench import InputError, posterior
from nfbench.posteriors.map_flow import MapFlow

R = [[0.5, -1.0], [0.0, -0.75]]
S = [[-0.8, 0.5], [0.0, 0.9]]
B = [0.3, -0.2]
ALL = pytest.mark.parametrize("mixing", ["orthogonal", "householder", "triangular"])


def _theta(vectors, r, s, b):
    """The numbers (1, R) of one map with two units from the vectors of its reflections, R, S and b."""
    raw = [[math.atanh(matrix[i][i]) for i in range(2)] for matrix in (r, s)]
    numbers = [*vectors, r[0][1], s[0][1], *raw[0], *raw[1], *b]
    return torch.tensor([numbers], dtype=torch.float64)


def _at(*point):
    return torch.tensor([[point]], dtype=torch.float64)


def test_orthogonal_worked_example():
    """Q with columns (3/5, 4/5, 0) and (0, 0, 1) by two reflections: the point, ln|det| and the way back."""
    first = torch.tensor([1.0, 0, 0]) - torch.tensor([0.6, 0.8, 0])  # takes e_1 to the first column
    second = torch.tensor([0.0, 1, 0]) - torch.tensor([0.0, 0, 1])  # the first leaves the second column as it is
    exact = [0.4, -0.8, 0.0, *second.tolist()]
    assert exact == pytest.approx([*first.tolist(), *second.tolist()])
    flow, theta = posterior("sylvester:K=1,units=2", 3).flow.double(), _theta(exact, R, S, B)
    q = flow.parts(flow.maps(theta)).q[0, 0]
    assert torch.allclose(q, torch.tensor([[0.6, 0], [0.8, 0], [0, 1]], dtype=torch.float64), rtol=0, atol=1e-14)
    z, log_det = flow(_at(0.5, -1.0, 0.75), theta)
    assert z[0, 0].tolist() == pytest.approx([0.4720630525, -1.037249263, 0.4183272330], abs=1e-9)
    assert log_det.item() == pytest.approx(-0.9450012385, abs=1e-9)
    back, minus = flow.inverse(z, theta)
    assert back[0, 0].tolist() == pytest.approx([0.5, -1.0, 0.75], abs=1e-14)
    assert minus.item() == pytest.approx(0.9450012385, abs=1e-9)


def test_triangular_worked_example():
    """The first map as it is, and the second, which sees and gives back the coordinates in reverse."""
    flow, theta = posterior("sylvester:K=1,mixing=triangular", 2).flow.double(), _theta([], R, S, B)
    z, log_det = flow(_at(0.5, -1.0), theta)
    assert z[0, 0].tolist() == pytest.approx([1.031974238, -0.3996257337], abs=1e-9)
    assert log_det.item() == pytest.approx(-0.6126370428, abs=1e-9)
    flow = posterior("sylvester:K=2,mixing=triangular", 2).flow.double()
    both = torch.cat([_theta([], [[0.0, 0.0], [0.0, 0.0]], S, B), theta], 1)  # with R = 0 the first is the identity
    z, log_det = flow(_at(0.5, -1.0), both)
    assert z[0, 0].tolist() == pytest.approx([0.3163110032, -0.8078920185], abs=1e-9)
    assert log_det.item() == pytest.approx(-1.105687621, abs=1e-9)
    assert flow.inverse(z, both)[0][0, 0].tolist() == pytest.approx([0.5, -1.0], abs=1e-14)


@ALL
@pytest.mark.parametrize("dim", [1, 2, 6])
def test_columns_are_orthonormal(mixing, dim):
    """Whatever the numbers, Q^T Q = I to rounding: no iteration that may not have converged."""
    flow = wild(f"sylvester:K=3,mixing={mixing}", dim, seed=1).flow
    q = flow.parts(flow.maps(5 * normal(4, flow.num_params, seed=2))).q
    eye = torch.eye(flow.units, dtype=torch.float64)
    assert (q.mT @ q - eye).abs().max() < 1e-13


@pytest.mark.parametrize("units", [1, 3, 5])
def test_fewer_units_than_dimensions(units):
    """With M < D the density along draws is that at points, and ln|det| is that of autograd."""
    flow = wild(f"sylvester:K=3,units={units}", 5, seed=3).flow
    theta = normal(2, flow.num_params, seed=4)
    z = normal(20, 2, 5, seed=5)
    image, log_det = flow(z, theta)
    back, minus = flow.inverse(image, theta)
    assert torch.allclose(back, z, rtol=0, atol=1e-10)
    assert torch.allclose(minus, -log_det, rtol=0, atol=1e-9)
    point = z[0, :1]
    jacobian = torch.autograd.functional.jacobian(lambda x: flow(x.unsqueeze(0), theta[:1])[0][0], point)
    expected = torch.linalg.slogdet(jacobian[0, :, 0])
    assert expected.sign == 1
    assert expected.logabsdet.item() == pytest.approx(log_det[0, 0].item(), abs=1e-10)


@ALL
def test_the_inverse_is_exact_where_a_map_nearly_folds(mixing):
    """With r_ii s_ii within 1e-4 of -1 the roots are found, and points come back as far as rounding lets them."""
    flow = wild(f"sylvester:K=1,mixing={mixing}", 3, seed=6).flow
    theta = normal(1, flow.num_params, seed=7)
    theta[:, -9:-6], theta[:, -6:-3] = 5.0, -5.0
    least = flow.parts(flow.maps(theta)).least
    assert ((least > 0) & (least < 4e-4)).all()
    z = 3 * normal(200, 1, 3, seed=8)
    image, log_det = flow(z, theta)
    back, minus = flow.inverse(image, theta)
    assert torch.allclose(flow(back, theta)[0], image, rtol=0, atol=1e-12)
    assert torch.allclose(back, z, rtol=0, atol=1e-8)
    assert torch.allclose(minus, -log_det, rtol=0, atol=1e-5)


def test_the_least_slope_is_positive_in_float32():
    """Where tanh rounds to 1 and -1 in float32 the least slope is e^-38.6, not 0, as it is in float64."""
    flow = posterior("sylvester:K=1,mixing=triangular", 1).flow
    theta = torch.tensor([[20.0, -20.0, 0.0]])
    single, double = (
        flow.to(dtype).parts(flow.maps(theta.to(dtype))).least.item() for dtype in (torch.float32, torch.float64)
    )
    assert single == pytest.approx(double, rel=1e-4)
    assert double == pytest.approx(4 * math.exp(-40), rel=1e-6)


def test_a_planar_map_is_a_sylvester_map_of_one_unit():
    """With M = 1 the map is z + q r tanh(s q.z + b)."""
    flow = posterior("sylvester:K=1,units=1", 3).flow.double()
    theta = normal(1, flow.num_params, seed=9)
    vector, r, s, b = theta[0, :3], theta[0, 3].tanh(), theta[0, 4].tanh(), theta[0, 5]
    q = torch.eye(3, dtype=torch.float64)[0] - 2 * vector * vector[0] / vector.square().sum()
    z = normal(7, 1, 3, seed=10)
    expected = z + q * r * torch.tanh(s * (z @ q) + b).unsqueeze(-1)
    assert torch.allclose(flow(z, theta)[0], expected, rtol=0, atol=1e-12)


@ALL
def test_everything_has_a_gradient_at_the_start(mixing):
    """R is small and not 0, so that vectors, S and b are learned from the first update."""
    flow: MapFlow = posterior(f"sylvester:K=2,mixing={mixing}", 4).flow
    theta = flow.initial().double().unsqueeze(0).requires_grad_()
    z, log_det = flow.double()(normal(50, 1, 4, seed=11), theta)
    ((z * normal(50, 1, 4, seed=12)).sum() + log_det.sum()).backward()
    assert (theta.grad != 0).all()


@pytest.mark.parametrize(
    ("spec", "dim", "message"),
    [
        ("sylvester:units=3", 2, "units=3: expected at most dim=2"),
        ("sylvester:units=2,mixing=triangular", 2, "units=2: expected all, as mixing=triangular"),
        ("sylvester:units=2,mixing=householder", 4, "units=2: expected all, as mixing=householder"),
    ],
)
def test_units_that_there_cannot_be(spec, dim, message):
    """More columns than dimensions, or a number of them where there is no choice, is refused in one line."""
    with pytest.raises(InputError) as caught:
        posterior(spec, dim)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
