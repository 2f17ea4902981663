"""The log-likelihood of binary pixels as one node of the graph, against the same in twice the precision."""

import math

import numpy as np
import pytest
import torch
from support.families import normal

from nfbench.foundation.settings import BACKEND_VARIABLE
from nfbench.kernels.cpu import shares
from nfbench.kernels.layers.bernoulli import log_prob, reference

pytestmark = pytest.mark.usefixtures("compiled")
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
SHAPES = [(1, 1, 1), (2, 3, 15), (1, 4, 64), (3, 2, 65), (1, 5, 784), (2, 1, 960), (1, 2, 2000), (1, 1, 100_000)]
EMPTY = [(0, 2, 3), (2, 0, 3), (2, 3, 0)]


def _given(*shape, scale=3.0, dtype=torch.float64):
    logits, x = scale * normal(*shape, seed=1), normal(*shape[1:], seed=2) < 0
    return logits.to(dtype).requires_grad_(), x.to(dtype)


def _results(function, logits, x):
    """The value, and the gradient of a fixed mixture of all of it."""
    found = function(logits, x)
    return found, *torch.autograd.grad(found, logits, normal(*found.shape, seed=3).to(found.dtype))


def _exact(logits, x):
    """Value and gradient in numpy's long double."""
    sign = 1 - 2 * x.numpy().astype(np.longdouble)
    y = sign * logits.detach().numpy().astype(np.longdouble)
    small = np.exp(-np.abs(y))
    slope = -sign * np.where(y > 0, 1, small) / (1 + small)
    value = -(np.maximum(y, 0) + np.log1p(small)).sum(-1)
    return value, slope * normal(*value.shape, seed=3).to(logits.dtype).numpy()[..., None]


def _relative(found, exact):
    return (np.abs(found.detach().numpy() - exact) / np.abs(exact)).max()


@DTYPES
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [0.1, 3.0, 15.0])
def test_digits(shape, scale, dtype):
    """However many pixels there are, value and gradient have all digits of their type but a few units.

    A pixel's own error is 16 units, that of `decay`, and in a lane up to 60 factors are multiplied, of two roundings
    each: half a unit at most, in a random direction.
    """
    logits, x = _given(*shape, scale=scale, dtype=dtype)
    value, grad = _results(log_prob, logits, x)
    exact = _exact(logits, x)
    assert value.dtype == grad.dtype == dtype
    assert _relative(value, exact[0]) < (16 + math.sqrt(2 * 60)) * torch.finfo(dtype).eps
    assert _relative(grad, exact[1]) < 20 * torch.finfo(dtype).eps


@DTYPES
@pytest.mark.parametrize("logit", [-80.0, -30.0, -17.0, 0.0, 17.0, 30.0, 80.0])
def test_far_from_zero(logit, dtype):
    """All pixels surely right: a sum far below 1 keeps its digits; surely wrong: it is large and exact."""
    logits = torch.full((1, 2, 784), logit, dtype=dtype, requires_grad=True)
    x = torch.stack([torch.zeros(784, dtype=dtype), torch.ones(784, dtype=dtype)])
    value, grad = _results(log_prob, logits, x)
    exact = _exact(logits, x)
    assert _relative(value, exact[0]) < 32 * torch.finfo(dtype).eps
    assert _relative(grad, exact[1]) < 20 * torch.finfo(dtype).eps


@DTYPES
@pytest.mark.parametrize("logit", [math.inf, -math.inf, 1e30])
def test_infinity(logit, dtype):
    """A pixel that is surely wrong makes the image impossible, one that is surely right leaves nothing to add."""
    logits = torch.zeros(1, 2, 70, dtype=dtype)
    logits[..., 69] = logit
    x = torch.zeros(2, 70, dtype=dtype)
    x[1, 69] = 1.0
    rest = torch.full((2,), -69 * math.log(2), dtype=dtype)
    rest[0 if logit > 0 else 1] = -abs(logit)
    torch.testing.assert_close(log_prob(logits, x)[0], rest)


@pytest.mark.parametrize("shape", EMPTY)
def test_nothing(shape):
    """No draws, no images, no pixels: values and gradients of the right shape, and the sum of nothing is 0."""
    value, grad = _results(log_prob, *_given(*shape))
    assert value.shape == shape[:2]
    assert grad.shape == shape
    assert (value == 0).all()


def test_gradcheck():
    """The gradient, and its own, are those of finite differences."""
    logits, x = _given(2, 3, 5)
    assert torch.autograd.gradcheck(log_prob, (logits, x))
    assert torch.autograd.gradgradcheck(log_prob, (logits, x))


