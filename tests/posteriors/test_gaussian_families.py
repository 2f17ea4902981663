"""Families that are Gaussians by a linear map of the base: formulas by worked examples, bounds by algebra."""

import math

import pytest
import torch
from support.families import normal, wild

from nfbench import posterior
from nfbench.posteriors.families import householder
from nfbench.posteriors.families.householder import Householder
from nfbench.posteriors.reflections import factors, one_by_one
from nfbench.posteriors.triangular import UnitTriangular


def _point(*values):
    return torch.tensor([[values]], dtype=torch.float64)


def _numbers(*values):
    return torch.tensor([values], dtype=torch.float64)


def _moments(q):
    """Mean (D,) and covariance (D, D) of a free posterior whose map is affine: its value at 0 and its Jacobian."""
    noise = torch.cat([torch.zeros(1, q.noise_dim), torch.eye(q.noise_dim)]).double().unsqueeze(1)
    z = q(noise)[0].squeeze(1)
    columns = (z[1:] - z[0]).mT
    return z[0], columns @ columns.mT


def test_full_covariance_worked_example():
    """Mean, L and a draw that were computed by hand give z, ln q and the entropy to ten digits."""
    q = posterior("full-covariance", 2, dtype=torch.float64)
    mean = torch.tensor([0.25, -0.5], dtype=torch.float64)
    cholesky = torch.tensor([[math.exp(0.1), 0], [0.5, math.exp(-0.2)]], dtype=torch.float64)
    unit = cholesky / cholesky.diagonal()
    with torch.no_grad():
        q.source.theta.copy_(unit[1:, :1])
        q.source.base.copy_(torch.cat([torch.linalg.solve(unit, mean), cholesky.diagonal().log()]))
        z, log_q = q(_point(0.6, -1.0))
    assert z[0, 0].tolist() == pytest.approx([0.9131025508, -1.018730753], abs=1e-9)
    assert log_q.item() == pytest.approx(-2.417877066, abs=1e-9)
    _, covariance = _moments(q)
    assert 0.5 * torch.logdet(2 * math.pi * math.e * covariance).item() == pytest.approx(2.737877067, abs=1e-9)


def test_numbers_fill_the_triangle_by_rows():
    """Below the diagonal the numbers stand row by row, divided by sqrt(D - 1)."""
    below = UnitTriangular(4).below(torch.arange(1.0, 7).unsqueeze(0))[0] * math.sqrt(3)
    expected = [[0, 0, 0, 0], [1, 0, 0, 0], [2, 3, 0, 0], [4, 5, 6, 0]]
    assert torch.allclose(below, torch.tensor(expected, dtype=torch.float32))


def test_householder_worked_example():
    """Reflections at (1, 2, -2) and (3, 0, 4), one and both, and the way back."""
    v, w, z = (1.0, 2.0, -2.0), (3.0, 0.0, 4.0), (0.5, -1.0, 0.75)
    once, twice = (posterior(f"householder:K={K}", 3).flow for K in (1, 2))
    first, log_det = once(_point(*z), _numbers(*v))
    assert first[0, 0].tolist() == pytest.approx([1.166666667, 0.3333333333, -0.5833333333], abs=1e-9)
    assert log_det.item() == 0
    both, _ = twice(_point(*z), _numbers(*v, *w))
    assert both[0, 0].tolist() == pytest.approx([0.8866666667, 0.3333333333, -0.9566666667], abs=1e-9)
    assert twice.inverse(both, _numbers(*v, *w))[0][0, 0].tolist() == pytest.approx(z, abs=1e-12)


def test_reflections_at_once_are_those_one_by_one():
    """Twelve reflections in five dimensions, taken at once, are the twelve taken in turn."""
    vectors, z = normal(2, 12, 5, seed=1), normal(7, 2, 5, seed=2)
    units, products = factors(vectors)
    point = z
    for v in vectors.unbind(1):
        point = point - 2 * v * ((point * v).sum(-1) / v.square().sum(-1)).unsqueeze(-1)
    assert torch.allclose(z - torch.einsum("sbd,bkd,bke->sbe", z, units, products), point, rtol=0, atol=1e-12)
    assert torch.allclose(one_by_one(z, vectors), point, rtol=0, atol=1e-12)


def test_few_draws_are_reflected_as_many_are():
    """Whichever way is taken for the number of draws, draws, gradients and the inverse are the same, zeros included."""
    flow, theta, z = Householder(5, 4), normal(6, 20, seed=1), normal(30, 6, 5, seed=2)
    theta[0, :5] = 0  # reflects nothing
    theta.requires_grad_()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(householder, "factors", None)  # one by one
        few = torch.cat([flow(z[place : place + 3], theta)[0] for place in range(0, 30, 3)])
    many = flow(z, theta)[0]
    torch.testing.assert_close(few, many, rtol=0, atol=1e-12)
    weights = normal(30, 6, 5, seed=3)
    gradients = [torch.autograd.grad((moved * weights).sum(), theta)[0] for moved in (few, many)]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-11)
    torch.testing.assert_close(flow.inverse(few[:2].detach(), theta)[0], z[:2], rtol=0, atol=1e-12)


