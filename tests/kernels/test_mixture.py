"""Draws of mixtures by compiled loops: plain PyTorch's values and gradients, tails, seeds, threads, NaN, refusals."""

import pytest
import torch
from support.families import normal
from support.refused import refused
from support.seeds import together_and_alone

from nfbench.foundation.settings import BACKEND_VARIABLE
from nfbench.kernels.cpu import shares
from nfbench.kernels.layers import mixture as module
from nfbench.kernels.layers.mixture import draw, reference

pytestmark = pytest.mark.usefixtures("compiled")


def case(draws=40, points=3, dim=2, components=4, rows=3, apart=2.0):
    """Noise, the numbers of the mixtures, and gradients in the two results."""
    noise, logits = normal(draws, points, dim, seed=1), normal(rows, components, seed=2)
    means = apart * normal(rows, components, dim, seed=3)
    log_scales = 0.5 * normal(rows, components, dim, seed=4)
    inputs = noise, logits.log_softmax(-1), means, log_scales
    return [tensor.requires_grad_() for tensor in inputs], [
        normal(draws, points, dim, seed=6),
        normal(draws, points, seed=5),
    ]


def results(function, inputs, grads):
    """Values of z and ln q, and the gradients in noise and numbers."""
    outputs = function(*inputs)
    return *outputs, *torch.autograd.grad(outputs, inputs, grads)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("components", [1, 2, 5])
