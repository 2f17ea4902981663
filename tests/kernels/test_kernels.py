"""Kernels against the paper's formulas in plain `math`, and against the bugs that published code has had."""

import math

import pytest
import torch
from support.families import normal

from nfbench.foundation.numerics import inverse_softplus
from nfbench.kernels.coupling import reference as coupling
from nfbench.kernels.planar import reference as planar
from nfbench.kernels.radial import reference as radial


def _planar(w, u, b):
    """`w, u (B, K, D), b (B, K) -> (B, K, 2 D + 1)`, as `planar.chain` takes them."""
    return torch.cat([w, u, b.unsqueeze(-1)], -1)


def _radial_maps(centre, alpha, s):
    """`centre (B, K, D), alpha, s (B, K) -> (B, K, D + 2)`, as `radial.chain` takes them."""
    return torch.cat([centre, inverse_softplus(torch.stack([alpha, s], -1))], -1)


def _tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _planar_by_the_book(z, w, u, b):
    """Eq. 10-12 and App. A.1 of the paper for one map and one point, in Python floats."""
    wu = sum(x * y for x, y in zip(w, u, strict=True))
    square = sum(x * x for x in w)
    u_hat = [y + (-1 + math.log(1 + math.exp(wu)) - wu) * x / square for x, y in zip(w, u, strict=True)]
    h = math.tanh(sum(x * y for x, y in zip(w, z, strict=True)) + b)
    det = 1 + sum(x * (1 - h * h) * y for x, y in zip(w, u_hat, strict=True))
    return [x + y * h for x, y in zip(z, u_hat, strict=True)], math.log(abs(det)), u_hat


def test_planar_value():
    """The worked example: u_hat, w.u_hat, f(z) and ln|det| to the digits given."""
    w, u = _tensor(1.5, -0.7), _tensor(-2, 1)
    u_hat, s = planar.constrain(w[None, None], u[None, None])
    assert u_hat[0, 0].tolist() == pytest.approx([-0.5085276391, 0.3039795649], abs=1e-10)
    assert float(s) - 1 == pytest.approx(-0.9755771541, abs=1e-10)
    z, log_det = planar.chain(_tensor(0.5, -1.2)[None, None], _planar(w[None, None], u[None, None], _tensor(0.3)[None]))
    assert z[0, 0].tolist() == pytest.approx([0.0141663615, -0.9095860939], abs=1e-10)
    assert log_det.item() == pytest.approx(-0.0889743993, abs=1e-10)


@pytest.mark.parametrize("seed", range(20))
def test_planar_chain_by_the_book(seed):
    """A chain of three maps at wild parameters agrees with the paper's formulas, map by map."""
    dim, depth = 4, 3
    w, u = 2 * normal(1, depth, dim, seed=seed), 2 * normal(1, depth, dim, seed=seed + 100)
    b, z = normal(1, depth, seed=seed + 200), normal(1, 1, dim, seed=seed + 300)
    expected, total = z[0, 0].tolist(), 0.0
    for k in range(depth):
        expected, log_det, _ = _planar_by_the_book(expected, w[0, k].tolist(), u[0, k].tolist(), float(b[0, k]))
        total += log_det
    ours, log_det = planar.chain(z, _planar(w, u, b))
    assert ours[0, 0].tolist() == pytest.approx(expected, abs=1e-9)
    assert log_det.item() == pytest.approx(total, abs=1e-7)  # the book's 1 + u.psi cancels; ours does not


def test_planar_identity_and_contraction():
    """m(x) = 0 at ln(e - 1), and a start at u = w = 0+ would contract: m(0) = ln 2 - 1."""
    w = _tensor(1.0, 0.0)[None, None]
    for u, expected in ((math.log(math.e - 1), 0.0), (0.0, -0.3068528194)):
        _, s = planar.constrain(w, _tensor(u, 0.0)[None, None])
        assert float(s) - 1 == pytest.approx(expected, abs=1e-10)


def test_planar_does_not_underflow():
    """On the hyperplane with w.u = -20, ln|det| = -20 in float32 too, where log|1 + ...| gives -inf."""
    w = torch.tensor([[[1.0, 0.0]]])
    _, log_det = planar.chain(torch.zeros(1, 1, 2), _planar(w, -20 * w, torch.zeros(1, 1)))
    assert log_det.item() == pytest.approx(-20, rel=1e-6)
    h = torch.tanh(torch.zeros(()))
    assert float(torch.log(torch.abs(1 + (math.log1p(math.exp(-20)) - 1) * (1 - h**2)).float())) == -math.inf


def test_planar_does_not_overflow():
    """w.u = 200 is finite in float32: softplus, not ln(1 + e^x)."""
    w = torch.tensor([[[1.0, 0.0]]])
    z, log_det = planar.chain(torch.zeros(1, 1, 2), _planar(w, 200 * w, torch.zeros(1, 1)))
    assert z.isfinite().all()
    assert log_det.item() == pytest.approx(math.log(200), rel=1e-6)


def test_planar_inverse_where_it_is_flattest():
    """At w.u = -30 the map all but folds; the root find still returns the point, and the draw, to 1e-8."""
    w = _tensor(1.0, 0.0)[None, None]
    z = torch.stack([torch.linspace(-3, 3, 101, dtype=torch.float64), torch.zeros(101, dtype=torch.float64)], -1)[
        :, None
    ]
    maps = _planar(w, -30 * w, torch.zeros(1, 1, dtype=torch.float64))
    ours, _ = planar.chain(z, maps)
    back, _ = planar.inverse(ours, maps)
    again, _ = planar.chain(back, maps)
    assert torch.allclose(again, ours, rtol=0, atol=1e-12)
    steep = z[..., 0].abs() > 0.1
    assert torch.allclose(back[steep], z[steep], rtol=0, atol=1e-8)


