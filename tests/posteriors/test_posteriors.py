"""The contract of a posterior, for every registered family, free and amortized, at its start and far from it."""

import math

import pytest
import torch
from support.families import EVERY, FEATURES, MODES, deep, draw, features_for, flows, normal, specs, wild

from nfbench import InputError, posterior
from nfbench.posteriors.contract import Posterior
from nfbench.posteriors.flow_posterior import FlowPosterior


def _jacobians(q: Posterior, noise: torch.Tensor) -> torch.Tensor:
    """dz/dnoise of a free posterior for each of `noise (S, 1, D)`, by autograd: `-> (S, D, D)`; draws do not mix."""
    noise = noise.clone().requires_grad_()
    rows = [torch.autograd.grad(q(noise)[0][..., i].sum(), noise)[0][:, 0] for i in range(noise.shape[-1])]
    return torch.stack(rows, 1)


SQUARE = pytest.mark.parametrize(  # families whose noise has the size of z: the Jacobian has a determinant
    "spec", [spec for spec in specs(0, 1, 3) if posterior(spec, 2).noise_dim == 2]
)


@EVERY
@MODES
@pytest.mark.parametrize("size", [(1, 1), (4, 3), (0, 3)])
def test_shapes(spec, features, size):
    """Draws are (S, B, D) and densities (S, B), for one draw, several and none."""
    q = posterior(spec, 5, features, dtype=torch.float64)
    z, log_q = draw(q, size, features)
    assert z.shape == (*size, 5)
    assert log_q.shape == size
    assert q.log_prob(z, features_for(features, size[1])).shape == size


@SQUARE
@pytest.mark.parametrize("dim", [2, 5])
def test_density_is_the_noise_over_the_jacobian(spec, dim):
    """At wild parameters ln q agrees with ln N(noise) - ln|det dz/dnoise| by autograd, to 1e-9."""
    q = wild(spec, dim, seed=1)
    noise = normal(40, 1, dim, seed=2)
    _, log_det = torch.linalg.slogdet(_jacobians(q, noise))
    expected = -0.5 * (noise.square().sum(-1) + dim * math.log(2 * math.pi))[:, 0] - log_det
    assert torch.allclose(q(noise)[1][:, 0], expected, rtol=0, atol=1e-9)


@SQUARE
@pytest.mark.parametrize("seed", range(4))
def test_orientation_is_constant(spec, seed):
    """The Jacobian's sign is the same at all points: a map that folds space has no density by the formula."""
    q = wild(spec, 2, seed=seed, scale=1.5)
    signs, _ = torch.linalg.slogdet(_jacobians(q, 3 * normal(400, 1, 2, seed=seed)))
    assert signs.unique().numel() == 1


@EVERY
@MODES
@pytest.mark.parametrize("dim", [2, 5])
def test_round_trip(spec, features, dim):
    """`log_prob` at a draw is the density that came with the draw, and `inverse` finds the base's point, to 1e-8."""
    q = wild(spec, dim, seed=3, features=features, scale=0.5 if features else 1.0)
    given = features_for(features, 6)
    noise = normal(50, 6, q.noise_dim, seed=4)
    z, log_q = q(noise, given)
    assert torch.allclose(q.log_prob(z, given), log_q, rtol=1e-8, atol=1e-8)
    if isinstance(q, FlowPosterior):
        mean, log_sigma, theta = q._numbers(given)
        z_0 = mean + log_sigma.exp() * noise
        back, log_det = q.flow.inverse(q.flow(z_0, theta)[0], theta)
        assert torch.allclose(back, z_0, rtol=1e-8, atol=1e-8)
        assert torch.allclose(log_det, -q.flow(z_0, theta)[1], rtol=1e-8, atol=1e-8)


SEARCHED = ("bnaf",)  # a root for each coordinate and map: a coarser grid
FAR = ("bnaf",)  # eight random maps of these take all mass away from where p has it: they stay near the start


@pytest.mark.parametrize("spec", specs(1, 8))
def test_density_integrates_to_one(spec):
    """E_q[p/q] = 1 for a normal p within 5 standard errors: ln q has its constants and q reaches everywhere."""
    far = spec.startswith(FAR)
    q = wild(spec, 2, seed=9, scale=0.1 if far else 0.4, around_start=far)  # one that has mass where p has it
    z, log_q = q(normal(200_000, 1, q.noise_dim, seed=7))
    scale = 0.5
    log_p = -0.5 * (z / scale).square().sum(-1) - math.log(2 * math.pi * scale**2)
    ratio = (log_p - log_q).exp().squeeze(1)
    error = ratio.std() / math.sqrt(len(ratio))
    assert error < 0.05
    assert abs(ratio.mean() - 1) < 5 * error


