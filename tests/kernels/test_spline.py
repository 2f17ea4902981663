"""Splines by compiled loops: plain PyTorch's values and gradients everywhere, seeds, threads, NaN, what is refused."""

import pytest
import torch
from support.families import normal
from support.refused import refused
from support.seeds import together_and_alone

from nfbench.foundation.settings import BACKEND_VARIABLE
from nfbench.kernels.cpu import shares
from nfbench.kernels.layers import spline as module
from nfbench.kernels.layers.spline import reference, spline
from nfbench.kernels.layers.spline_reference import bins_of

pytestmark = pytest.mark.usefixtures("compiled")
BOUND = 5.0
SCALES = pytest.mark.parametrize("scale", [0.1, 1.0, 5.0])
BINS = pytest.mark.parametrize("bins", [2, 3, 8, 50])


def case(draws=150, points=2, moved=3, bins=8, scale=1.0, dtype=torch.float64):
    """Numbers in the box and outside, their raw numbers, and gradients in the two results."""
    shape = draws, points, moved
    x = 0.8 * BOUND * normal(*shape, seed=1)
    raw = scale * normal(draws, points, moved * (3 * bins - 1), seed=2)
    tensors = x, raw, normal(*shape, seed=3), normal(*shape, seed=4)
    x, raw, *grads = (tensor.to(dtype) for tensor in tensors)
    return x.requires_grad_(), raw.requires_grad_(), grads


def results(function, x, raw, grads):
    """Values of y and ln dy/dx, and gradients in x and raw."""
    outputs = function(x, raw, BOUND)
    return *outputs, *torch.autograd.grad(outputs, (x, raw), grads)


@BINS
@SCALES
def test_equals_plain_pytorch(bins, scale):
    """In float64 y, ln dy/dx and all gradients are those of the plain formulas.

    Knots are rounded to 1e-16 of the box and bins may be 1e-3 of it wide, which gradients are divided by twice.
    """
    x, raw, grads = case(bins=bins, scale=scale)
    ours, theirs = results(spline, x, raw, grads), results(reference, x, raw, grads)
    for mine, plain, tolerance in zip(ours, theirs, (1e-13, 1e-12, 1e-11, 1e-11), strict=True):
        torch.testing.assert_close(mine, plain, rtol=0, atol=tolerance * float(1 + plain.detach().abs().max()))
    assert ((x.abs() < BOUND).any(), (x.abs() > BOUND).any()) == (True, True)


@BINS
@SCALES
def test_single_precision_is_as_good_as_plain_pytorch(bins, scale):
    """In float32 errors, against float64, are those of the plain formulas: 95 of 100 within three times theirs.

    Close to a knot a rounding of it counts 500 times, as bins may be 1e-3 of the box wide.
    """
    x, raw, grads = case(bins=bins, scale=scale, dtype=torch.float32)
    wide = [tensor.detach().double().requires_grad_() for tensor in (x, raw)]
    exact = results(reference, *wide, [grad.double() for grad in grads])
    ours, theirs = results(spline, x, raw, grads), results(reference, x, raw, grads)
    for mine, plain, true in zip(ours, theirs, exact, strict=True):
        assert mine.dtype == torch.float32
        errors, usual = ((one.detach() - true.detach()).abs().flatten() for one in (mine, plain))
        rounding = torch.finfo(torch.float32).eps * float(1 + true.detach().abs().max())
        assert errors.quantile(0.95) <= 3 * usual.quantile(0.95) + rounding
        assert errors.max() <= 3 * usual.max() + 500 * rounding