def _radial(raw_alpha_of: float, raw_beta: float, z: torch.Tensor, centre: torch.Tensor):
    s = torch.nn.functional.softplus(_tensor(raw_beta))[None]
    return radial.chain(z[None, None], _radial_maps(centre[None, None], _tensor(raw_alpha_of)[None], s))


def test_radial_value():
    """The worked example: f(z) and ln|det| to the digits given."""
    z, log_det = _radial(0.7, 0.4, _tensor(0.5, -1.2), _tensor(0.2, 0.1))
    assert z[0, 0].tolist() == pytest.approx([0.5314156086, -1.3361343041], abs=1e-10)
    assert log_det.item() == pytest.approx(0.1349925571, abs=1e-10)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("dim", [1, 2, 7])
def test_radial_by_the_book(seed, dim):
    """One map agrees with eq. 14 and App. A.2 in Python floats."""
    z, c = normal(dim, seed=seed), normal(dim, seed=seed + 50)
    alpha, raw = (float(x) for x in normal(2, seed=seed + 90).abs() + 0.1)
    beta = -alpha + math.log(1 + math.exp(raw))
    r = math.sqrt(sum((x - y) ** 2 for x, y in zip(z.tolist(), c.tolist(), strict=True)))
    h, slope = 1 / (alpha + r), -1 / (alpha + r) ** 2
    expected = [x + beta * h * (x - y) for x, y in zip(z.tolist(), c.tolist(), strict=True)]
    log_det = (dim - 1) * math.log(1 + beta * h) + math.log(1 + beta * h + beta * slope * r)
    ours, ours_det = _radial(alpha, raw, z, c)
    assert ours[0, 0].tolist() == pytest.approx(expected, abs=1e-12)
    assert float(ours_det) == pytest.approx(log_det, abs=1e-12)


def test_radial_at_its_centre():
    """A point on the centre stays, with a finite ln|det| = D ln(s / alpha) and finite gradients."""
    centre = _tensor(0.3, -0.4)[None, None].requires_grad_()
    z, log_det = radial.chain(
        _tensor(0.3, -0.4)[None, None], _radial_maps(centre, _tensor(0.5)[None], _tensor(1.5)[None])
    )
    assert torch.equal(z, centre)
    assert log_det.item() == pytest.approx(2 * math.log(3), abs=1e-12)
    (z.sum() + log_det.sum()).backward()
    assert centre.grad.isfinite().all()


def test_radial_inverse_does_not_cancel():
    """In float32, at s = 1000 alpha, the inverse is right to 16 units in the last place however near the centre."""
    offset = torch.logspace(-6, 4, 101)
    z = torch.stack([offset, torch.zeros_like(offset)], -1)[:, None]
    maps = _radial_maps(torch.zeros(1, 1, 2), torch.ones(1, 1), torch.full((1, 1), 1000.0))
    back, _ = radial.inverse(radial.chain(z, maps)[0], maps)
    assert torch.allclose(back, z, rtol=16 * torch.finfo(torch.float32).eps, atol=0)


def test_coupling_moves_one_half_only():
    """With no mixing the first half stays, the second moves by the shift, and the inverse takes it back exactly."""
    z = normal(6, 1, 4, seed=1)
    network = (normal(1, 2, 5, seed=2), normal(1, 1, 5, seed=3), normal(1, 5, 2, seed=4), normal(1, 2, seed=5))
    eye = torch.eye(4, dtype=torch.float64)[None]
    moved = coupling.chain(z, eye, *network)
    assert torch.equal(moved[..., :2], z[..., :2])
    assert not torch.allclose(moved[..., 2:], z[..., 2:])
    assert torch.allclose(coupling.inverse(moved, eye, *network), z, rtol=0, atol=1e-14)


def _folds(constrained) -> bool:
    """Whether a map with this constraint on u changes orientation somewhere, for some wild w, u."""
    for seed in range(200):
        w, u = 2 * normal(5, seed=seed), 2 * normal(5, seed=seed + 1000)
        inner = float(w @ constrained(w, u))
        if inner < -1 - 1e-9:
            return True
    return False


MUTANTS = {
    "no constraint": lambda w, u: u,
    "norm not squared": lambda w, u: u + (torch.nn.functional.softplus(w @ u) - 1 - w @ u) * w / w.norm(),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_published_bugs_fold_space(name):
    """The two published mistakes in u_hat make maps that are not invertible, which the paper's never is."""
    assert _folds(MUTANTS[name])
    assert not _folds(lambda w, u: planar.constrain(w[None, None], u[None, None])[0][0, 0])


def test_published_bugs_differ_from_the_book():
    """M = -1 + ln(1 + softplus(x)) and +1e-4 inside the logarithm give other numbers than the worked example."""
    w, u, z, b = [1.5, -0.7], [-2.0, 1.0], [0.5, -1.2], 0.3
    _, log_det, u_hat = _planar_by_the_book(z, w, u, b)
    twice = -1 + math.log(1 + math.log(1 + math.exp(-3.7)))
    assert abs(twice - sum(x * y for x, y in zip(w, u_hat, strict=True))) > 1e-4
    biased = math.log(1e-4 + math.exp(log_det))
    assert abs(biased - log_det) > 1e-5  # our tolerance there is 1e-10


def test_inverse_softplus():
    """Softplus undoes it, for tiny and for large numbers."""
    x = _tensor(1e-8, 0.1, 1.0, 30.0)
    assert torch.allclose(torch.nn.functional.softplus(inverse_softplus(x)), x, rtol=1e-12, atol=0)
