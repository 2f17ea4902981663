"""Synthetic targets against values computed elsewhere, quadrature in fitting coordinates, and their samplers."""

import hashlib
import math

import pytest
import torch
from scipy import integrate, stats
from support.quadrature import density

from nfbench.foundation.errors import InputError
from nfbench.foundation.randomness import seeded, stream
from nfbench.targets.build import target
from nfbench.verification.stein import stein

VALUES = [  # spec, a point, ln p there: computed apart from this package
    ("funnel:dim=10", [0.0] * 10, -10.28799762),
    ("funnel:dim=10", [1.0] + [0.5] * 9, -15.25741755),
    ("funnel:dim=10", [-2.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], -12.03962478),
    ("banana", [0.0, 0.0], -54.14046216),
    ("banana", [10.0, 0.0], -4.640462159),
    ("banana", [5.0, 7.5], -4.265462159),
    ("many-well:dim=2", [1.0, 0.5], 5.375),
    ("many-well:dim=2", [-1.7, 0.0], 8.1379),
    ("cox", [4.0] * 16, 364.2084113),
    ("logistic", [0.0] * 31, -422.8878403),
    ("logistic", [0.1] * 31, -986.6714365),
    ("student-t:dim=1,df=4", [0.0], math.log(3 / 8)),
    ("student-t:dim=2,df=1", [1.0, 0.0], -2 * math.log(math.pi) - math.log(2)),
    ("correlated:dim=2,correlation=0.6", [0.0, 0.0], -math.log(2 * math.pi) - 0.5 * math.log(0.64)),
    ("correlated:dim=2,correlation=0.6", [1.0, 1.0], -math.log(2 * math.pi) - 0.5 * math.log(0.64) - 1 / 1.6),
]
LOG_Z = [("many-well:dim=2", 10.29347971), ("many-well:dim=4", 20.58695941), ("many-well", 164.6956753)]
DRAWS = 40_000


@pytest.mark.parametrize(("spec", "point", "value"), VALUES)
def test_densities_have_the_values_of_their_formulas(spec, point, value):
    """At a point ln p is what was computed by hand or by other code, to the digits that are known."""
    log_p = target(spec).log_joint(torch.tensor(point, dtype=torch.float64))
    assert float(log_p) == pytest.approx(value, abs=2e-8 * max(1, abs(value)))


@pytest.mark.parametrize(("spec", "value"), LOG_Z)
def test_the_many_well_has_the_published_constant(spec, value):
    """Their ln Z is D/2 times that of a pair, as published, and one well's integral is that of adaptive quadrature."""
    assert target(spec).log_z == pytest.approx(value, rel=1e-9)
    one, _ = integrate.quad(lambda x: math.exp(x / 2 + 6 * x * x - x**4), -4, 4, epsabs=0, epsrel=1e-11, limit=200)
    assert target("many-well:dim=2").log_z == pytest.approx(math.log(one * math.sqrt(2 * math.pi)), abs=1e-9)


@pytest.mark.parametrize("spec", ["banana", "banana:curvature=0.03", "banana:curvature=1,scale=2"])
def test_the_bananas_integral_is_one(spec):
    """In coordinates that follow its bend, ten standard deviations each way, the density integrates to one."""
    banana = target(spec)
    along = banana.scale * torch.linspace(-10, 10, 801, dtype=torch.float64)
    across = torch.linspace(-10, 10, 801, dtype=torch.float64)
    z1, t = torch.meshgrid(along, across, indexing="ij")
    z2 = banana.curvature * (banana.scale**2 - z1.square()) + t
    inner = torch.trapezoid(density(banana)(torch.stack([z1, z2], -1)), across, dim=1)
    assert float(torch.trapezoid(inner, along)) == pytest.approx(1, abs=1e-12)


def test_the_funnels_integral_is_one():
    """In two dimensions, where the second coordinate is measured in its own standard deviations."""
    neck, unit = (torch.linspace(-reach, reach, 1001, dtype=torch.float64) for reach in (30, 10))
    width = (neck / 2).exp()[:, None]
    z = torch.stack([neck[:, None].expand(-1, len(unit)), width * unit], -1)
    inner = torch.trapezoid(density(target("funnel:dim=2"))(z) * width, unit, dim=1)
    assert float(torch.trapezoid(inner, neck)) == pytest.approx(1, abs=1e-12)


