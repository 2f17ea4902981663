"""What `nfbench verify` leaves out of the contract: amortized posteriors, state, autocast, stacked seeds, refusals.

Everything that it proves, tests/verification/test_battery.py proves for every registered family.
"""

import math

import pytest
import torch
from support.families import (
    EVERY,
    FEATURES,
    MODES,
    deep,
    densities,
    draw,
    features_for,
    firsts,
    flows,
    normal,
    posterior,
    specs,
    wild,
)

from nfbench import InputError
from nfbench.posteriors.flow_posterior import FlowPosterior


@EVERY
@pytest.mark.parametrize("size", [(1, 1), (4, 3), (0, 3)])
def test_amortized_shapes(spec, size):
    """With features, draws are (S, B, D) and densities (S, B), for one draw, several and none."""
    q = posterior(spec, 5, FEATURES, dtype=torch.float64)
    z, log_q = draw(q, size, FEATURES)
    assert z.shape == (*size, 5)
    assert log_q.shape == size
    if q.has_density:
        assert q.log_prob(z, features_for(FEATURES, size[1])).shape == size


@pytest.mark.parametrize("spec", densities([*specs(3), *firsts(0)]))
@pytest.mark.parametrize("dim", [2, 5])
def test_amortized_round_trip(spec, dim):
    """With features, `log_prob` at a draw is the density that came with it, and `inverse` undoes the flow, to 1e-8."""
    q = wild(spec, dim, seed=3, features=FEATURES, scale=0.5)
    given = features_for(FEATURES, 6)
    noise = normal(50, 6, q.noise_dim, seed=4)
    z, log_q = q(noise, given)
    assert torch.allclose(q.log_prob(z, given), log_q, rtol=1e-8, atol=1e-8)
    if isinstance(q, FlowPosterior):
        mean, log_sigma, theta = q.numbers(given)
        z_0 = mean + log_sigma.exp() * noise
        back, log_det = q.flow.inverse(q.flow(z_0, theta)[0], theta)
        assert torch.allclose(back, z_0, rtol=1e-8, atol=1e-8)
        assert torch.allclose(log_det, -q.flow(z_0, theta)[1], rtol=1e-8, atol=1e-8)


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
        mean, log_sigma, theta = (numbers.float() for numbers in q.numbers(given))
    log_det = q.flow(mean + log_sigma.exp() * noise, theta)[1]
    expected = -0.5 * (noise.square().sum(-1) + 5 * math.log(2 * math.pi)) - log_sigma.sum(-1) - log_det
    assert torch.allclose(log_q, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("spec", sorted({*specs(3)} - {*flows(3)}))
def test_autocast_leaves_formulas_alone(spec):
    """What is no chain of maps has no coarse product but that of a context: else autocast changes nothing."""
    q = wild(spec, 5, seed=21, scale=0.5).float()
    noise = normal(16, 3, q.noise_dim, seed=23).float()
    with torch.no_grad():
        expected = q(noise)
        with torch.autocast("cpu", torch.bfloat16):
            coarse = q(noise)
    contexts = any(name.endswith("w_context") for name, _ in q.named_parameters())
    coarsest = torch.finfo(torch.bfloat16).eps if contexts else 1e-5  # relative error of a product
    for ours, theirs in zip(coarse, expected, strict=True):
        assert ours.dtype == torch.float32
        assert (ours - theirs).abs().max() <= coarsest * (1 + theirs.abs().max())


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
