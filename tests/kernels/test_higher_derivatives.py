"""Derivatives of derivatives, forward mode and transforms: each as plain PyTorch has it, for every family."""

import pytest
import torch
from support.families import normal, posterior, specs
from torch.func import functional_call

from nfbench.foundation.settings import BACKEND_VARIABLE
from nfbench.kernels.layers.integral import integral
from nfbench.kernels.layers.perceptron import perceptron
from nfbench.kernels.layers.spline import spline

pytestmark = [
    pytest.mark.usefixtures("compiled"),
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),  # of torch's own, and of its own use of them
]
SOURCES = {"free": {}, "points": {"points": 3}, "amortized": {"features": 4}}
EVERY = pytest.mark.parametrize("spec", specs(3))
SOURCE = pytest.mark.parametrize("source", SOURCES)


def case(spec, source):
    """A family at parameters away from its start, noise (16, B, 4) and features, all in float64."""
    q = posterior(spec, 4, **SOURCES[source], dtype=torch.float64)
    with torch.no_grad():
        for number, parameter in enumerate(q.parameters()):
            parameter += 0.3 * normal(*parameter.shape, seed=number).double()
    features = normal(3, 4, seed=50).double() if source == "amortized" else None
    return q, normal(16, 1 if source == "free" else 3, q.noise_dim, seed=51).double(), features


def compared(monkeypatch, function):
    """What a function returns under the kernels, and under plain PyTorch."""
    monkeypatch.setenv(BACKEND_VARIABLE, "numba")
    ours = function()
    monkeypatch.setenv(BACKEND_VARIABLE, "reference")
    theirs = function()
    return ours, theirs


@EVERY
@SOURCE
@pytest.mark.parametrize("of", ["log_q", "z"])
def test_a_penalty_on_a_gradient_is_learned_from(spec, source, of, monkeypatch):
    """The parameters' gradient of |d ln q / d noise|^2, or of |d z / d noise|^2, is plain PyTorch's."""

    def gradients():
        q, noise, features = case(spec, source)
        noise.requires_grad_()
        z, log_q = q(noise, features)
        (grad,) = torch.autograd.grad((log_q if of == "log_q" else z).sum(), noise, create_graph=True)
        penalty = grad.square().sum() + (z * log_q.unsqueeze(-1)).sum()
        return torch.autograd.grad(penalty, tuple(q.parameters()), allow_unused=True)

    for ours, theirs in zip(*compared(monkeypatch, gradients), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-10)


@EVERY
def test_a_hessian_of_the_noise(spec, monkeypatch):
    """The Hessian of ln q + |z|^2 in the noise of a draw is plain PyTorch's."""

    def hessian():
        q, noise, _ = case(spec, "free")

        def value(noise):
            z, log_q = q(noise)
            return log_q.sum() + z.square().sum()

        return torch.autograd.functional.hessian(value, noise[:2])

    ours, theirs = compared(monkeypatch, hessian)
    torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-10)
    assert theirs.abs().max() > 0.1


@EVERY
@SOURCE
def test_forward_mode(spec, source, monkeypatch):
    """`torch.func.jvp` and dual numbers give plain PyTorch's tangents of z and ln q."""

    def tangents():
        q, noise, features = case(spec, source)
        direction = normal(*noise.shape, seed=52).double()
        _, pushed = torch.func.jvp(lambda noise: q(noise, features), (noise,), (direction,))
        with torch.autograd.forward_ad.dual_level():
            dual = q(torch.autograd.forward_ad.make_dual(noise, direction), features)
            dual = [torch.autograd.forward_ad.unpack_dual(value).tangent for value in dual]
        return *pushed, *dual

    for ours, theirs in zip(*compared(monkeypatch, tangents), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-10)


@EVERY
def test_transforms_of_torch_func(spec, monkeypatch):
    """`grad`, `jacrev`, `vmap(grad)` and `functional_call` are plain PyTorch's."""

    def transformed():
        q, noise, _ = case(spec, "free")

        def of_parameters(parameters, noise):
            z, log_q = functional_call(q, parameters, (noise,))
            return log_q.sum() + z.square().sum()

        parameters = {name: value.detach() for name, value in q.named_parameters()}
        grads = torch.func.grad(of_parameters)(parameters, noise)
        each = torch.func.vmap(torch.func.grad(of_parameters), (None, 0))(parameters, noise.unsqueeze(1))
        jacobian = torch.func.jacrev(lambda noise: q(noise)[0].sum(0))(noise[:3])
        return [*grads.values(), *each.values(), jacobian]

    for ours, theirs in zip(*compared(monkeypatch, transformed), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-10)


@EVERY
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # sizes, which a trace takes for constants
def test_checkpointed_and_traced(spec, monkeypatch):
    """Activation checkpointing and a trace recorded by `torch.jit.trace` give plain PyTorch's numbers."""

    def values():
        q, noise, _ = case(spec, "free")
        z, log_q = torch.utils.checkpoint.checkpoint(q, noise, use_reentrant=False)
        grads = torch.autograd.grad(log_q.sum() + z.square().sum(), tuple(q.parameters()), allow_unused=True)
        traced = torch.jit.trace(q, (noise,), check_trace=False)
        return *grads, *traced(normal(*noise.shape, seed=53).double())

    for ours, theirs in zip(*compared(monkeypatch, values), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-10)


@EVERY
def test_batched_gradients(spec, monkeypatch):
    """A vectorised Jacobian (`is_grads_batched`) is the one that is taken row by row."""
    monkeypatch.setenv(BACKEND_VARIABLE, "numba")
    q, noise, _ = case(spec, "free")

    def value(noise):
        return q(noise)[0].flatten()

    rows = torch.autograd.functional.jacobian(value, noise[:2])
    torch.testing.assert_close(torch.autograd.functional.jacobian(value, noise[:2], vectorize=True), rows)


@pytest.mark.parametrize("kernel", ["spline", "integral", "network"])
def test_inputs_that_are_made_from_each_other(kernel, monkeypatch):
    """A gradient with a graph does not count the way through another input twice: it is the one without a graph."""
    monkeypatch.setenv(BACKEND_VARIABLE, "numba")
    x = normal(20, 1, 2, seed=1).requires_grad_()
    numbers = [normal(3, seed=seed) for seed in (2, 3, 4)]

    def value():
        if kernel == "spline":
            return spline(x, torch.cat([0.5 * x, x.sin(), x.cos(), x, x.square()], -1), 5.0)[0]
        if kernel == "integral":
            return integral(
                x,
                torch.stack([x, x.sin(), x.cos()], -1),
                *numbers,
                numbers[0][:1],
                x.new_tensor([0.5, 1.0]),
                x.new_ones(1),
            )[0]
        return perceptron(x, numbers[0].expand(2, 3), x[0] @ numbers[1].expand(2, 3), normal(3, 2, seed=5), x[1])

    (plain,) = torch.autograd.grad(value().square().sum(), x)
    (graph,) = torch.autograd.grad(value().square().sum(), x, create_graph=True)
    torch.testing.assert_close(graph, plain, rtol=1e-12, atol=1e-12)