def test_forty_modes_integrate_to_one():
    """The rectangle rule with steps of a fifth of a mode's width is exact to rounding, ten widths beyond the square."""
    axis = torch.arange(-56, 56, 0.25, dtype=torch.float64)
    z = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)
    assert float(density(target("forty-modes"))(z).sum()) * 0.25**2 == pytest.approx(1, abs=1e-12)


def test_the_forty_means_are_those_of_the_seed_and_stay():
    """They are the draws of torch's generator with seed 0, to four decimals, and their text has not changed."""
    means = target("forty-modes")._constants.like(torch.zeros(1, dtype=torch.float64))["means"]
    drawn = 80 * torch.rand(40, 2, generator=torch.Generator().manual_seed(0)) - 40
    torch.testing.assert_close(means, drawn.double(), atol=6e-5, rtol=0)
    text = " ".join(f"{value:.4f}" for value in means.flatten().tolist())
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "99b1f92dd2bc7bd7"


@pytest.mark.parametrize("spec", ["student-t:dim=1,df=1", "student-t:dim=1", "student-t:dim=1,df=30"])
def test_students_integral_is_one_and_its_draws_are_scipys(spec):
    """Quadrature over all reals gives one, and draws pass Kolmogorov and Smirnov's test against scipy's t."""
    student = target(spec)
    value, _ = integrate.quad(
        lambda x: float(density(student)(torch.tensor([x], dtype=torch.float64))), -math.inf, math.inf
    )
    assert value == pytest.approx(1, abs=1e-8)
    draws = student.sample(DRAWS, stream(0, "student"))[:, 0].double().numpy()
    assert stats.kstest(draws, stats.t(student.df).cdf).pvalue > 1e-4


@pytest.mark.parametrize("spec", ["correlated", "correlated:dim=7,correlation=-0.1", "ill-conditioned"])
def test_gaussians_are_those_of_their_covariance(spec):
    """The density is scipy's of the stated covariance, whose variances, correlations and condition are as asked for."""
    gaussian = target(spec)
    z = torch.randn(20, gaussian.dim, generator=stream(0, "points"), dtype=torch.float64)
    expected = stats.multivariate_normal(cov=gaussian.covariance.numpy()).logpdf(z.numpy())
    torch.testing.assert_close(gaussian.log_joint(z).numpy(), expected, rtol=1e-9, atol=1e-9)
    if spec == "ill-conditioned":
        assert torch.linalg.cond(gaussian.covariance) == pytest.approx(1e4)
        assert gaussian.covariance.diagonal().max() < 1
        return
    wanted = {"correlated": 0.9}.get(spec, -0.1)
    torch.testing.assert_close(gaussian.covariance.diagonal(), torch.ones(gaussian.dim, dtype=torch.float64))
    assert float(gaussian.covariance[0, -1]) == pytest.approx(wanted)


@pytest.mark.parametrize("spec", ["correlated:dim=7,correlation=0.5", "ill-conditioned:dim=12,condition=100"])
def test_gaussian_draws_have_the_covariance(spec):
    """Every entry of the draws' covariance is within five standard errors of the stated one."""
    gaussian = target(spec)
    draws = gaussian.sample(DRAWS, stream(1, "draws")).double()
    products = draws[:, :, None] * draws[:, None, :]
    error = products.std(0) / DRAWS**0.5
    assert ((products.mean(0) - gaussian.covariance) / error).abs().max() < 5


def test_the_many_wells_draws_have_its_moments():
    """Mean, mean square and the mass of the right well are those of quadrature, within five standard errors."""
    draws = target("many-well:dim=4").sample(DRAWS, stream(2, "well")).double()
    well = draws[:, :2].flatten()
    for values, exact in (
        (well, 1.187960983),
        (well.square(), 2.959806090),
        ((well > -0.04169082128).double(), 0.8443070962),
    ):
        assert abs(values.mean() - exact) < 5 * values.std() / len(values) ** 0.5
    assert stats.kstest(draws[:, 2:].flatten().numpy(), stats.norm.cdf).pvalue > 1e-4


