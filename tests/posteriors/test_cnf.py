"""Continuous flows: exact solutions, the error of the steps, the discrete map's own Jacobian, the velocity's limit."""

import math

import pytest
import torch
from support.families import normal, wild

from nfbench import posterior
from nfbench.posteriors import runge_kutta


def at(*point):
    """One draw (1, 1, D) in float64."""
    return torch.tensor([[point]], dtype=torch.float64)


def cubic(z, tangents, time):
    """The velocity dz/dt = -z^3."""
    return -(z**3), -3 * z.square().unsqueeze(-2) * tangents


def test_a_linear_velocity():
    """With dz/dt = A z the solution is exp(A) z and ln|det| the trace of A; back again."""
    A = torch.tensor([[0.2, -0.5], [0.3, -0.1]], dtype=torch.float64)
    z, log_det = runge_kutta.solve(lambda z, tangents, time: (z @ A.T, tangents @ A.T), at(0.5, -1.0), 64)
    assert z[0, 0].tolist() == pytest.approx([1.084198110, -0.6762395459], abs=1e-9)
    assert log_det.item() == pytest.approx(0.1, abs=1e-9)
    back, minus = runge_kutta.solve_back(lambda z, tangents, time: (z @ A.T, tangents @ A.T), z, 64)
    assert back[0, 0].tolist() == pytest.approx([0.5, -1.0], abs=1e-13)
    assert minus.item() == pytest.approx(-log_det.item(), abs=1e-13)


@pytest.mark.parametrize(("steps", "error"), [(4, -1.4e-3), (8, -2.3e-5), (16, -2.3e-7), (32, 1.1e-8)])
def test_the_error_of_the_steps(steps, error):
    """With dz/dt = -z^3 from 3/2 the solution is z / sqrt(1 + 2 z^2): the error falls as it was computed elsewhere."""
    z, log_det = runge_kutta.solve(cubic, at(1.5), steps)
    assert z.item() - 0.6396021491 == pytest.approx(error, rel=0.05)
    start = at(1.5).requires_grad_()
    (slope,) = torch.autograd.grad(runge_kutta.solve(cubic, start, steps)[0].sum(), start)
    assert log_det.item() == pytest.approx(math.log(slope.item()), abs=1e-13)


def test_many_steps_come_to_the_exact_log_determinant():
    """The ln|det| of 512 steps is that of the exact solution, -3/2 ln(1 + 2 z_0^2)."""
    assert runge_kutta.solve(cubic, at(1.5), 512)[1].item() == pytest.approx(-2.557122138, abs=1e-8)


@pytest.mark.parametrize("dim", [1, 3])
def test_the_start_is_the_identity(dim):
    """At the start every point stays where it is, with ln|det| = 0."""
    flow = posterior("cnf:K=2", dim, dtype=torch.float64).flow
    z = 4 * normal(50, 2, dim, seed=1)
    moved, log_det = flow(z, flow.initial().double().expand(1, -1))
    assert torch.equal(moved, z)
    assert not log_det.any()


@pytest.mark.parametrize("layers", [1, 2])
def test_no_step_folds_space(layers):
    """However large the weights, each step's Jacobian stays within e^(1/2) - 1 of the identity."""
    flow = wild(f"cnf:K=1,steps=2,layers={layers}", 3, seed=2, scale=20.0).flow
    (field,) = flow.fields(normal(1, 16, seed=3))
    _, jacobian = runge_kutta.step(field, normal(500, 1, 3, seed=4), 0.0, 0.5)
    far = torch.linalg.matrix_norm(jacobian - torch.eye(3, dtype=torch.float64), 2).max()
    assert 0.0 < far < math.expm1(0.5)


def test_time_matters():
    """The velocity depends on the time: a map is no repetition of one step."""
    (field,) = wild("cnf:K=1", 2, seed=5).flow.fields(normal(1, 16, seed=6))
    z, eye = normal(1, 1, 2, seed=7), torch.eye(2, dtype=torch.float64)
    assert (field(z, eye, 0.0)[0] - field(z, eye, 1.0)[0]).abs().max() > 1e-3


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("dim", [4, 9])
def test_tangents_of_the_hidden_units_give_the_same_determinant(layers, dim):
    """With fewer or a few more hidden units than dimensions, ln|det| and its gradients are those of D tangents."""
    flow = wild(f"cnf:K=2,steps=3,layers={layers},hidden=5", dim, seed=8, scale=1.0).flow
    z, context = normal(40, 1, dim, seed=9).requires_grad_(), normal(1, 16, seed=10)
    end, log_det = z, 0.0
    for field in flow.fields(context):
        end, of_map = runge_kutta.solve(field, end, 3)
        log_det = log_det + of_map
    expected = end, log_det, *torch.autograd.grad(log_det.sum(), [z, *flow.parameters()])
    end, log_det = flow.chain(z, context)
    found = end, log_det, *torch.autograd.grad(log_det.sum(), [z, *flow.parameters()])
    assert log_det.abs().max() > 0.01
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)
