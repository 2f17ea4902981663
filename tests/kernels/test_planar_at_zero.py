"""Planar maps with w = 0, where the constraint of App. A.1 divides by zero: the map without constraint, everywhere."""

import pytest
import torch
from support.families import normal

from nfbench import posterior
from nfbench.foundation.settings import BACKEND_VARIABLE
from nfbench.kernels.cpu.shares import FEW, TILE
from nfbench.kernels.planar import reference as planar

DIM, DEPTH, ZERO = 3, 6, (1, 4)  # the maps whose w is 0 stand among others, in both blocks of four
SIZES = pytest.mark.parametrize("size", [(1, 9, 9), (FEW - 1, 2, 2), (TILE + 5, 1, 1), (20, 3, 3)])


def case(size, dtype, device="cpu"):
    """Points (S, B, D) and maps (rows, K, 2 D + 1), some with w = 0."""
    draws, batch, rows = size
    z, maps = normal(draws, batch, DIM, seed=1), 0.5 * normal(rows, DEPTH, 2 * DIM + 1, seed=2)
    maps[:, ZERO, :DIM] = 0
    return z.to(device, dtype).requires_grad_(), maps.to(device, dtype).requires_grad_()


def expected(z, maps):
    """The chain by its formulas; maps of `ZERO` without constraint: z + u tanh(w.z + b), det = 1 + w.u (1 - h^2)."""
    log_det = 0
    for k in range(DEPTH):
        w, u, b = maps[:, k, :DIM], maps[:, k, DIM : 2 * DIM], maps[:, k, -1]
        wu = (w * u).sum(-1)
        if k not in ZERO:
            u = u + ((torch.log1p(wu.exp()) - 1 - wu) / w.square().sum(-1)).unsqueeze(-1) * w
        h = torch.tanh((z * w).sum(-1) + b)
        z = z + u * h.unsqueeze(-1)
        log_det = log_det + torch.log(1 + (w * u).sum(-1) * (1 - h.square()))
    return z, log_det


def results(chain, z, maps):
    """z_K, ln|det| and the gradients in z and the maps of a weighted sum of both."""
    z_k, log_det = chain(z, maps)
    value = (z_k * normal(*z_k.shape, seed=3).to(z_k)).sum() + (log_det * normal(*log_det.shape, seed=4).to(z_k)).sum()
    return z_k, log_det, *torch.autograd.grad(value, (z, maps))


@SIZES
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("backend", ["numba", "reference"])
def test_the_map_without_constraint(size, dtype, backend, monkeypatch):
    """Draws, ln|det| and all gradients are finite and those of the unconstrained map, in every kernel."""
    monkeypatch.setenv(BACKEND_VARIABLE, backend)
    tolerance = {"rtol": 1e-9, "atol": 1e-11} if dtype == torch.float64 else {"rtol": 1e-3, "atol": 1e-4}
    truth = results(expected, *case(size, torch.float64))
    for ours, theirs in zip(results(planar.chain, *case(size, dtype)), truth, strict=True):
        torch.testing.assert_close(ours.double(), theirs, **tolerance)


@pytest.mark.parametrize("size", [(7, 2, 2), (1, 3, 3), (20, 1, 1)])
def test_tritons_kernels(size, monkeypatch):
    """The same under Triton, on a GPU or in its interpreter."""
    triton_chains = pytest.importorskip("support.triton_chains")
    device = "cuda" if triton_chains.ON_GPU else "cpu"
    monkeypatch.setenv(BACKEND_VARIABLE, "triton")
    truth = results(expected, *case(size, torch.float64))
    for ours, theirs in zip(results(planar.chain, *case(size, torch.float64, device)), truth, strict=True):
        torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("backend", ["numba", "reference"])
def test_all_numbers_zero(backend, monkeypatch):
    """A posterior whose flow has been decayed to zero is its base, and can be trained on from there."""
    monkeypatch.setenv(BACKEND_VARIABLE, backend)
    q, noise = posterior("planar:K=5", 4), normal(50, 1, 4, seed=5).float()
    with torch.no_grad():
        q.source.theta.zero_()
    z, log_q = q(noise)
    torch.testing.assert_close(z, noise)
    torch.testing.assert_close(log_q, torch.distributions.Normal(0, 1).log_prob(noise).sum(-1))
    (z.square().sum() + log_q.sum()).backward()
    assert all(parameter.grad.isfinite().all() for parameter in q.parameters())


def test_the_inverse_at_zero():
    """Root finding takes back what maps with w = 0 did."""
    z, maps = (tensor.detach() for tensor in case((20, 3, 3), torch.float64))
    z_k, log_det = planar.chain(z, maps)
    back, log_det_back = planar.inverse(z_k, maps)
    torch.testing.assert_close(back, z)
    torch.testing.assert_close(log_det_back, -log_det)
