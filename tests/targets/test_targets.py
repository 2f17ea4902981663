"""Every registered target against its own exact facts, by quadrature."""

import contextlib
import copy
import math
import re

import pytest
import torch
from scipy import stats
from support.quadrature import cell_integrals, density, exact_log_z

from nfbench.foundation.errors import InputError, MissingDataError
from nfbench.foundation.randomness import seeded, stream
from nfbench.posteriors.slope import slope
from nfbench.specification import registry
from nfbench.targets.build import target
from nfbench.targets.contract import LatentVariableModel


def built():
    """Every registered target by its spec, but those whose data are not at hand."""
    for entry in registry.targets:
        for spec in entry.variants():
            with contextlib.suppress(MissingDataError), seeded(0, "targets"):
                yield spec, target(spec)


ALL = dict(built())
PLANE = {spec: t for spec, t in ALL.items() if t.dim == 2 and not isinstance(t, LatentVariableModel)}
SAMPLED = {spec: t for spec, t in ALL.items() if t.has_sampler}
# What a grid of cells of side 1/2 can integrate: it lies in the middle of the plane. For the others see test_synthetic.
COMPACT = {
    spec: t for spec, t in PLANE.items() if not t.has_sampler or t.sample(2000, stream(0, "compact")).abs().max() < 8
}
INTEGRABLE = {spec: t for spec, t in COMPACT.items() if t.log_z is not None or t.box is not None}
COUNTED = {spec: t for spec, t in COMPACT.items() if t.has_sampler}


def each(targets):
    return pytest.mark.parametrize("t", targets.values(), ids=targets.keys())


@pytest.mark.parametrize("entry", list(registry.targets), ids=lambda entry: entry.name)
def test_every_entry_has_facts_to_show(entry):
    """Each registered target has a label that its options fill in, a citation and a summary."""
    for spec in entry.variants():
        label = registry.targets.choose(spec).label
        assert label
        assert "{" not in label
    assert entry.cite
    assert entry.summary.endswith(".")


@each(ALL)
def test_every_target_is_finite_at_a_moderate_point(t):
    """At a moderate z, ln p(x, z) is a finite number of shape (S, B) for every registered target."""
    batch = t.splits().test[:3].float() if isinstance(t, LatentVariableModel) else None
    log_p = t.log_joint(torch.full((2, 3, t.dim), 0.3), batch)
    assert log_p.shape == (2, 3)
    assert log_p.isfinite().all()


@each(INTEGRABLE)
def test_log_z_is_the_integral(t):
    """The stated ln Z is the integral of exp(log_joint) over the plane or the box, to 1e-8."""
    integral = cell_integrals(density(t), 12.0).sum()
    assert math.log(integral) == pytest.approx(exact_log_z(t), abs=1e-8)


@each(INTEGRABLE)
def test_importance_estimate_of_z(t):
    """E_q[p/q] over a heavy-tailed q is Z within 5 standard errors: log_joint and log_z agree in Monte Carlo too."""
    q = torch.distributions.Independent(torch.distributions.StudentT(torch.full((2,), 3.0).double(), 0.0, 2.5), 1)
    with seeded(1, "importance"):
        z = q.sample((200_000,))
    ratio = density(t)(z) * torch.exp(-q.log_prob(z))
    standard_error = ratio.std() / len(ratio) ** 0.5
    assert abs(ratio.mean() - math.exp(exact_log_z(t))) < 5 * standard_error


@each(COUNTED)
def test_sampler_follows_the_density(t):
    """Counts of exact draws in cells of side 1/2 fit the cells' probabilities by a chi-square test."""
    num = 100_000
    z = t.sample(num, stream(2, "sampler")).double()
    expected = num * (cell_integrals(density(t), 8.0) / math.exp(exact_log_z(t))).flatten()
    counts = torch.histogramdd(z, 32, range=[-8.0, 8.0, -8.0, 8.0]).hist.flatten()
    common = expected >= 5
    rest = num - expected[common].sum()
    statistic = ((counts - expected).square() / expected)[common].sum()
    # Where nearly nothing is expected a draw counts as if one were: conservative, and fatal to a sampler that strays.
    statistic += (num - counts[common].sum() - rest).square() / rest.clamp(min=1)
    assert stats.chi2.sf(statistic.item(), common.sum().item()) > 1e-4


@each(SAMPLED)
def test_exact_draws_have_a_mean_score_of_zero(t):
    """Stein's identity in any number of dimensions: the sampler is that of the density, within five standard errors."""
    z = t.sample(20_000, stream(7, "score")).double().requires_grad_()
    (score,) = torch.autograd.grad(t.log_joint(z).sum(), z)
    error = score.std(0) / len(score) ** 0.5
    assert (score.mean(0).abs() <= 5 * error).all()