def test_a_gradient_that_has_one_is_the_same():
    """Asked for with its graph, the gradient is what it is without."""
    logits, x = _given(2, 3, 70)
    plain, with_graph = (
        torch.autograd.grad(log_prob(logits, x).sum(), logits, create_graph=graph)[0] for graph in (False, True)
    )
    torch.testing.assert_close(with_graph, plain, rtol=1e-14, atol=0)


@pytest.mark.parametrize("place", [0, 15, 64, 69])
def test_nan_stays_in_its_draw(place):
    """A NaN in a pixel, of a logit or an image, is seen in that draw's value and pixel's gradient only."""
    logits, x = (one.detach() for one in _given(3, 2, 70))
    clean = log_prob(logits, x)
    logits[1, 0, place] = torch.nan
    value, grad = _results(log_prob, logits.requires_grad_(), x)
    others = torch.ones(3, 2, dtype=torch.bool)
    others[1, 0] = False
    assert value[1, 0].isnan()
    assert torch.equal(value[others], clean[others])
    assert grad.isnan().nonzero().tolist() == [[1, 0, place]]
    x[1, place] = torch.nan
    assert log_prob(logits, x).isnan().tolist() == [[False, True], [True, True], [False, True]]


def test_any_memory_order():
    """Strided or expanded arguments and gradients give what contiguous ones give, and are not written to."""
    logits, x = (one.detach() for one in _given(1, 3, 70))
    logits, x = logits.expand(4, 3, 70), x[:1].expand(3, 70)
    turned = logits.contiguous().transpose(0, 2).contiguous().transpose(0, 2)
    whole = _results(log_prob, logits.contiguous().requires_grad_(), x.contiguous())
    for given in ((logits, x), (turned, x.T.contiguous().T)):
        for ours, theirs in zip(_results(log_prob, given[0].detach().requires_grad_(), given[1]), whole, strict=True):
            assert torch.equal(ours, theirs)
    leaf = logits.contiguous().requires_grad_()
    (expanded,) = torch.autograd.grad(log_prob(leaf, x).sum(), leaf)
    (dense,) = torch.autograd.grad(log_prob(leaf, x), leaf, torch.ones(4, 3, dtype=torch.float64))
    assert torch.equal(expanded, dense)


@DTYPES
@pytest.mark.parametrize("shape", [(1, 7, 90), (200, 1, 90), (130, 2, 33)])
def test_threads_share_without_a_trace(shape, dtype, monkeypatch):
    """Images or draws shared out over three threads give what one gives, bit by bit."""
    given = _given(*shape, dtype=dtype)
    alone = _results(log_prob, *given)
    monkeypatch.setattr(shares, "GRAIN", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    for ours, theirs in zip(_results(log_prob, *given), alone, strict=True):
        assert torch.equal(ours, theirs)


def test_one_node_or_the_operations(monkeypatch):
    """Compiled loops where they apply; plain PyTorch where it was asked for, or for what the loops do not take."""
    logits, x = _given(2, 3, 5)

    def node(logits, x):
        return type(log_prob(logits, x).grad_fn).__name__

    assert node(logits, x) == "_CompiledBackward"
    plain = [(logits.bfloat16(), x.bfloat16()), (logits.float(), x), (logits[0], x), (logits, x[:1])]
    plain += [(logits, x.clone().requires_grad_())]
    for given in plain:
        assert node(*given) == "NegBackward0"
        assert torch.equal(log_prob(*given), reference(*given))
    assert log_prob(logits.detach(), x).grad_fn is None
    monkeypatch.setenv(BACKEND_VARIABLE, "reference")
    assert node(logits, x) == "NegBackward0"


def test_both_forms_agree():
    """Values and gradients of the reference and of the loops differ by float64's rounding."""
    logits, x = _given(3, 4, 100, scale=15.0)
    for ours, theirs in zip(_results(log_prob, logits, x), _results(reference, logits, x), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-13, atol=0)


def test_grey_pixels():
    """Where x is not 0 or 1, the formula is what it is."""
    logits, x = _given(2, 3, 70)
    x = x * 0.8 + 0.05
    for ours, theirs in zip(_results(log_prob, logits, x), _results(reference, logits, x), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)


def test_seeds_together():
    """Under vmap, over seeds, each has the value and gradient that it has alone."""
    logits, x = (one.detach() for one in _given(4, 2, 3, 5))
    x = (normal(4, 3, 5, seed=5) < 0).double()
    logits.requires_grad_()
    together = torch.vmap(log_prob)(logits, x)
    (grad,) = torch.autograd.grad(together.sum(), logits)
    for seed in range(4):
        leaf = logits[seed].detach().requires_grad_()
        alone = log_prob(leaf, x[seed])
        torch.testing.assert_close(together[seed], alone, rtol=1e-13, atol=0)
        torch.testing.assert_close(grad[seed], torch.autograd.grad(alone.sum(), leaf)[0], rtol=1e-13, atol=0)