@pytest.mark.parametrize("depth", [4, 5])
def test_householder_starts_as_the_centred_base(depth):
    """Pairs of reflections are the identity; an odd one turns a sign; every vector has a gradient all the same."""
    q = posterior(f"householder:K={depth}", 3, dtype=torch.float64)
    noise = normal(20, 1, 3, seed=3)
    z, _ = q(noise)
    signs = torch.tensor([1.0, 1.0, (-1.0) ** depth]).double()
    assert torch.allclose(z, noise * signs, rtol=0, atol=1e-6)  # the start is drawn in float32
    (z * normal(20, 1, 3, seed=4)).sum().backward()
    assert (q.source.theta.grad.reshape(depth, 3).norm(dim=-1) > 1e-3).all()


def test_a_vector_of_zeros_reflects_nothing():
    """A vector v = 0 has no direction: the point stays, and values and gradients are finite."""
    flow = posterior("householder:K=2", 2).flow
    theta = torch.tensor([[0.0, 0.0, 1.0, 0.0]], requires_grad=True)
    z, _ = flow(torch.tensor([[[0.5, -2.0]]]), theta)
    z.sum().backward()
    assert z[0, 0].tolist() == [-0.5, -2.0]
    assert theta.grad.isfinite().all()


CORRELATED = torch.tensor([1.0, -0.5, 0.25]), torch.tensor([[2.0, 0.9, -0.4], [0.9, 1.0, 0.3], [-0.4, 0.3, 0.5]])


def _divergence(q, target):
    """KL(q || p) in nats, exactly, of a posterior that is a Gaussian from p = (mean (D,), covariance (D, D))."""
    (mean, covariance), (to_mean, to_covariance) = _moments(q), (part.double() for part in target)
    apart = to_mean - mean
    inverse = torch.linalg.inv(to_covariance)
    ratio = torch.logdet(to_covariance) - torch.logdet(covariance)
    return 0.5 * ((inverse @ covariance).trace() + apart @ inverse @ apart - len(mean) + ratio)


def _fitted(spec, target, seed=0):
    """The least exact divergence that L-BFGS reaches from the family's start."""
    q = posterior(spec, len(target[0]), dtype=torch.float64, seed=seed)
    optimizer = torch.optim.LBFGS(q.parameters(), max_iter=400, line_search_fn="strong_wolfe", tolerance_grad=1e-10)

    def closure():
        optimizer.zero_grad()
        divergence = _divergence(q, target)
        divergence.backward()
        return divergence

    optimizer.step(closure)
    return _divergence(q, target).item()


@pytest.mark.parametrize(
    "spec", ["full-covariance", "householder:K=2", "householder:K=3", "linear-iaf:components=2", "low-rank:rank=2"]
)
def test_every_gaussian_is_reached(spec):
    """On a correlated Gaussian the exact KL goes from more than .2 nats for the best diagonal one to 0."""
    assert _fitted("gaussian", CORRELATED) > 0.2
    assert _fitted(spec, CORRELATED) == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("spec", ["householder:K=1", "householder:K=5", "linear-iaf:components=3"])
def test_never_better_than_full_covariance(spec):
    """Whatever its numbers, a full covariance has the same density everywhere: no target lets it win."""
    ours, full = wild(spec, 4, seed=7), posterior("full-covariance", 4, dtype=torch.float64)
    mean, covariance = _moments(ours)
    factor = torch.linalg.cholesky(covariance)
    unit = factor / factor.diagonal()
    with torch.no_grad():
        full.source.theta.copy_(unit[tuple(torch.tril_indices(4, 4, -1))] * math.sqrt(3))
        full.source.base.copy_(torch.cat([torch.linalg.solve(unit, mean), factor.diagonal().log()]))
    z = 3 * normal(50, 1, 4, seed=8)
    assert torch.allclose(full.log_prob(z), ours.log_prob(z), rtol=1e-9, atol=1e-9)


def test_few_reflections_reach_less():
    """One reflection in four dimensions stays above full covariance: the bound is not reached by accident."""
    mean = torch.zeros(4)
    rotation = torch.linalg.qr(normal(4, 4, seed=9))[0]
    covariance = rotation @ torch.diag(torch.tensor([0.1, 0.5, 2.0, 8.0]).double()) @ rotation.mT
    assert min(_fitted("householder:K=1", (mean, covariance), seed) for seed in range(3)) > 0.05
    assert _fitted("full-covariance", (mean, covariance)) == pytest.approx(0, abs=1e-8)