@each(SAMPLED)
def test_sampler_is_a_function_of_its_generator(t):
    """The same generator state gives the same draws, any number of them, and torch's own generator is left alone."""
    before = torch.get_rng_state()
    first, again = (t.sample(500, stream(3, "same")) for _ in range(2))
    assert torch.equal(first, again)
    assert [t.sample(num, stream(3, "few")).shape for num in (0, 1)] == [(0, t.dim), (1, t.dim)]
    assert torch.equal(before, torch.get_rng_state())


@each(PLANE)
def test_single_precision_agrees_with_double(t):
    """The dtype of z is the dtype of ln p, and float32 loses no more than float32 must; vmap changes nothing."""
    z = 2 * torch.randn(4, 50, 2, generator=stream(4, "points"), dtype=torch.float64)
    double, single = t.log_joint(z), t.log_joint(z.float())
    assert (double.dtype, single.dtype) == (torch.float64, torch.float32)
    torch.testing.assert_close(single.double(), double, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(torch.func.vmap(t.log_joint)(z), double, rtol=1e-12, atol=1e-12)


@each(PLANE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_everywhere(t, dtype):
    """At the origin and at |z| of 1000 the gradient is finite, so a start far away can be trained."""
    z = torch.tensor([[0, 0], [1e3, 0], [0, 1e3], [-1e3, 1e3], [-1e3, -1e3]], dtype=dtype, requires_grad=True)
    (gradient,) = torch.autograd.grad(t.log_joint(z).sum(), z)
    assert gradient.isfinite().all()


@each(ALL)
def test_the_gradient_has_a_gradient(t):
    """Families follow the target's gradient, so that they are learned through its second derivatives, in every target.

    The slope of a function of the gradient is that of central differences, on the compiled path of an image model too;
    two seeds together have the numbers of each alone.
    """
    data = isinstance(t, LatentVariableModel)
    t = copy.deepcopy(t).double()
    batch = t.splits().test[:2].double() if data else None
    z = 1.7 * torch.randn(2, 3, 2 if data else 1, t.dim, generator=stream(0, "curved"), dtype=torch.float64)

    def bend(z):
        return slope(lambda points: t.log_joint(points, batch), z).sin().sum() + 0 * z.sum()  # uniform: no slope

    each_alone = [torch.autograd.grad(bend(one), one)[0] for one in z.requires_grad_().unbind(0)]
    (together,) = torch.autograd.grad(torch.vmap(bend)(z).sum(), z)
    alone = torch.stack(each_alone)
    largest = max(1.0, alone.abs().max().item())  # sums round as their largest terms do, on each processor otherwise
    torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-9 * largest)
    way = torch.randn(z[0].shape, generator=stream(1, "curved"), dtype=torch.float64)
    forth, back = (bend((z[0] + sign * 1e-6 * way).detach().requires_grad_()).item() for sign in (1, -1))
    assert (each_alone[0] * way).sum().item() == pytest.approx((forth - back) / 2e-6, rel=1e-5, abs=1e-5)


@each(PLANE)
def test_the_gradient_has_a_finite_gradient_far_out(t):
    """At |z| of 1000 the second derivatives are finite in float32."""
    z = torch.tensor([[1e3, 0], [0, 1e3], [-1e3, 1e3], [5, -5], [-8, 3]]).unsqueeze(1).requires_grad_()
    (curvature,) = torch.autograd.grad(slope(t.log_joint, z).sum() + 0 * z.sum(), z)
    assert curvature.isfinite().all()


@pytest.mark.parametrize("spec", ["u5", "u2:walls=brick", "u1:walls=none", "normal:dim=0", "uniform:half_width=nan"])
def test_wrong_specs(spec):
    """A wrong name, option or value is refused in one line that names it."""
    with pytest.raises(InputError) as caught:
        target(spec)
    assert "\n" not in str(caught.value)
    assert spec.partition(":")[0] in str(caught.value)


@each({spec: t for spec, t in ALL.items() if not spec.startswith("dlgm")})
def test_other_coordinates_are_refused(t):
    """A z with fewer or more coordinates than D is named, be a formula able to go on with it or not."""
    batch = t.splits().test[:2].float() if isinstance(t, LatentVariableModel) else None
    for dim in {1, 2, 3, 7, t.dim - 1, t.dim + 1} - {t.dim}:
        z = torch.zeros(3, 2, dim)
        expected = re.escape(f"{type(t).__name__}: z (3, 2, {dim}): expected (..., D) = (..., {t.dim})")
        with pytest.raises(InputError, match=expected):
            t.log_joint(z, batch)
        if isinstance(t, LatentVariableModel):
            with pytest.raises(InputError, match=expected):
                t.mean(z)
    with pytest.raises(InputError, match=r"z \(\)"):
        t.log_joint(torch.zeros(()), batch)
