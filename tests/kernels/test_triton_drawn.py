"""Base and chain as one node on a GPU, with the chain's Triton kernels; by the interpreter where there is none."""

import importlib

import pytest
import torch
from support.families import normal
from support.triton_chains import DEVICES, DTYPES, EVERY, wild

from nfbench.foundation.settings import BACKEND_VARIABLE
from nfbench.kernels.diagonal import reference
from nfbench.kernels.gpu import launch, self_check


def _outcome(function, given, device):
    given = [one.detach().to(device).requires_grad_() for one in given]
    z, log_q = function(*given)
    weights = normal(*z.shape, seed=3).to(z), normal(*log_q.shape, seed=4).to(z)
    return [z.detach(), log_q.detach(), *(one.detach() for one in torch.autograd.grad((z, log_q), given, weights))]


@EVERY
@DEVICES
@DTYPES
@pytest.mark.parametrize("points", [1, 3])
def test_agrees_with_the_reference(name, device, dtype, points, monkeypatch):
    """Values and gradients are those of base and chain in plain PyTorch, and autograd sees one step."""
    monkeypatch.setenv(BACKEND_VARIABLE, "triton")
    monkeypatch.setattr(self_check, "_verdicts", {})
    monkeypatch.setattr(launch, "_FILL", 1)  # the interpreter is slow for each program
    chains = importlib.import_module(f"nfbench.kernels.{name}.reference")
    maps = wild(name, (points, 1, 2, 4), seed=2)[1].to(dtype)
    given = [normal(5, 3, 2, seed=1).to(dtype), 0.5 * normal(points, 4, seed=5).to(dtype), maps.flatten(1)]

    def apart(noise, base, theta):
        z_0, log_q = reference.reference(noise, base)
        z, log_det = chains.reference(z_0, theta.reshape(maps.shape))
        return z, log_q - log_det

    found, plain = _outcome(chains.draw, given, device), _outcome(apart, given, device)
    exact = _outcome(apart, [one.double() for one in given], device)
    assert list(self_check._verdicts.values()) == [True]
    granted = 1e-8 if dtype == torch.float64 else 1e-5  # as the check at first use grants: torch's softplus is 2e-9 off
    for ours, theirs, truth in zip(found, plain, exact, strict=True):
        assert ours.dtype == dtype
        assert float((ours - truth).norm()) <= float(16 * (theirs - truth).norm() + granted * truth.norm())
    given = [one.to(device).requires_grad_() for one in given]
    z, log_q = chains.draw(*given)
    assert z.grad_fn is log_q.grad_fn
    nodes = [type(one).__name__ for one, _ in z.grad_fn.next_functions if one is not None]
    assert nodes == ["AccumulateGrad"] * 3
