"""Families that follow the target's gradient, on the conjugate Gaussian model, where everything about them is known.

The worked numbers are those of one dimension: z ~ N(0, 1), x | z ~ N(z, 1/4), x = 1, so that the gradient of ln p(x, z)
is 4 - 5 z, ln p(x) = -1.430510309 and the posterior N(4/5, 1/5).
"""

import math

import pytest
import torch
from support.families import normal

from nfbench import InputError, posterior, target
from nfbench.posteriors.auxiliary import leapfrog
from nfbench.posteriors.slope import slope
from nfbench.specification.registry import posteriors
from nfbench.targets.densities.conjugate import log_evidence, log_joint

LOG_P = log_evidence(1)
AUXILIARY = [entry.name for entry in posteriors if entry.declared.kind == "auxiliary"]
EVERY = pytest.mark.parametrize("family", AUXILIARY)
BOUNDS = {0: -4.225791353, 1: -3.328713301, 4: -2.438287906, 8: -1.491417299}  # E[L] of HVI by number of steps


def built(spec, mean, sigma, step):
    """A family in one dimension with this base and step, in float64."""
    q = posterior(spec, 1, dtype=torch.float64)
    with torch.no_grad():
        q.source.base.copy_(torch.tensor([[mean, math.log(sigma)]], dtype=torch.float64))
        q.log_step.fill_(math.log(step))
    return q


def set_reverse(q, a, c, s):
    """Make HVI's reverse model N(a z + c, s^2); its outputs are scaled."""
    with torch.no_grad():
        q.momenta.linear[1, 0, 0] = a * math.sqrt(2)
        q.momenta.networks.b_out[1] = torch.tensor([c, math.log(s)], dtype=torch.float64) / q.momenta.networks.scale
    return q


def path(q, *numbers):
    """Of one draw z and L = ln p(x, z) - ln q."""
    z, log_q = q(torch.tensor([[numbers]], dtype=torch.float64), None, log_joint)
    return z.item(), (log_joint(z) - log_q).item()


def test_hvi_of_the_worked_example():
    """Two leapfrog steps of 1/4 from z_0 = 4/5, v = -1/2, and a reverse model N(1/4 - z/2, (9/10)^2)."""
    q = set_reverse(built("hvi:steps=2", 0.5, 0.5, 0.25), -0.5, 0.25, 0.9)
    assert path(q, 0.6, -0.5) == pytest.approx((0.5890625, -1.037109038), abs=1e-9)


def test_uha_of_the_worked_example():
    """Two steps of 1/4, b = (1/3, 2/3), eta = 1/2; rho'_1 is eta rho_1 + sqrt(1 - eta^2) 2/5 with rho_1 = -1/2."""
    q = built("uha:steps=2", 0.5, 0.5, 0.25)
    with torch.no_grad():
        q.raw_eta.zero_()
    assert path(q, 0.6, 0.5 * -0.5 + math.sqrt(0.75) * 0.4, -1.0) == pytest.approx(
        (0.5573391046, -1.249094507), abs=1e-9
    )


def test_langevin_of_the_worked_example():
    """One step with delta = 1/10 on the target itself; with n = 2 (s - g), s(z) = -(z - 4/5) / (3/10), it is MCD's."""
    step = math.sqrt(0.2)
    assert path(built("ula:steps=1", 0.5, 0.5, step), 0.6, -0.5) == pytest.approx(
        (0.5763932023, -1.170188533), abs=1e-9
    )
    q = built("mcd:steps=1", 0.5, 0.5, step)
    with torch.no_grad():
        q.reverse.linear[0, :, 0] = math.sqrt(2) * torch.tensor([-2 / 0.3, -2.0], dtype=torch.float64)
        q.reverse.networks.b_out[0, 0] = 2 * 0.8 / 0.3 / q.reverse.networks.scale
    assert path(q, 0.6, -0.5) == pytest.approx((0.5763932023, -1.225744089), abs=1e-9)


def affine(steps, step):
    """The leapfrog on the conjugate model as an affine map: matrix (2, 2) and shift (2,) of (z, v)."""
    z = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64).view(3, 1, 1)
    v = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64).view(3, 1, 1)
    gradient = slope(log_joint, z)
    for _ in range(steps):
        z, v, gradient = leapfrog(z, v, gradient, torch.tensor([step]), log_joint)
    ends = torch.cat([z, v], -1)[:, 0]
    return (ends[1:] - ends[0]).mT, ends[0]


@pytest.mark.parametrize("steps", BOUNDS)
def test_hvi_bound_with_the_best_reverse_model(steps):
    """From q_0 = q_v = N(0, 1) the bound is ln p(x) - KL(q(z) || posterior): by formula, and by draws within 5 s.e."""
    matrix, shift = affine(steps, 0.25)
    covariance = matrix @ matrix.mT
    variance, across = covariance[0, 0].item(), covariance[1, 0].item()
    a = across / variance
    s = math.sqrt(covariance[1, 1].item() - across * a)
    q = set_reverse(built(f"hvi:steps={steps}", 0, 1, 0.25), a, shift[1].item() - a * shift[0].item(), s)
    divergence = 0.5 * (5 * variance + 5 * (shift[0].item() - 0.8) ** 2 - 1 - math.log(5 * variance))
    assert LOG_P - divergence == pytest.approx(BOUNDS[steps], abs=1e-9)
    z, log_q = q(normal(100_000, 1, 2, seed=1), None, log_joint)
    bound = (log_joint(z) - log_q).detach()
    assert abs(bound.mean() - BOUNDS[steps]) < 5 * bound.std() / math.sqrt(bound.numel())


