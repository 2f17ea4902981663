"""The mixture of Gaussians: worked examples, gradients of draws against quadrature, tails, and two modes."""

import functools
import math

import pytest
import torch
from support.families import normal, wild

import nfbench
from nfbench import posterior
from nfbench.kernels.layers.mixture_reference import quantile


def _mixture(weights, means, scales, dtype=torch.float64):
    """A free posterior with these weights (C,), means (C, D) and scales (C, D)."""
    weights, means, scales = (torch.tensor(part, dtype=torch.float64) for part in (weights, means, scales))
    q = posterior(f"mixture:components={len(weights)}", means.shape[1], dtype=torch.float64)
    logits = (weights / weights[-1]).log()[:-1]
    with torch.no_grad():
        q.source.base.copy_(torch.cat([means.flatten(), scales.log().flatten(), logits]))
    return q.to(dtype)


def _example():
    return _mixture([0.4, 0.6], [[-1.0], [2.0]], [[0.5], [1.0]])


def _standard_normal(z):
    return -0.5 * (z.square().sum(-1) + z.shape[-1] * math.log(2 * math.pi))


def _noise(half=9.0, cells=4000):
    """A grid of noise (S, 1, 1) and its weights (S, 1): the trapezoidal rule for a standard normal."""
    eps = torch.linspace(-half, half, cells + 1, dtype=torch.float64).reshape(-1, 1, 1)
    return eps, _standard_normal(eps).exp() * (2 * half / cells)


def test_density_of_the_worked_example():
    """Ln q at three points in one dimension, and in two."""
    z = torch.tensor([0.0, 1.0, -1.0], dtype=torch.float64).reshape(3, 1, 1)
    expected = [-2.582466297, -1.929026983, -1.133784855]
    assert _example().log_prob(z)[:, 0].tolist() == pytest.approx(expected, abs=1e-9)


def test_two_dimensions_of_the_worked_example():
    """Ln q, the noise of a point by the Rosenblatt transform, and the draw of that noise."""
    q = _mixture([0.4, 0.6], [[-1.0, 0.5], [2.0, -0.25]], [[0.5, 1.0], [1.0, 0.75]])
    point = torch.tensor([[[0.5, 0.25]]], dtype=torch.float64)
    assert q.log_prob(point).item() == pytest.approx(-3.367659119, abs=1e-9)
    eps = q.rosenblatt(point, q.source.base)
    assert eps[0, 0].tolist() == pytest.approx([-0.1521245226, 0.6200907250], abs=1e-9)
    assert torch.special.ndtr(eps)[0, 0].tolist() == pytest.approx([0.4395443615, 0.7324009709], abs=1e-9)
    z, log_q = q(eps)
    assert torch.allclose(z, point, rtol=0, atol=1e-12)
    assert log_q.item() == pytest.approx(-3.367659119, abs=1e-9)


def test_integrals_and_the_gradient_in_a_logit_of_the_worked_example():
    """Entropy, KL to the standard normal, and its gradient in the weights through the draws alone, by quadrature."""
    q, (eps, weights) = _example(), _noise()
    z, log_q = q(eps)
    assert (weights * -log_q).sum().item() == pytest.approx(1.750635382, abs=1e-8)
    divergence = (weights * (log_q - _standard_normal(z))).sum()
    assert divergence.item() == pytest.approx(0.9183031510, abs=1e-8)
    divergence.backward()
    assert q.source.base.grad[0, -1].item() == pytest.approx(-0.3817677682, abs=1e-7)


