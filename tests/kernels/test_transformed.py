"""Fused chains copied, compiled and stacked: right, or refused by torch in one line, never with a term left out."""

import copy

import pytest
import torch
from support.families import normal, specs, wild
from torch.func import functional_call, stack_module_state

from nfbench.foundation.settings import BACKEND_VARIABLE

FUSED = pytest.mark.parametrize("spec", ["planar:K=3", "radial:K=3", "nice:K=3", "gaussian"])


def penalty(function, parameters, noise):
    """The parameters' gradients of |d ln q / d noise|^2 + |z|^2, a gradient of a gradient."""
    z, log_q = function(noise)
    (grad,) = torch.autograd.grad((log_q + z.square().sum(-1)).sum(), noise, create_graph=True)
    return torch.autograd.grad(grad.square().sum() + z.square().sum(), parameters)


REFUSALS = ("no autograd formula was registered", "support double backward", "requires create_graph=False")  # torch's


def right_or_refused(call, monkeypatch):
    """The kernels' gradients are plain PyTorch's, or torch says in one line that they cannot be had."""
    monkeypatch.setenv(BACKEND_VARIABLE, "reference")
    expected = call()
    monkeypatch.setenv(BACKEND_VARIABLE, "numba")
    try:
        ours = call()
    except RuntimeError as error:
        assert any(words in str(error) for words in REFUSALS)  # noqa: PT017
        return
    for mine, plain in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-8, atol=1e-10)


@FUSED
def test_a_penalty_on_stacked_seeds(spec, monkeypatch):
    """A gradient of a gradient through seeds under vmap."""

    def call():
        models = [wild(spec, 4, seed=seed, scale=0.5) for seed in range(2)]
        parameters, buffers = stack_module_state(models)
        noise = normal(2, 16, 1, 4, seed=3).requires_grad_()

        def draws(noise):
            one = torch.vmap(lambda p, b, x: functional_call(models[0], (p, b), (x,)))
            return one(parameters, buffers, noise)

        return penalty(draws, tuple(parameters.values()), noise)

    right_or_refused(call, monkeypatch)


@FUSED
def test_a_penalty_through_compiled_code(spec, monkeypatch):
    """A gradient of a gradient through `torch.compile`."""
    q = wild(spec, 4, seed=1, scale=0.5)
    noise = normal(16, 1, 4, seed=3).requires_grad_()
    monkeypatch.setenv(BACKEND_VARIABLE, "reference")
    expected = penalty(q, tuple(q.parameters()), noise)
    monkeypatch.setenv(BACKEND_VARIABLE, "numba")
    compiled = torch.compile(q, fullgraph=True, backend="aot_eager")
    try:
        ours = penalty(compiled, tuple(q.parameters()), noise)
    except RuntimeError as error:
        assert any(words in str(error) for words in REFUSALS)  # noqa: PT017
        return
    for mine, plain in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("spec", specs(3))
def test_deep_copies(spec, monkeypatch):
    """A copy, made after a call too, has the same draws and gradients, and shares no parameter with its model."""
    monkeypatch.setenv(BACKEND_VARIABLE, "numba")
    q = wild(spec, 4, seed=1, scale=0.5)
    noise = normal(16, 1, q.noise_dim, seed=3)

    def grads(model):
        z, log_q = model(noise)
        return z, log_q, *torch.autograd.grad((z.square().sum() + log_q.sum()), tuple(model.parameters()))

    before = grads(q)
    twin = copy.deepcopy(q)
    for ours, theirs in zip(grads(twin), before, strict=True):
        assert torch.equal(ours, theirs)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter += 1
    for ours, theirs in zip(grads(q), before, strict=True):
        assert torch.equal(ours, theirs)
