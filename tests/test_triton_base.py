"""The base's Triton kernels, alone and under the chains: by the interpreter where there is no GPU, compiled for one."""

import importlib

import pytest
import torch
from families import normal
from test_diagonal import SHAPES
from triton_chains import DEVICES, DTYPES, EVERY, wild

from nfbench.kernels import diagonal, diagonal_torch, diagonal_triton, gpu
from nfbench.kernels.backend import VARIABLE


@pytest.fixture(autouse=True)
def _triton(monkeypatch):
    """Kernels that are checked anew, in few programs: the interpreter is slow for each."""
    monkeypatch.setenv(VARIABLE, "triton")
    monkeypatch.setattr(gpu, "_verdicts", {})
    monkeypatch.setattr(gpu, "_FILL", 1)


def _outcome(function, given, device):
    given = [one.detach().to(device).requires_grad_() for one in given]
    z, log_q = function(*given)
    weights = normal(*z.shape, seed=3).to(z), normal(*log_q.shape, seed=4).to(z)
    return [z.detach(), log_q.detach(), *torch.autograd.grad((z, log_q), given, weights)]


def _agree(ours, theirs, dtype):
    """To 2^7 roundings of sums' size."""
    for one, other in zip(ours, theirs, strict=True):
        assert one.shape == other.shape
        assert one.dtype == dtype
        assert (one - other).norm() <= 2**7 * torch.finfo(dtype).eps * other.norm()


@DEVICES
@DTYPES
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("slots", [1, 2048])
def test_agrees_with_the_reference(shape, slots, device, dtype, monkeypatch):
    """Values and gradients, with numbers for all points or each its own, and without draws or points."""
    monkeypatch.setattr(gpu, "_SLOTS", slots)
    draws, batch, rows, dim = shape
    given = normal(draws, batch, dim, seed=1).to(dtype), normal(rows, 2 * dim, seed=2).to(dtype)
    assert diagonal.loops(*(one.to(device) for one in given)) is diagonal_triton
    _agree(_outcome(diagonal.draw, given, device), _outcome(diagonal.reference, given, device), dtype)


@DEVICES
def test_any_layout(device):
    """Groups first, as chains have them, or draws; results lie as the noise does."""
    noise, base = normal(5, 3, 2, seed=1).to(device), normal(3, 4, seed=2).to(device)
    turned = noise.transpose(0, 1).contiguous().transpose(0, 1)
    z, log_q, _ = diagonal_triton.forward(turned, base)
    assert z.stride() == turned.stride()
    assert log_q.stride() == (1, 5)
    for ours, theirs in zip((z, log_q), diagonal.reference(noise, base), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@EVERY
@DEVICES
@DTYPES
@pytest.mark.parametrize("points", [1, 3])
def test_one_node_with_a_chain(name, device, dtype, points):
    """Base and chain stand in one node, which gives what the plain ones give."""
    chains = importlib.import_module(f"nfbench.kernels.{name}")
    maps = wild(name, (points, 1, 2, 4), seed=2)[1].to(dtype)
    given = [normal(5, 3, 2, seed=1).to(dtype), 0.5 * normal(points, 4, seed=5).to(dtype), maps]

    def apart(noise, base, maps):
        z_0, log_q = diagonal.reference(noise, base)
        z, log_det = chains.reference(z_0, maps)
        return z, log_q - log_det

    tolerance = 1e-8 if dtype == torch.float64 else 1e-5  # torch's softplus is 2e-9 off; float32 is asked for 1e-5
    pairs = zip(_outcome(chains.draw, given, device), _outcome(apart, given, device), strict=True)
    for ours, theirs in pairs:
        assert (ours - theirs).norm() <= tolerance * theirs.norm()
    node = chains.draw(*(one.to(device).requires_grad_() for one in given))[0].grad_fn
    assert [type(one).__name__ for one, _ in node.next_functions if one is not None] == ["AccumulateGrad"] * 3
    assert sorted(key[0] for key in gpu._verdicts) == sorted(["diagonal", name])


@DEVICES
@pytest.mark.parametrize("part", range(4))
def test_refuses_what_is_wrong(device, part, monkeypatch):
    """Kernels that are off by 1 % anywhere are refused with one warning; torch's operations draw instead."""
    where, at = ("forward", part) if part < 2 else ("backward", part - 2)
    right = getattr(diagonal_triton, where)

    def wrong(*given, **options):
        found = list(right(*given, **options))
        found[at] = 1.01 * found[at]
        return tuple(found)

    monkeypatch.setattr(diagonal_triton, where, wrong)
    given = normal(5, 1, 2, seed=1).float().to(device), normal(1, 4, seed=2).float().to(device)
    what = ("z", "ln q", "gradient in noise", "gradient in base")[part]
    with pytest.warns(UserWarning, match=rf"^Triton diagonal in torch\.float32 on {device}: {what} is off by .*"):
        assert diagonal.loops(*given) is diagonal_torch
    assert diagonal.loops(*given) is diagonal_torch