def test_draws_are_differentiable_twice():
    """First and second derivatives of a draw in its noise and in all numbers agree with finite differences."""
    q = wild("mixture:components=3", 2, seed=1, scale=0.7)
    eps = normal(5, 1, 2, seed=2).requires_grad_()

    def z(eps, base):
        return q.draw(eps, base, base[:, :0])

    base = q.source.base.detach().requires_grad_()
    assert torch.autograd.gradcheck(z, (eps, base), atol=1e-6)
    assert torch.autograd.gradgradcheck(z, (eps, base), atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_the_noise_of_a_draw_is_found_again(seed):
    """Far from the start, out to eight standard deviations, the Rosenblatt transform undoes the draw."""
    q = wild("mixture:components=3", 3, seed=seed)
    eps = (4 * normal(300, 1, 3, seed=seed)).clamp(-8, 8)
    z, log_q = q(eps)
    assert torch.allclose(q.rosenblatt(z, q.source.base), eps, rtol=0, atol=1e-6)
    assert torch.allclose(log_q, q.log_prob(z), rtol=1e-9, atol=1e-9)


def test_float32_reaches_into_the_tails():
    """In float32 noise of nine standard deviations gives the draws of float64, with finite gradients."""
    eps = torch.tensor([-9.0, -6.0, 6.0, 9.0], dtype=torch.float64).reshape(4, 1, 1)
    coarse = _example().float()
    z, log_q = coarse(eps.float())
    (z.sum() + log_q.sum()).backward()
    assert torch.allclose(z.double(), _example()(eps)[0], rtol=1e-6)
    assert coarse.source.base.grad.isfinite().all()


def test_components_far_apart_keep_their_draws():
    """With modes forty standard deviations apart the share of draws in each is its weight, and each root is exact."""
    eps = normal(20_000, 1, seed=3)
    numbers = [torch.tensor([part], dtype=torch.float64) for part in ([0.25, 0.75], [-2.0, 2.0], [0.1, 0.1])]
    z = quantile(eps, numbers[0].log(), numbers[1], numbers[2].log())
    assert (z < 0).double().mean().item() == pytest.approx(0.25, abs=5 * math.sqrt(0.1875 / 20_000))
    assert ((z.abs() - 2).abs() < 0.6).all()


@pytest.mark.parametrize("components", [1, 2, 5])
def test_start_has_the_moments_of_the_base(components):
    """At the start the mean is 0 and the variance 1 in each dimension, and no two components have the same mean."""
    q = posterior(f"mixture:components={components}", 3, dtype=torch.float64)
    weights, means, scales = q.parts(q.source.base)
    mean = (weights.exp().unsqueeze(-1) * means).sum(1)
    second = (weights.exp().unsqueeze(-1) * (means.square() + (2 * scales).exp())).sum(1)
    assert torch.allclose(mean, torch.zeros(1, 3).double(), atol=1e-6)
    assert torch.allclose(second, torch.ones(1, 3).double(), atol=1e-6)
    assert len(means[0].unique(dim=0)) == components


def test_two_modes_are_found():
    """A mixture of two reaches KL < .01 nats on a target of two modes, which one Gaussian misses by more than .5."""
    modes = torch.tensor([[-2.0, 0.0], [2.0, 1.0]])

    def log_joint(z):
        apart = (z.unsqueeze(-2) - modes) / 0.7
        return (_standard_normal(apart) - 2 * math.log(0.7)).logsumexp(-1) - math.log(2)

    def divergence(spec):
        fitted = nfbench.fit(spec, log_joint, dim=2, updates=250, draws=64)
        z, log_q = fitted.posterior.sample_and_log_prob(20_000, seed=1)
        return float((log_q - log_joint(z)).mean())

    assert divergence("mixture:components=2") < 0.01
    assert divergence("gaussian") > 0.5


@pytest.mark.parametrize("drawn", [True, False])
@pytest.mark.parametrize("rows", [1, 3])
def test_roots_of_all_seeds_are_those_of_each(drawn, rows):
    """Under vmap one search finds the roots of all seeds: values and gradients are those of seeds one by one.

    The tolerance is that of the search, four roundings of a root, times the number of terms of a gradient's sum.
    """
    E, S, B, C = 3, 20, 3, 4
    random = torch.Generator().manual_seed(1)
    numbers = functools.partial(torch.randn, generator=random, dtype=torch.float64)
    eps, means, log_scales = numbers(E, S, B), 3 * numbers(E, rows, C), 0.3 * numbers(E, rows, C)
    log_weights = (numbers(E, S, B, C) if drawn else numbers(1, C)).log_softmax(-1)
    inputs = [part.requires_grad_() for part in (eps, log_weights, means, log_scales)]
    alone = torch.stack(
        [quantile(eps[e], log_weights[e] if drawn else log_weights, means[e], log_scales[e]) for e in range(E)]
    )
    together = torch.vmap(quantile, in_dims=(0, 0 if drawn else None, 0, 0))(*inputs)
    torch.testing.assert_close(together, alone, rtol=1e-15 * 8, atol=1e-15 * 8)
    sides = [torch.autograd.grad(part.square().sum(), inputs) for part in (together, alone)]
    for ours, theirs in zip(*sides, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
