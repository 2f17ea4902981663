"""Radial maps that contract towards one centre: kernels must not lose a draw's direction going down."""

import pytest
import torch
from support.families import normal

from nfbench.kernels.radial import reference as radial

pytestmark = pytest.mark.usefixtures("compiled")
CASES = pytest.mark.parametrize(("depth", "alpha", "beta"), [(3, 6.0, -3.0), (80, 1.0, 0.5)])
# S draws of B data points, with one row of numbers or one for each point: the loops over points, dimensions and draws
LAYOUTS = pytest.mark.parametrize(
    "layout", [(1, 20, 20), (4, 5, 5), (150, 2, 1)], ids=["points", "dimensions", "draws"]
)


def gradient(chain, depth, alpha, beta, dtype):
    """The gradient in 300 points of a weighted sum of z_K and ln|det|, all maps with centre (.3, .3), in float64."""
    z = normal(300, 1, 2, seed=0).to(dtype).requires_grad_()
    z_k, log_det = chain(z, torch.tensor([0.3, 0.3, alpha, beta], dtype=dtype).repeat(1, depth, 1))
    value = (z_k * normal(300, 1, 2, seed=1).to(dtype)).sum() + (log_det * normal(300, 1, seed=2).to(dtype)).sum()
    return torch.autograd.grad(value, z)[0].double()


def error(chain, dtype, *case):
    """The relative error of that gradient, against plain PyTorch in float64."""
    exact = gradient(radial.reference, *case, torch.float64)
    return ((gradient(chain, *case, dtype) - exact).norm() / exact.norm()).item()


@CASES
def test_float64_is_enough(depth, alpha, beta):
    """In float64 gradients are good to 1e-12."""
    assert error(radial.chain, torch.float64, depth, alpha, beta) < 1e-12


@CASES
def test_float32(depth, alpha, beta):
    """In float32 gradients are as good as plain PyTorch's, within four times."""
    plain = error(radial.reference, torch.float32, depth, alpha, beta)
    assert error(radial.chain, torch.float32, depth, alpha, beta) < 4 * plain + 1e-6


def contracting(layout, dim, depth, spread, seed):
    """Random float32 z (S, B, D) and maps (rows, K, D + 2) with alpha mostly far above s."""
    draws, points, rows = layout
    raw = torch.rand(rows, depth, 2, generator=torch.Generator().manual_seed(seed)) * torch.tensor([6.0, 5.0])
    centre = 0.5 * normal(rows, 1, dim, seed=seed) + spread * normal(rows, depth, dim, seed=seed + 1)
    maps = torch.cat([centre, raw - torch.tensor([0.0, 3.0])], -1)
    return normal(draws, points, dim, seed=seed + 2).float(), maps.float()


def gradients(chain, z, maps, dtype):
    """Gradients in z and maps of a weighted sum of z_K and ln|det|, computed in `dtype`."""
    z, maps = z.to(dtype).requires_grad_(), maps.to(dtype).requires_grad_()
    weights = normal(*z.shape, seed=9).to(dtype), normal(*z.shape[:-1], seed=10).to(dtype)
    return [grad.double() for grad in torch.autograd.grad(chain(z, maps), (z, maps), weights)]


@LAYOUTS
@pytest.mark.parametrize("dim", [2, 8, 40])
@pytest.mark.parametrize("depth", [3, 10, 30, 80])
@pytest.mark.parametrize("spread", [0.0, 0.03])
def test_random_chains(layout, dim, depth, spread):
    """Float32 gradients in z are within four times plain float32's error, those in maps within ten."""
    z, maps = contracting(layout, dim, depth, spread, seed=depth)
    exact = gradients(radial.reference, z, maps, torch.float64)
    plain = gradients(radial.reference, z, maps, torch.float32)
    fused = gradients(radial.chain, z, maps, torch.float32)
    for times, truth, theirs, ours in zip((4, 10), exact, plain, fused, strict=True):
        assert (ours - truth).norm() < times * (theirs - truth).norm() + 1e-6 * truth.norm()


@LAYOUTS
def test_drawn_chains(layout):
    """The same for `draw`, whose z_0 the kernels make of noise and base: gradients in noise, base and theta."""
    noise, maps = contracting(layout, 8, 30, 0.03, seed=3)
    base = 0.3 * normal(layout[2], 16, seed=4).float()

    def chain(dtype):
        inputs = [tensor.to(dtype).requires_grad_() for tensor in (noise, base, maps.flatten(1))]
        results = radial.draw(*inputs, 30)
        return [grad.double() for grad in torch.autograd.grad(results, inputs, [torch.ones_like(r) for r in results])]

    fused, exact = chain(torch.float32), chain(torch.float64)
    for ours, truth in zip(fused, exact, strict=True):
        assert (ours - truth).norm() < 1e-4 * truth.norm()


def test_stacked_seeds():
    """Under vmap, where the custom operator runs, the gradients are the plain call's."""
    z, maps = contracting((16, 3, 3), 2, 10, 0.0, seed=5)
    stacked = maps.repeat(2, 1, 1, 1).requires_grad_()
    z_k, log_det = torch.vmap(radial.chain, in_dims=(None, 0))(z, stacked)
    ours = torch.autograd.grad((z_k.square().sum() + log_det.sum()), stacked)[0]
    maps = maps.requires_grad_()
    z_k, log_det = radial.chain(z, maps)
    theirs = torch.autograd.grad(z_k.square().sum() + log_det.sum(), maps)[0]
    torch.testing.assert_close(ours, theirs.expand_as(ours))


def test_a_draw_that_contracts_leaves_the_others_alone():
    """Of draws that share their maps, those far from the centre have the same bits beside one that is lost near it."""
    maps = torch.tensor([[0.0, 0.0, -1.0, -6.0]]).repeat(1, 6, 1)
    far, near = 30 + normal(64, 1, 2, seed=0).float(), 0.01 * normal(64, 1, 2, seed=1).float()

    def to_z(z):
        z = z.clone().requires_grad_()
        z_k, log_det = radial.chain(z, maps)
        return torch.autograd.grad(z_k.sum() + log_det.sum(), z)[0]

    assert torch.equal(to_z(torch.cat([far, near]))[:64], to_z(torch.cat([far, far]))[:64])