@pytest.mark.parametrize("spec", specs(1, 3))
def test_density_at_given_points_integrates_to_one(spec):
    """The integral of exp(log_prob) over a square, by the midpoint rule on a fine grid, is the draws' share in it.

    The square has all draws of a family without heavy tails, whose share is 1.
    """
    q = wild(spec, 2, seed=8, scale=0.5)
    edge, cells = 14.0, 250 if spec.startswith(SEARCHED) else 1400
    axis = -edge + 2 * edge * (torch.arange(cells, dtype=torch.float64) + 0.5) / cells
    points = torch.cartesian_prod(axis, axis).unsqueeze(1)
    with torch.no_grad():
        total = sum(float(q.log_prob(part).exp().sum()) for part in points.split(2**18)) * (2 * edge / cells) ** 2
        inside = q(normal(100_000, 1, q.noise_dim, seed=9))[0].abs().amax((1, 2)) < edge
    assert total == pytest.approx(inside.double().mean().item(), abs=2e-3)
    assert total > 0.95


@EVERY
@pytest.mark.parametrize("seed", range(5))
def test_finite_at_plus_minus_twenty(spec, seed):
    """In float32, values and gradients are finite where every parameter is 20 or -20."""
    q = posterior(spec, 2)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in q.parameters():
            parameter.copy_(40.0 * torch.randint(0, 2, parameter.shape, generator=generator) - 20)
    z, log_q = q(normal(64, 1, q.noise_dim, seed=seed, dtype=torch.float32))
    assert z.isfinite().all()
    assert log_q.isfinite().all()
    (z.tanh().sum() + log_q.sum()).backward()
    assert all(parameter.grad.isfinite().all() for parameter in q.parameters() if parameter.grad is not None)


@pytest.mark.parametrize("spec", ["gaussian", *deep(0)])
@MODES
def test_no_maps_is_the_gaussian(spec, features):
    """With K = 0 and the same numbers, every family is the diagonal Gaussian."""
    q = posterior(spec, 3, features, dtype=torch.float64)
    gaussian = posterior("gaussian", 3, features, dtype=torch.float64)
    names = set(dict(gaussian.named_parameters()))
    gaussian.load_state_dict({name: value for name, value in q.state_dict().items() if name in names})
    for ours, theirs in zip(draw(q, (4, 2), features), draw(gaussian, (4, 2), features), strict=True):
        assert torch.equal(ours, theirs)


def test_theta_of_the_worked_examples():
    """Theta is (w, u, b) of a planar map and (centre, raw alpha, raw beta) of a radial one, as the values show."""
    z = torch.tensor([[[0.5, -1.2]]], dtype=torch.float64)
    raw = math.log(math.expm1(0.7))
    cases = {
        "planar:K=1": ([1.5, -0.7, -2.0, 1.0, 0.3], [0.0141663615, -0.9095860939], -0.0889743993),
        "radial:K=1": ([0.2, 0.1, raw, 0.4], [0.5314156086, -1.3361343041], 0.1349925571),
    }
    for spec, (theta, point, log_det) in cases.items():
        ours, ours_det = posterior(spec, 2).flow(z, torch.tensor([theta], dtype=torch.float64))
        assert ours[0, 0].tolist() == pytest.approx(point, abs=1e-10)
        assert ours_det.item() == pytest.approx(log_det, abs=1e-10)


@pytest.mark.parametrize("spec", specs(3))
@pytest.mark.parametrize("size", [1e3, 1e6, 1e9])
def test_log_prob_is_finite_far_away(spec, size):
    """In float32 the density at points far outside, and its gradients, are finite."""
    q = posterior(spec, 3)
    z = (size * normal(20, 1, 3, seed=25)).float().requires_grad_()
    log_q = q.log_prob(z)
    (log_q / size**2).sum().backward()
    assert log_q.isfinite().all()
    assert z.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in q.parameters() if parameter.grad is not None)


@EVERY
def test_state_dict_round_trip(spec):
    """A posterior of another seed becomes this one by loading its state, fixed random parts and all."""
    q, other = (posterior(spec, 3, seed=seed, dtype=torch.float64) for seed in (0, 1))
    other.load_state_dict(q.state_dict())
    for ours, theirs in zip(draw(q, (4, 1), None), draw(other, (4, 1), None), strict=True):
        assert torch.equal(ours, theirs)