def _low_rank(d, v, dtype=torch.float64):
    """A posterior with mean 0, standard deviations d and matrix V."""
    q = posterior(f"low-rank:rank={len(v[0])}", len(d), dtype=torch.float64)
    with torch.no_grad():
        q.source.base.copy_(torch.tensor([0.0] * len(d) + [math.log(part) for part in d], dtype=torch.float64))
        q.source.theta.copy_(torch.tensor(v, dtype=torch.float64).flatten())
    return q.to(dtype)


def test_low_rank_worked_example():
    """A draw, ln q, the determinant and the quadratic form of a covariance of rank two and a diagonal."""
    q = _low_rank([0.5, 1.0, 1.5], [[0.5, 0.25], [1.0, -0.5], [-0.25, 0.75]])
    z, _ = q(_point(0.2, -0.4, 1.0, 0.5, -1.0))
    assert z[0, 0].tolist() == pytest.approx([0.1, 0.6, 0.625], abs=1e-12)
    constant = 3 * math.log(2 * math.pi)
    at_zero, there = q.log_prob(torch.zeros(1, 1, 3).double()).item(), q.log_prob(_point(1.0, -0.5, 2.0)).item()
    assert -2 * at_zero - constant == pytest.approx(1.090769111, abs=1e-9)
    assert 2 * (at_zero - there) == pytest.approx(3.308727034, abs=1e-9)
    assert there == pytest.approx(-4.956563672, abs=1e-9)


@pytest.mark.parametrize("spec", ["low-rank:rank=1", "low-rank:rank=2", "low-rank:rank=6"])
def test_low_rank_density_is_that_of_its_covariance(spec):
    """At draws and elsewhere ln q is that of the normal whose covariance the map has, not of the D + R noise."""
    q = wild(spec, 4, seed=11)
    mean, covariance = _moments(q)
    normal_density = torch.distributions.MultivariateNormal(mean, covariance)
    z, log_q = q(normal(30, 1, q.noise_dim, seed=12))
    for point, ours in ((z, log_q), (3 * z, q.log_prob(3 * z))):
        assert torch.allclose(ours, normal_density.log_prob(point), rtol=1e-9, atol=1e-9)


def test_low_rank_in_float32_where_the_factor_is_large():
    """With V a million times d and two nearly parallel columns, float32 keeps ln q of draws and of points."""
    v = [[1.0, 1.0], [1.0, 1.001], [-2.0, -2.0]]
    fine, coarse = (_low_rank([1e-6, 1e-6, 1e-6], v, dtype) for dtype in (torch.float64, torch.float32))
    noise = normal(50, 1, 5, seed=13).float()
    z, log_q = coarse(noise)
    assert torch.allclose(log_q.double(), fine(noise.double())[1], rtol=1e-4, atol=1e-4)
    assert torch.allclose(coarse.log_prob(z).double(), fine.log_prob(z.double()), rtol=1e-4)


def test_low_rank_does_not_start_on_the_saddle():
    """The gradient of the divergence in V is 0 at V = 0, and at the start it is not."""
    q = posterior("low-rank:rank=2", 3, dtype=torch.float64)
    for zero in (False, True):
        q.zero_grad()
        if zero:
            torch.nn.init.zeros_(q.source.theta)
        _divergence(q, CORRELATED).backward()
        assert (q.source.theta.grad.abs().max() > 1e-3) != zero


def test_linear_iaf_worked_example():
    """Weights 1/4 and 3/4 of two triangular matrices, and the way back."""
    flow = posterior("linear-iaf:components=2", 3).flow
    below = math.sqrt(2) * torch.tensor([[0.5, -1, 0.25], [0, 2, -1]], dtype=torch.float64)
    theta = torch.cat([below.flatten(), torch.tensor([math.log(1 / 3)], dtype=torch.float64)]).unsqueeze(0)
    z, log_det = flow(_point(0.5, -1.0, 0.75), theta)
    assert z[0, 0].tolist() == pytest.approx([0.5, -0.9375, 2.0625], abs=1e-12)
    assert log_det.item() == 0
    assert flow.inverse(z, theta)[0][0, 0].tolist() == pytest.approx([0.5, -1.0, 0.75], abs=1e-12)


def test_linear_iaf_starts_as_the_identity_with_matrices_apart():
    """At the start every point stays, and every matrix has a gradient of its own once the base has moved."""
    flow = posterior("linear-iaf:components=3", 4).flow
    theta = flow.initial().double().unsqueeze(0).requires_grad_()
    z = normal(20, 1, 4, seed=14)
    moved, _ = flow(z, theta)
    assert torch.allclose(moved, z, rtol=0, atol=1e-6)  # the start is drawn in float32
    (moved * normal(20, 1, 4, seed=15)).sum().backward()
    assert (theta.grad[0, -2:].abs() > 1e-4).all()  # of the logits: 0 if the matrices were equal
