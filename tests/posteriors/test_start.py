"""Where a posterior starts: near the identity, with finite gradients, as its seed says."""

import math

import pytest
import torch
from support.families import EVERY, FEATURES, MODES, densities, draw, normal, posterior, specs

from nfbench.kernels.planar import reference
from nfbench.posteriors.contract import Flow
from nfbench.specification.registry import posteriors

DEEP = pytest.mark.parametrize("spec", densities(specs(32)))


@EVERY
@MODES
def test_finite_at_the_start(spec, features):
    """In float32, values are finite and every parameter gets a finite gradient at the start."""
    q = posterior(spec, 5, features)
    given = None if features is None else normal(3, features, seed=9, dtype=torch.float32)
    z, log_q = q(normal(16, 3, q.noise_dim, seed=10, dtype=torch.float32), given)
    (z.square().sum() + log_q.sum()).backward()
    assert z.isfinite().all()
    assert log_q.isfinite().all()
    for name, parameter in q.named_parameters():
        if parameter.numel() == 0:
            continue
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@DEEP
def test_start_is_near_the_identity(spec):
    """At the start a chain of 32 maps in two dimensions leaves the base's standard deviation within 5 %."""
    for seed in range(5):
        q = posterior(spec, 2, seed=seed, dtype=torch.float64)
        # 1024 stages a draw of cnf; by the draws alone the ratio is off by 1 %, and by 2 % with 1,000 of them
        noise = normal(1_000 if spec.startswith("cnf") else 4_000, 1, q.noise_dim, seed=11)
        with torch.no_grad():
            z, _ = q(noise)
        assert (z.std(0) / noise.std() - 1).abs().max() < 0.05


@pytest.mark.parametrize("dim", [1, 2, 50])
def test_planar_start(dim):
    """At every D the start has w.u = ln(e - 1), so that u_hat is orthogonal to w, and E||w||^2 = 2."""
    q = posterior("planar:K=400", dim, dtype=torch.float64)
    w, u, _ = reference.split(q.flow.maps(q.source.theta))
    # The start is drawn in float32; its rounding is relative to |w| |u|, large where w is small.
    assert ((w * u).sum(-1) - math.log(math.e - 1)).abs().max() < 1e-4
    square = w.square().sum(-1)
    assert abs(square.mean() - 2) < 5 * 2 * math.sqrt(2 / dim) / math.sqrt(400)


@pytest.mark.parametrize("depth", [1, 9])
def test_nice_shift_is_scaled(depth):
    """With all units at one and unit weights out, each of K layers shifts by sqrt(hidden / K)."""
    q = posterior(f"nice:K={depth},hidden=16", 2, dtype=torch.float64)
    with torch.no_grad():
        q.flow.w_in.zero_()
        q.flow.w_out.fill_(1.0)
        q.flow.basis.copy_(torch.eye(2).double())
        z, _ = q.flow(torch.zeros(1, 1, 2).double(), torch.full((1, q.flow.num_params), 50.0).double())
    assert z[0, 0].tolist() == pytest.approx([0, depth * math.sqrt(16 / depth)], rel=1e-12)


@pytest.mark.parametrize("kind", ["permutation", "orthogonal"])
def test_nice_mixes_uniformly(kind):
    """Each of 2000 mixings is drawn anew, orthogonal, and its entries have mean 1/D or 0, within 5 standard errors."""
    mixing = posterior(f"nice:K=2000,hidden=1,mixing={kind}", 3, dtype=torch.float64).flow.mixing
    eye = torch.eye(3, dtype=torch.float64)
    assert torch.allclose(mixing @ mixing.mT, eye.expand(2000, 3, 3), rtol=0, atol=1e-12)
    assert len(mixing.unique(dim=0)) == (6 if kind == "permutation" else 2000)
    expected = 1 / 3 if kind == "permutation" else 0.0
    error = mixing.std(0) / math.sqrt(2000)
    assert ((mixing.mean(0) - expected).abs() < 5 * error).all()


@EVERY
def test_amortized_start_is_the_free_one(spec):
    """Without features an amortized posterior starts as the free one of its seed, and features hardly matter yet."""
    free, amortized = (posterior(spec, 3, features, seed=4, dtype=torch.float64) for features in (None, FEATURES))
    noise = normal(8, 2, free.noise_dim, seed=24)
    for ours, theirs in zip(amortized(noise, torch.zeros(2, FEATURES).double()), free(noise), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-12, atol=1e-12)
    weight = amortized.source.base.weight
    assert 0 < weight.abs().max() <= 0.1 / math.sqrt(FEATURES)


@EVERY
@MODES
def test_seed_decides_the_start(spec, features):
    """The same seed gives the same draw, another another start, and torch's own generator is left alone by building."""
    state = torch.get_rng_state()
    one, other = (posterior(spec, 3, features, seed=4, dtype=torch.float64) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    for ours, theirs in zip(draw(one, (4, 2), features), draw(other, (4, 2), features), strict=True):
        assert torch.equal(ours, theirs)
    third = posterior(spec, 3, features, seed=5, dtype=torch.float64)
    same = [torch.equal(value, third.state_dict()[name]) for name, value in one.state_dict().items()]
    assert all(same) == (features is None and not _draws_its_start(spec))


def _draws_its_start(spec):
    """Whether building the free family takes any random number: with another seed it then starts elsewhere."""
    with torch.random.fork_rng():
        state = torch.get_rng_state()
        built = posteriors.choose(spec).build(dim=3, features=None)
        if isinstance(built, Flow):
            built.initial()
        return not torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("depth", [2, 80])
def test_a_step_moves_amortized_maps_as_far_at_every_depth(depth):
    """Where an optimizer moves every weight by the same, theta moves by at most 1 + sqrt(F / K) max|x| times that."""
    q = posterior(f"planar:K={depth}", dim=3, features=50, dtype=torch.float64)
    x = torch.rand(4, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    _, before = q.source(x)
    with torch.no_grad():
        for parameter in q.source.parameters():
            parameter += 0.01
    _, after = q.source(x)
    moved = (after - before).abs().max().item() / 0.01
    assert moved <= 1 + math.sqrt(50 / depth) * x.max().item() + 1e-9
    assert moved >= 1 + math.sqrt(50 / depth) * x.mean(1).max().item() - 1e-9