@pytest.mark.parametrize("bins", [2, 3, 8])
def test_at_knots(bins):
    """At every inner knot values are the plain ones, and the gradient in x is that of one of the two bins there."""
    _, raw, _ = case(points=1, moved=1, bins=bins)
    for k in range(1, bins):
        x = bins_of(raw, BOUND).x[..., k : k + 1].detach().requires_grad_()
        grads = [torch.ones_like(x), torch.ones_like(x)]
        y, log_slope, to_x, _ = results(spline, x, raw, grads)
        at, below, above = (
            results(reference, (x.detach() + shift).requires_grad_(), raw, grads) for shift in (0.0, -1e-9, 1e-9)
        )
        torch.testing.assert_close(y, at[0], rtol=1e-13, atol=1e-13)
        torch.testing.assert_close(log_slope, at[1], rtol=1e-11, atol=1e-11)
        error = torch.minimum((to_x - below[2]).abs(), (to_x - above[2]).abs())
        assert (error <= 1e-5 * (1 + to_x.abs())).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_at_the_middle_knot_of_the_identity(dtype):
    """An exact knot belongs to the bin on its right: all numbers are the plain ones."""
    x, raw = torch.zeros(9, 1, 1, dtype=dtype, requires_grad=True), torch.zeros(9, 1, 5, dtype=dtype)
    grads = [torch.ones_like(x), torch.ones_like(x)]
    raw.requires_grad_()
    for mine, plain in zip(results(spline, x, raw, grads), results(reference, x, raw, grads), strict=True):
        torch.testing.assert_close(mine, plain)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("at", [-1e30, -7.0, -BOUND, BOUND, 7.0, 1e30])
def test_outside_the_box(at, dtype):
    """At the box's ends and outside y = x, gradients go to x as they are, and none to raw numbers, however large."""
    _, raw, grads = case(scale=20.0, dtype=dtype)
    x = torch.full_like(grads[0], at).requires_grad_()
    y, log_slope, to_x, to_raw = results(spline, x, raw, grads)
    assert torch.equal(y, x)
    assert torch.equal(to_x, grads[0])
    assert not log_slope.any()
    assert not to_raw.any()


@pytest.mark.parametrize("bins", [1, 2, 4])
def test_gradients_are_those_of_differences(bins):
    """First and second derivatives agree with differences of values, the tails included."""
    x, raw, _ = case(3, 1, 2, bins)
    assert torch.autograd.gradcheck(lambda x, raw: spline(x, raw, BOUND), (x, raw))
    assert torch.autograd.gradgradcheck(lambda x, raw: spline(x, raw, BOUND), (x, raw))