@EVERY
@MODES
def test_float32_agrees_with_float64(spec, features):
    """A float32 posterior cast to float64 draws the same points within float32's resolution."""
    q = posterior(spec, 3, features)
    given = None if features is None else normal(2, features, seed=12, dtype=torch.float32)
    noise = normal(32, 2, q.noise_dim, seed=13, dtype=torch.float32)
    z, log_q = q(noise, given)
    z64, log_q64 = q.double()(noise.double(), None if given is None else given.double())
    assert z.dtype == log_q.dtype == torch.float32
    assert torch.allclose(z.double(), z64, rtol=1e-4, atol=1e-4)
    assert torch.allclose(log_q.double(), log_q64, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("spec", flows(0, 1, 3))
def test_autocast_keeps_the_density_of_a_flow(spec):
    """Under autocast only matrix products are coarse: ln q is that of the numbers used, to float32's resolution."""
    q = wild(spec, 5, seed=21, scale=0.5, features=FEATURES).float()
    given, noise = (normal(3, FEATURES, seed=22).float(), normal(16, 3, 5, seed=23).float())
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        _, log_q = q(noise, given)
        mean, log_sigma, theta = (numbers.float() for numbers in q._numbers(given))
    log_det = q.flow(mean + log_sigma.exp() * noise, theta)[1]
    expected = -0.5 * (noise.square().sum(-1) + 5 * math.log(2 * math.pi)) - log_sigma.sum(-1) - log_det
    assert torch.allclose(log_q, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("spec", sorted({*specs(3)} - {*flows(3)}))
def test_autocast_leaves_formulas_alone(spec):
    """What is no chain of maps has no coarse product where its numbers are free: autocast changes nothing."""
    q = wild(spec, 5, seed=21, scale=0.5).float()
    noise = normal(16, 3, q.noise_dim, seed=23).float()
    with torch.no_grad():
        expected = q(noise)
        with torch.autocast("cpu", torch.bfloat16):
            coarse = q(noise)
    for ours, theirs in zip(coarse, expected, strict=True):
        assert ours.dtype == torch.float32
        assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@EVERY
def test_stacked_seeds_agree_with_single_ones(spec):
    """`vmap` over three stacked seeds gives the numbers of each seed alone."""
    models = [posterior(spec, 3, seed=seed, dtype=torch.float64) for seed in range(3)]
    params, buffers = torch.func.stack_module_state(models)
    noise = normal(3, 10, 1, models[0].noise_dim, seed=14)
    stacked = torch.vmap(lambda p, b, n: torch.func.functional_call(models[0], (p, b), (n,)))(params, buffers, noise)
    for e, model in enumerate(models):
        for ours, theirs in zip(stacked, model(noise[e]), strict=True):
            assert torch.allclose(ours[e], theirs, rtol=1e-12, atol=1e-12)


@EVERY
def test_log_prob_has_gradients(spec):
    """D log_prob/d parameters and d/dz agree with finite differences: root finds are differentiable."""
    q = wild(spec, 2, seed=15, scale=0.7)
    z = q(normal(3, 1, q.noise_dim, seed=16))[0].detach().requires_grad_()
    names = list(dict(q.named_parameters()))

    def function(z: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(_LogProb(q), {f"q.{n}": v for n, v in zip(names, values, strict=True)}, (z,))

    many = sum(parameter.numel() for parameter in q.parameters()) > 200  # then along random directions
    assert torch.autograd.gradcheck(function, (z, *q.parameters()), atol=1e-5, rtol=1e-4, fast_mode=many)


class _LogProb(torch.nn.Module):
    def __init__(self, q: Posterior) -> None:
        super().__init__()
        self.q = q

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.q.log_prob(z)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@EVERY
def test_cuda_agrees_with_cpu(spec):
    """The same parameters and noise give the same draws on a GPU."""
    q = wild(spec, 3, seed=17)
    noise = normal(16, 1, q.noise_dim, seed=18)
    expected = q(noise)
    for ours, theirs in zip(q.to("cuda")(noise.cuda()), expected, strict=True):
        assert torch.allclose(ours.cpu(), theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("spec", "dim", "message"),
    [
        ("plnar", 2, "no posterior named 'plnar'; did you mean planar"),
        ("planar:K=-1", 2, "K=-1"),
        ("planar:k=", 2, "'k='"),
        ("planar:depth=3", 2, "no option 'depth'; planar takes: K"),
        ("nice:mixing=learned", 2, "mixing=learned"),
        ("nice:K=2", 1, "dim=1"),
        ("gaussian:K=2", 2, "no option 'K'; gaussian takes: none"),
        ("gaussian", 0, "dim=0"),
        ("planar:K=2|8", 2, "names 2 things"),
    ],
)
def test_refusals(spec, dim, message):
    """What cannot be built is refused in one line that names it."""
    with pytest.raises(InputError) as caught:
        posterior(spec, dim)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_amortized_needsfeatures_for():
    """An amortized posterior without features says so."""
    with pytest.raises(ValueError, match=r"needs features \(B, 7\), got None"):
        posterior("planar:K=2", 3, FEATURES)(torch.zeros(1, 1, 3))
