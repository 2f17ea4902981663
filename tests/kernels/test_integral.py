"""Integrals of a positive network by compiled loops: plain PyTorch's numbers, exact ones, seeds, threads, NaN."""

import math

import numpy as np
import pytest
import torch
from support.families import normal
from support.refused import refused
from support.seeds import together_and_alone

from nfbench.foundation.settings import BACKEND_VARIABLE
from nfbench.kernels.cpu import shares
from nfbench.kernels.layers import integral as module
from nfbench.kernels.layers.integral import LEAST, integral, reference

pytestmark = pytest.mark.usefixtures("compiled")
NODES = 20


def rule(nodes=NODES, dtype=torch.float64):
    """Points of the Gauss-Legendre rule on [0, 1], followed by 1, and their weights."""
    points, weights = np.polynomial.legendre.leggauss(nodes)
    return torch.tensor([*(points + 1) / 2, 1.0]).to(dtype), torch.from_numpy(weights / 2).to(dtype)


def case(draws=50, points=2, dim=3, units=8, scale=1.0, dtype=torch.float64):
    """Ends, embeddings and a network's numbers, and gradients in the two results."""
    shape = draws, points, dim
    inputs = [3 * normal(*shape, seed=1), scale * normal(*shape, units, seed=2)]
    inputs += [scale * normal(units, seed=seed) for seed in (3, 4, 5)] + [scale * normal(1, seed=6)]
    grads = [normal(*shape, seed=7).to(dtype), normal(*shape, seed=8).to(dtype)]
    return [tensor.to(dtype).requires_grad_() for tensor in inputs], grads


def results(function, inputs, grads, nodes=NODES):
    """The integral and the network at its end, and the gradients in all tensors."""
    outputs = function(*inputs, *rule(nodes, inputs[0].dtype))
    return *outputs, *torch.autograd.grad(outputs, inputs, grads)