@pytest.mark.parametrize("shared", ["x", "raw", ""])
def test_seeds_under_vmap(shared):
    """Values and gradients of seeds mapped over together are those of each seed alone, bit by bit."""
    seeds, dims = 3, tuple(None if name == shared else 0 for name in ("x", "raw"))
    x, raw, grads = case(seeds * 10)
    x, raw = (tensor.detach().unflatten(0, (seeds, 10)) for tensor in (x, raw))
    grads = [grad.unflatten(0, (seeds, 10)) for grad in grads]
    x, raw = (value[0] if dim is None else value for value, dim in zip((x, raw), dims, strict=True))
    x, raw = x.clone().requires_grad_(), raw.clone().requires_grad_()
    mapped, expected = together_and_alone(lambda x, raw: spline(x, raw, BOUND), (x, raw), dims)
    for ours, theirs in zip(mapped, expected, strict=True):
        assert torch.equal(ours, theirs)
    pairs = (torch.autograd.grad(values, (x, raw), grads) for values in (mapped, expected))
    for ours, theirs in zip(*pairs, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_operators_are_whole(dtype):
    """The custom operators have shapes for tracing and a registered gradient, as torch's own check wants them."""
    x, raw, grads = case(5, 1, 1, 3, dtype=dtype)
    x, raw, grads = x.detach()[..., 0, 0], raw.detach()[:, 0], [grad[..., 0, 0] for grad in grads]
    checks = "test_schema", "test_autograd_registration", "test_faketensor"
    torch.library.opcheck(module._forward, (x.requires_grad_(), raw.requires_grad_(), BOUND), test_utils=checks)
    torch.library.opcheck(module._backward, (x.detach(), raw.detach(), BOUND, *grads), test_utils=checks)


def test_threads_give_the_same_numbers(monkeypatch):
    """Shares of three threads have the numbers of one thread, bit by bit."""
    given = case(1001)
    alone = results(spline, *given)
    monkeypatch.setattr(shares, "GRAIN", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert len(shares.parts(1, 6006, 20.0)) == 3
    for ours, theirs in zip(results(spline, *given), alone, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("place", [0, 7, 8, 15])
def test_nan_is_seen(place, dtype):
    """A NaN among the widths or heights makes y and ln dy/dx NaN, gradients too, and of that number alone."""
    x, raw, grads = case(20, 1, 1, dtype=dtype)
    x, raw = (0.2 * x.detach()).clamp(-4, 4).requires_grad_(), raw.detach().clone()
    raw[3, 0, place] = torch.nan
    wrong = torch.arange(20) == 3
    for values in results(spline, x, raw.requires_grad_(), grads):
        assert torch.equal(values.isnan().flatten(1).any(1), wrong)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nan_as_in_plain_pytorch(dtype):
    """NaN among x and among the raw slopes gives NaN in y and ln dy/dx where the plain formulas do."""
    x, raw, _ = case(40, 1, 1, 3, dtype=dtype)
    x, raw = x.detach(), raw.detach()
    x[::5], raw[1::2, 0, 6], raw[2::4, 0, 7] = torch.nan, torch.nan, torch.nan
    for ours, theirs in zip(spline(x, raw, BOUND), reference(x, raw, BOUND), strict=True):
        assert torch.equal(ours.isnan(), theirs.isnan())
    assert 10 < int(spline(x, raw, BOUND)[0].isnan().sum()) < 30


@pytest.mark.parametrize("size", [(0, 2, 3), (4, 0, 3), (1, 1, 1), (7, 1, 1), (129, 1, 1)])
def test_no_draws_and_few(size):
    """No number at all gives empty results; one number, and one more than a tile, give the plain ones."""
    x, raw, grads = case(*size)
    for ours, theirs in zip(results(spline, x, raw, grads), results(reference, x, raw, grads), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_strides_and_negatives():
    """Tensors that are not contiguous, or stored as their negatives, give what ordinary ones give."""
    x, raw, grads = case(6)
    expected = results(spline, x, raw, grads)
    turned = [tensor.detach().mT.contiguous().mT for tensor in (x, raw)]
    negative = [torch.complex(grad, -grad).conj().imag for grad in grads]
    assert [grad.is_neg() for grad in negative] == [True, True]
    for ours, theirs in zip(results(spline, *(t.requires_grad_() for t in turned), negative), expected, strict=True):
        assert torch.equal(ours, theirs)


def test_which_code_runs(monkeypatch):
    """Loops run by default; plain PyTorch where it is asked for, under autocast and in half precision."""
    x, raw, _ = case(3, dtype=torch.float32)
    name = "_DirectBackward"
    assert spline(x, raw, BOUND)[0].grad_fn.name() == name
    with torch.autocast("cpu", torch.bfloat16):
        assert spline(x, raw.bfloat16(), BOUND)[0].grad_fn.name() != name
    half = spline(x.bfloat16(), raw.bfloat16(), BOUND)
    assert half[0].dtype == torch.bfloat16
    monkeypatch.setenv(BACKEND_VARIABLE, "reference")
    assert spline(x, raw, BOUND)[0].grad_fn.name() != name


def test_refused():
    """Sizes, kinds and bounds that do not fit are an error of one line that names them."""
    x, raw, _ = case(3)
    refused(lambda: spline(x, raw[:2], BOUND), "spline", "S = 3", "S = 2")
    refused(lambda: spline(x, raw[..., 1:], BOUND), "M = 3", "68", "3 N - 1")
    refused(lambda: spline(x, torch.zeros(3, 2, 3 * 3002), BOUND), "9006", "N from 1 to 1000")
    refused(lambda: spline(x[..., :0], raw[..., :0], BOUND), "M = 0")
    refused(lambda: spline(x, raw.float(), BOUND), "torch.float32", "torch.float64")
    for bound in (0.0, -1.0, float("inf"), float("nan")):
        refused(lambda bound=bound: spline(x, raw, bound), "bound", str(bound))