@pytest.mark.parametrize("dim", [1, 3])
def test_equals_plain_pytorch(dim, components, rows):
    """Values and all gradients are those of plain PyTorch.

    A root is right to four roundings of 1 + |z|. A valley between components, where the density is some 1e-3 of its
    peak, divides them, three coordinates one after the other multiply them, and a gradient has up to 120 terms.
    """
    inputs, grads = case(dim=dim, components=components, rows=rows)
    for ours, theirs in zip(results(draw, inputs, grads), results(reference, inputs, grads), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_one_component_is_a_gaussian():
    """Z = mean + scale eps to the last bits, and ln q is the Gaussian's."""
    inputs, _ = case(components=1)
    noise, _, means, log_scales = inputs
    z, log_q = draw(*inputs)
    expected = means[:, 0] + log_scales[:, 0].exp() * noise
    torch.testing.assert_close(z, expected, rtol=1e-15, atol=1e-15)
    normals = torch.distributions.Normal(means[:, 0], log_scales[:, 0].exp())
    torch.testing.assert_close(log_q, normals.log_prob(expected).sum(-1), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("size", [9.0, 20.0, 29.9, 30.1, 37.0, 60.0, 200.0])
def test_far_tails(size):
    """Noise far out: the root has the tail of the noise, in logarithms that reach below float64's smallest number.

    ln Phi(-200) is -20,006: one rounding of it is a rounding of eps, so the roots agree to some roundings of |z|.
    """
    inputs, _ = case(points=1, dim=1, rows=1)
    noise = torch.tensor([-size, size], dtype=torch.float64).reshape(2, 1, 1)
    for ours, theirs in zip(draw(noise, *inputs[1:]), reference(noise, *inputs[1:]), strict=True):
        assert ours.isfinite().all()
        torch.testing.assert_close(ours, theirs, rtol=1e-13, atol=1e-13)


def assert_roots(z, noise, log_weights, means, log_scales):
    """F passes Phi(eps) within eight roundings of z; the logarithm of a tail is itself right to some roundings."""
    side, rounding = -noise.sign(), torch.finfo(torch.float64).eps
    wanted = torch.special.log_ndtr(side * noise)

    def above(at):
        """Ln F - ln Phi(eps) of the smaller tail, rising with z."""
        t = side.unsqueeze(-2) * (at.unsqueeze(-2) - means) * (-log_scales).exp()
        return side * ((log_weights.unsqueeze(-1) + torch.special.log_ndtr(t)).logsumexp(-2) - wanted)

    step, slack = 8 * rounding * (1 + z.abs()), 8 * rounding * (1 + wanted.abs())
    assert (above(z - step) <= slack).all()
    assert (above(z + step) >= -slack).all()


@pytest.mark.parametrize("apart", [0.0, 20.0, 1000.0])
def test_components_that_coincide_and_that_are_far_apart(apart):
    """Roots are found also where there is no mass between the components."""
    inputs = [part.detach() for part in case(draws=2000, points=1, dim=1, rows=1, apart=apart)[0]]
    assert_roots(draw(*inputs)[0], *inputs)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("function", [draw, reference])
def test_extreme_numbers(function, seed):
    """With means of 20 and -20 and scales from e^-20 to e^20 roots are found, and gradients fit into float32."""
    for dim in (1, 3):
        inputs, grads = case(draws=50, points=1, dim=dim, rows=1)
        signs = [20.0 * normal(*part.shape, seed=seed + place).sign() for place, part in enumerate(inputs[1:])]
        extreme = inputs[0].detach(), signs[0].log_softmax(-1), *signs[1:]
        z, _, *gradients = results(function, [part.requires_grad_() for part in extreme], grads)
        if dim == 1:
            assert_roots(*(part.detach() for part in (z, *extreme)))
        assert all(gradient.float().isfinite().all() for gradient in gradients)


def test_gradients_are_those_of_differences():
    """First and second derivatives agree with differences of values."""
    inputs, _ = case(2, 2, 2, 3, rows=2, apart=1.0)
    assert torch.autograd.gradcheck(draw, inputs, atol=1e-6)
    assert torch.autograd.gradgradcheck(draw, inputs, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("shared", [None, 0, 2])
def test_seeds_under_vmap(shared, rows):
    """Values of seeds mapped over together are those of each seed alone, bit by bit, and their gradients too."""
    each = [case(draws=10, rows=rows, apart=1.0 + e)[0] for e in range(3)]
    inputs = [torch.stack(parts).detach() for parts in zip(*each, strict=True)]
    dims = tuple(None if place == shared else 0 for place in range(4))
    inputs = [part[0] if dim is None else part for part, dim in zip(inputs, dims, strict=True)]
    inputs = [part.clone().requires_grad_() for part in inputs]
    mapped, expected = together_and_alone(draw, inputs, dims)
    for ours, theirs in zip(mapped, expected, strict=True):
        assert torch.equal(ours, theirs)
    grads = [normal(*values.shape, seed=7) for values in mapped]
    for ours, theirs in zip(*(torch.autograd.grad(v, inputs, grads) for v in (mapped, expected)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-14, atol=1e-14)


def test_the_operators_are_whole():
    """The custom operators have shapes for tracing and a registered gradient, as torch's own check wants them."""
    inputs, grads = case(5, 1, rows=1)
    leaves = [inputs[0].detach().transpose(0, 1).contiguous().requires_grad_(), *inputs[1:]]
    checks = "test_schema", "test_autograd_registration", "test_faketensor"
    torch.library.opcheck(module._forward, leaves, test_utils=checks)
    back = [tensor.transpose(0, 1).contiguous() for tensor in grads]
    given = [leaf.detach() for leaf in leaves]
    torch.library.opcheck(module._backward, (*given, module._forward(*given)[0], *back), test_utils=checks)


def test_threads_give_the_same_numbers(monkeypatch):
    """Shares of three threads have the draws of one thread, bit by bit, and its gradients but for sums' rounding."""
    inputs, grads = case(1001, 1, rows=1)
    alone = results(draw, inputs, grads)
    monkeypatch.setattr(shares, "GRAIN", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert len(shares.parts(1, 1001, 20.0)) == 3
    together = results(draw, inputs, grads)
    for ours, theirs in zip(together[:3], alone[:3], strict=True):
        assert torch.equal(ours, theirs)
    for ours, theirs in zip(together[3:], alone[3:], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("place", range(4))
def test_nan_is_seen(place):
    """A NaN in the noise or in a number of a component is NaN in z and ln q of those draws, and of no others."""
    inputs, _ = case(points=3, rows=3)
    values = [tensor.detach().clone() for tensor in inputs]
    values[place].view(-1)[0] = torch.nan
    for ours, theirs in zip(draw(*values), reference(*values), strict=True):
        assert torch.equal(ours.isnan(), theirs.isnan())
        assert 0 < int(ours.isnan().sum()) < ours.numel()


@pytest.mark.parametrize("size", [(0, 2, 3), (4, 0, 3), (1, 1, 1), (129, 1, 1)])
def test_no_draws_and_few(size):
    """No draw at all gives empty results; one, and one more than a tile of other kernels, give the plain ones."""
    inputs, grads = case(*size, rows=1)
    for ours, theirs in zip(results(draw, inputs, grads), results(reference, inputs, grads), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_strides():
    """Tensors that are not contiguous give what ordinary ones give."""
    inputs, grads = case()
    expected = results(draw, inputs, grads)
    turned = [tensor.detach().mT.contiguous().mT.requires_grad_() for tensor in inputs]
    for ours, theirs in zip(results(draw, turned, [grad.mT.contiguous().mT for grad in grads]), expected, strict=True):
        assert torch.equal(ours, theirs)


def test_which_code_runs(monkeypatch):
    """Loops run by default in float64; plain PyTorch where it is asked for, and in single precision."""
    inputs, _ = case()
    assert draw(*inputs)[0].grad_fn.name() != reference(*inputs)[0].grad_fn.name()
    single = [tensor.float() for tensor in inputs]
    assert draw(*single)[0].grad_fn.name() == reference(*single)[0].grad_fn.name()
    monkeypatch.setenv(BACKEND_VARIABLE, "reference")
    assert draw(*inputs)[0].grad_fn.name() == reference(*inputs)[0].grad_fn.name()


def test_refused():
    """Sizes that do not fit each other, no component, other dtypes: each one line that names them."""
    noise, log_weights, means, log_scales = case()[0]
    refused(lambda: draw(noise, log_weights, means[..., :1], log_scales), "mixture", "D = 2", "D = 1")
    refused(lambda: draw(noise, log_weights[:2], means, log_scales), "R = 2", "R = 3")
    refused(lambda: draw(noise[:, :2], log_weights, means, log_scales), "B = 2", "has 3")
    refused(lambda: draw(noise, log_weights[:, :0], means[:, :0], log_scales[:, :0]), "C = 0")
    refused(lambda: draw(noise, log_weights.float(), means, log_scales), "torch.float32", "torch.float64")
    refused(lambda: draw(noise[0], log_weights, means, log_scales), "2 axes", "(S, B, D)")