@pytest.mark.parametrize("units", [1, 2, 7, 8, 33])
@pytest.mark.parametrize("nodes", [1, 2, 20])
@pytest.mark.parametrize("scale", [0.1, 1.0, 4.0])
def test_equals_plain_pytorch(scale, nodes, units):
    """In float64 all numbers are the plain ones; 1e-13 of the largest, as up to 6,300 roundings are summed up."""
    inputs, grads = case(units=units, scale=scale)
    for ours, theirs in zip(*(results(f, inputs, grads, nodes) for f in (integral, reference)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-13 * float(1 + theirs.detach().abs().max()))


@pytest.mark.parametrize("scale", [0.1, 1.0, 4.0])
def test_single_precision_is_as_good_as_plain_pytorch(scale):
    """In float32 errors, against float64, are those of the plain formulas: 95 of 100 within three times theirs.

    A number that all elements share has a gradient of 300 x 21 terms, whose roundings, each at most one of the largest
    gradient in an embedding, add up as a random walk does: four of its standard deviations.
    """
    inputs, grads = case(scale=scale, dtype=torch.float32)
    wide = [tensor.detach().double().requires_grad_() for tensor in inputs]
    exact = results(reference, wide, [grad.double() for grad in grads])
    ours, theirs = results(integral, inputs, grads), results(reference, inputs, grads)
    eps = torch.finfo(torch.float32).eps
    walk = 4 * eps * math.sqrt(300 * (NODES + 1)) * float(exact[3].abs().max())
    for place, (mine, plain, true) in enumerate(zip(ours, theirs, exact, strict=True)):
        assert mine.dtype == torch.float32
        errors, usual = ((one.detach() - true.detach()).abs().flatten() for one in (mine, plain))
        rounding = eps * float(1 + true.detach().abs().max())
        if place < 4:
            assert errors.quantile(0.95) <= 3 * usual.quantile(0.95) + rounding
        assert errors.max() <= 3 * usual.max() + 10 * rounding + (walk if place > 3 else 0.0)


def test_a_constant_and_an_exponential():
    """Where nothing depends on t the integral is z f; with c < 0 and no units f = (1 - s) e^c + s, with c > 0 1 + c."""
    (z, embedding, slopes, biases, weights, _), _ = case()
    for c, height in ((-2.0, (1 - LEAST) * math.exp(-2.0) + LEAST), (3.0, (1 - LEAST) * 4.0 + LEAST)):
        shift = torch.tensor([c], dtype=torch.float64)
        area, at_end = integral(z, embedding, slopes, biases, 0 * weights, shift, *rule())
        torch.testing.assert_close(area, z * height, rtol=1e-14, atol=0)
        torch.testing.assert_close(at_end, torch.full_like(z, height), rtol=1e-14, atol=0)


def test_the_derivative_of_the_integral_is_the_network():
    """With 60 nodes, and an ELU that stays on one side, d/dz of the integral is f(z): the rule has converged."""
    (z, embedding, slopes, biases, weights, _), _ = case()
    weights, shift = -0.1 * weights.abs(), torch.tensor([-1.0], dtype=torch.float64)
    area, height = integral(z, embedding, 0.3 * slopes, biases, weights, shift, *rule(60))
    (derivative,) = torch.autograd.grad(area.sum(), z)
    torch.testing.assert_close(derivative, height, rtol=1e-9, atol=1e-9)


def test_gradients_are_those_of_differences():
    """First and second derivatives agree with differences of values; ELU's kink is not near."""
    inputs, _ = case(2, 2, 2, 3, scale=0.5)
    inputs[-1] = (inputs[-1].detach() - 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda *tensors: integral(*tensors, *rule(5)), inputs)
    assert torch.autograd.gradgradcheck(lambda *tensors: integral(*tensors, *rule(5)), inputs)


@pytest.mark.parametrize("shared", [None, 0, 1, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_seeds_under_vmap(dtype, shared):
    """Values of seeds mapped over together are those of each seed alone, bit by bit, and their gradients nearly."""
    each = [case(draws=10, scale=1.0 + e, dtype=dtype)[0] for e in range(3)]
    inputs = [torch.stack(parts).detach() for parts in zip(*each, strict=True)]
    dims = tuple(None if place == shared else 0 for place in range(6))
    inputs = [part[0] if dim is None else part for part, dim in zip(inputs, dims, strict=True)]
    inputs = [part.clone().requires_grad_() for part in inputs]
    points = rule(dtype=dtype)
    mapped, expected = together_and_alone(lambda *tensors: integral(*tensors, *points), inputs, dims)
    for ours, theirs in zip(mapped, expected, strict=True):
        assert torch.equal(ours, theirs)
    grads = [normal(*values.shape, seed=7).to(dtype) for values in mapped]
    for ours, theirs in zip(*(torch.autograd.grad(v, inputs, grads) for v in (mapped, expected)), strict=True):
        rounding = 8 * torch.finfo(dtype).eps * float(1 + theirs.abs().max())  # three seeds' sum, in another order
        torch.testing.assert_close(ours, theirs, rtol=0, atol=rounding)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_operators_are_whole(dtype):
    """The custom operators have shapes for tracing and a registered gradient, as torch's own check wants them."""
    inputs, grads = case(5, 1, 1, 3, dtype=dtype)
    leaves = [part.detach() for part in module._flat(*inputs, *rule(dtype=dtype))]
    checks = "test_schema", "test_autograd_registration", "test_faketensor"
    torch.library.opcheck(
        module._forward, [*(leaf.requires_grad_() for leaf in leaves[:6]), *leaves[6:]], test_utils=checks
    )
    back = [grad.reshape(1, -1) for grad in grads]
    torch.library.opcheck(module._backward, (*(leaf.detach() for leaf in leaves), *back), test_utils=checks)


def test_threads_give_the_same_numbers(monkeypatch):
    """Shares of three threads have one thread's values, bit by bit, and its gradients but for the sums' rounding."""
    inputs, grads = case(1001)
    alone = results(integral, inputs, grads)
    monkeypatch.setattr(shares, "GRAIN", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert len(shares.parts(1, 6006, 20.0)) == 3
    together = results(integral, inputs, grads)
    for ours, theirs in zip(together[:4], alone[:4], strict=True):
        assert torch.equal(ours, theirs)
    for ours, theirs in zip(together[4:], alone[4:], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12 * float(theirs.abs().max()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("place", [0, 1])
def test_nan_is_seen(place, dtype):
    """A NaN in z or an embedding is NaN in the integral, the network and the gradient in z there, and nowhere else."""
    inputs, grads = case(dtype=dtype)
    values = [tensor.detach().clone() for tensor in inputs]
    values[place].view(-1)[0] = torch.nan
    area, height, to_z, *_ = results(integral, [value.requires_grad_() for value in values], grads)
    for found in (area, height, to_z):
        assert found.isnan().flatten().nonzero().flatten().tolist() == [0]


@pytest.mark.parametrize("size", [(0, 2, 3), (4, 0, 3), (1, 1, 1), (8, 1, 1), (129, 1, 1)])
def test_no_draws_and_few(size):
    """No number at all gives empty results; few, and one more than a tile, give the plain ones."""
    inputs, grads = case(*size)
    for ours, theirs in zip(*(results(f, inputs, grads) for f in (integral, reference)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)


def test_strides():
    """Tensors that are not contiguous give what ordinary ones give."""
    inputs, grads = case()
    expected = results(integral, inputs, grads)
    turned = [tensor.detach().movedim(0, -1).contiguous().movedim(-1, 0).requires_grad_() for tensor in inputs]
    back = [grad.movedim(0, -1).contiguous().movedim(-1, 0) for grad in grads]
    for ours, theirs in zip(results(integral, turned, back), expected, strict=True):
        assert torch.equal(ours, theirs)


def test_which_code_runs(monkeypatch):
    """Loops run by default; plain PyTorch where it is asked for, under autocast and in half precision."""
    inputs, _ = case(dtype=torch.float32)
    name = "_DirectBackward"
    points = rule(dtype=torch.float32)
    assert integral(*inputs, *points)[0].grad_fn.name() == name
    with torch.autocast("cpu", torch.bfloat16):
        assert integral(*inputs, *points)[0].grad_fn.name() != name
    assert integral(*(part.bfloat16() for part in (*inputs, *points)))[0].dtype == torch.bfloat16
    monkeypatch.setenv(BACKEND_VARIABLE, "reference")
    assert integral(*inputs, *points)[0].grad_fn.name() != name


def test_refused():
    """Sizes that do not fit each other, no node, other dtypes: each one line that names them."""
    z, embedding, slopes, biases, weights, shift = case()[0]
    rest = slopes, biases, weights, shift
    refused(lambda: integral(z, embedding[:2], *rest, *rule()), "integral", "S = 50", "S = 2")
    refused(lambda: integral(z, embedding, slopes[:3], biases, weights, shift, *rule()), "U = 8", "U = 3")
    refused(lambda: integral(z, embedding, slopes, biases, weights, weights, *rule()), "shift has 8 numbers")
    refused(lambda: integral(z, embedding, *rest, z[0, 0, :1], z[0, 0, :0]), "0 weights")
    refused(lambda: integral(z, embedding, *rest, *reversed(rule())), "20 points and 21 weights")
    refused(lambda: integral(z, embedding.float(), *rest, *rule()), "torch.float32", "torch.float64")