def test_the_funnels_and_the_bananas_draws_straighten_into_normal_ones():
    """Undoing the map that bends noise into a draw leaves independent standard normal numbers."""
    funnel = target("funnel:dim=3").sample(DRAWS, stream(3, "funnel")).double()
    banana = target("banana").sample(DRAWS, stream(3, "banana")).double()
    straight = [
        *(funnel[:, 0] / 3, *(funnel[:, 1:] * (-funnel[:, :1] / 2).exp()).T),
        *(banana[:, 0] / 10, banana[:, 1] - 0.1 * (100 - banana[:, 0].square())),
    ]
    for values in straight:
        assert stats.kstest(values.numpy(), stats.norm.cdf).pvalue > 1e-4


@pytest.mark.parametrize(("spec", "modes"), [("eight-modes", 8), ("forty-modes", 40)])
def test_mixtures_draw_all_modes_equally_often(spec, modes):
    """No mode is left out; eight that lie apart are equally frequent by a chi-square test, and as wide as stated."""
    mixture = target(spec)
    means = mixture._constants.like(torch.zeros(1))["means"]
    draws = mixture.sample(DRAWS, stream(4, spec))
    distance, nearest = torch.cdist(draws, means).min(1)
    counts = torch.bincount(nearest, minlength=modes)
    assert len(counts) == modes
    assert counts.min() > DRAWS / modes / 3
    if spec == "eight-modes":  # of forty some lie so close that the nearest one is not the one drawn from
        assert stats.chisquare(counts.numpy()).pvalue > 1e-4
        assert float(distance.square().mean()) == pytest.approx(2 * 0.5**2, rel=0.03)


@pytest.mark.parametrize("spec", ["cox", "logistic"])
def test_evidence_by_importance_sampling(spec):
    """The stated ln Z is within five standard errors of an estimate from Student-t draws around the mode."""
    t, nu, num = target(spec), 20.0, 20_000
    mode = torch.zeros(t.dim, dtype=torch.float64) + (4.0 if spec == "cox" else 0.0)
    for _ in range(20):
        curvature = -torch.autograd.functional.hessian(t.log_joint, mode)
        step = torch.linalg.solve(curvature, torch.autograd.functional.jacobian(t.log_joint, mode))
        mode = mode + step * min(1.0, 2 / float(step.abs().max()))
    scale, middle = torch.linalg.cholesky(torch.linalg.inv(curvature)), mode
    with seeded(5, "evidence"):
        for round_ in range(3):  # twice the weighted moments of the draws take the place of mode and curvature
            radius = (nu / torch.distributions.Chi2(torch.tensor(nu, dtype=torch.float64)).sample((num, 1))).sqrt()
            noise = radius * torch.randn(num, t.dim, dtype=torch.float64)
            z = middle + noise @ scale.T
            reference = stats.multivariate_t(shape=(scale @ scale.T).numpy(), df=nu, loc=middle.numpy())
            log_weight = t.log_joint(z) - torch.from_numpy(reference.logpdf(z.numpy()))
            weight = torch.softmax(log_weight, 0)
            if round_ < 2:
                middle = weight @ z
                scale = torch.linalg.cholesky(((z - middle) * weight[:, None]).T @ (z - middle))
    estimate = float(torch.logsumexp(log_weight, 0)) - math.log(num)
    error = float((num * weight - 1).square().mean().sqrt()) / num**0.5
    assert error < 0.01
    assert abs(estimate - t.log_z) < 5 * error


@pytest.mark.parametrize("spec", ["cox", "logistic"])
def test_resampled_reference_draws_obey_steins_identity(spec):
    """Both identities hold for the draws within four standard errors, and the same draws come every time."""
    t = target(spec)
    draws = t.reference()
    assert len(draws.unique(dim=0)) == len(draws)
    found = stein(t, draws)
    assert found.worst < 4
    assert found.worst_second < 4.5  # of 961
    assert target(spec).reference() is draws


@pytest.mark.parametrize(
    "spec",
    ["many-well:dim=3", "funnel:dim=1", "banana:scale=0", "student-t:df=0", "correlated:correlation=1", "cox:side=1"],
)
def test_impossible_sizes_are_refused(spec):
    """An option outside its range is one line that names it."""
    with pytest.raises(InputError, match=spec.partition(":")[0]):
        target(spec)