def test_more_steps_give_a_better_bound():
    """With 0, 1, 4 and 8 steps the bound of the best reverse model rises, and stays below ln p(x)."""
    assert list(BOUNDS.values()) == sorted(BOUNDS.values())
    assert max(BOUNDS.values()) < LOG_P


@EVERY
def test_short_steps_from_the_posterior_reach_equality(family):
    """Where q_0 is the posterior, L tends to ln p(x) for every draw, as (step)^2 or faster."""
    errors = []
    for step in (0.02, 0.01):
        q = built(f"{family}:steps=4", 0.8, math.sqrt(0.2), step)
        z, log_q = q(normal(1000, 1, q.noise_dim, seed=2), None, log_joint)
        errors.append((log_joint(z) - log_q - LOG_P).abs().max().item())
    assert errors[1] < 3e-3
    assert errors[0] / errors[1] > 3.5


@EVERY
@pytest.mark.parametrize("dim", [1, 3])
def test_weights_have_the_mean_of_the_evidence(family, dim):
    """E[exp(L)] = p(x) within 5 standard errors, whatever base, step and reverse model; and E[L] is below ln p(x)."""
    q = posterior(f"{family}:steps=3", dim, dtype=torch.float64)
    with torch.no_grad():
        for number, parameter in enumerate(q.parameters()):
            parameter.add_(0.1 * normal(*parameter.shape, seed=number))
        q.source.base[:, :dim] += 0.5
        q.log_step.fill_(math.log(0.25))
    z, log_q = q(normal(100_000, 1, q.noise_dim, seed=3), None, log_joint)
    bound = (log_joint(z) - log_q - log_evidence(dim)).detach()
    ratio = bound.exp()
    error = ratio.std() / math.sqrt(ratio.numel())
    assert error < 0.03
    assert abs(ratio.mean() - 1) < 5 * error
    assert bound.mean() < 0


@pytest.mark.parametrize("name", ["u1", "u4", "conjugate"])
def test_leapfrog_preserves_volume_and_is_reversible(name):
    """In float64 five steps have determinant 1 to 1e-10; with the momentum turned round they lead back to 1e-12."""
    built_target, step = target(name), torch.tensor([0.1, 0.2], dtype=torch.float64)

    def steps(z, v):
        gradient = slope(built_target.log_joint, z)
        for _ in range(5):
            z, v, gradient = leapfrog(z, v, gradient, step, built_target.log_joint)
        return z, v

    z, v = normal(20, 1, 2, seed=4), normal(20, 1, 2, seed=5)
    end, momentum = steps(z, v)
    back, turned = steps(end, -momentum)
    assert torch.allclose(back, z, rtol=0, atol=1e-12)
    assert torch.allclose(turned, -v, rtol=0, atol=1e-12)
    at = torch.cat([z, v], -1)[0]
    jacobian = torch.autograd.functional.jacobian(
        lambda both: torch.cat(steps(*both.unsqueeze(1).chunk(2, -1)), -1).flatten(), at
    )
    assert torch.linalg.det(jacobian[:, 0]).item() == pytest.approx(1, abs=1e-10)


@EVERY
def test_what_needs_a_density_is_refused(family):
    """There is no density at a point, and no draw without a target: both say so in a line."""
    q = posterior(family, 2)
    with pytest.raises(NotImplementedError, match="no density at a point"):
        q.log_prob(torch.zeros(1, 1, 2))
    with pytest.raises(InputError, match="expected log_joint, got None"):
        q.sample(3)
    assert q.sample(3, log_joint=log_joint).shape == (3, 2)


@EVERY
def test_evaluation_has_no_graph(family):
    """Under `torch.no_grad` the same numbers come without a graph."""
    q = posterior(family, 2, dtype=torch.float64)
    noise = normal(5, 1, q.noise_dim, seed=6)
    with torch.no_grad():
        quiet = q(noise, None, log_joint)
    for ours, theirs in zip(quiet, q(noise, None, log_joint), strict=True):
        assert not ours.requires_grad
        assert torch.equal(ours, theirs)


def test_the_gradient_of_a_mixture_has_a_finite_gradient():
    """Where two terms are 100 nats apart torch's own logaddexp has none; in float32, U1, U3 and U4 have such points."""
    z = torch.tensor([[[-8.1, -2.8]], [[1.5, 5.0]]]).requires_grad_()
    for name in ("u1", "u3", "u4"):
        log_p = target(name).log_joint
        first = slope(log_p, z)
        assert torch.allclose(first, torch.autograd.grad(log_p(z).sum(), z)[0], rtol=1e-5)
        assert torch.autograd.grad(first.sum(), z)[0].isfinite().all()
    apart = torch.tensor([0.0, 100.0]).requires_grad_()
    (plain,) = torch.autograd.grad(torch.logaddexp(*apart), apart, create_graph=True)
    assert not torch.autograd.grad(plain.sum(), apart)[0].isfinite().all()


def test_a_constant_density_has_no_slope():
    """The gradient of a density that does not depend on z is 0."""
    assert not slope(lambda z: z.new_zeros(z.shape[:-1]), torch.ones(2, 1, 3)).any()
