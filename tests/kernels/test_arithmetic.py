"""The arithmetic of the compiled kernels, against numpy in twice the precision."""

import numpy as np
import pytest

from nfbench.kernels.compiler.decorators import compiled
from nfbench.kernels.simd import arithmetic
from nfbench.kernels.simd.arithmetic import ROUND, factor, logarithm, renormalise
from nfbench.kernels.simd.log import log

SINGLE_ARGUMENT = {
    "tanh": (np.tanh, 2),
    "softplus": (lambda x: np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0), 3),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), 16),
    "decay": (lambda x: np.exp(-np.abs(x)), 16),
}
WIDTHS = pytest.mark.parametrize("width", [np.float32, np.float64])


def _everywhere(name, x):
    function = getattr(arithmetic, name)

    @compiled
    def loop(x, out):
        for i in range(len(x)):
            out[i] = function(x[i])

    out = np.empty_like(x)
    loop(x, out)
    return out


@WIDTHS
@pytest.mark.parametrize("name", SINGLE_ARGUMENT)
def test_is_exact_to_a_few_units_in_the_last_place(name, width):
    """Over tiny, middling and large arguments of both signs, the relative error is a few units in the last place."""
    x = np.concatenate([np.linspace(-80, 80, 20_001), *(sign * np.logspace(-30, 1.3, 5_000) for sign in (1, -1))])
    x = x.astype(width)
    exact, units = SINGLE_ARGUMENT[name][0](x.astype(np.longdouble)), SINGLE_ARGUMENT[name][1]
    error = np.abs(_everywhere(name, x) - exact) / np.maximum(np.abs(exact), np.finfo(width).tiny)
    assert error.max() < units * np.finfo(width).eps


@WIDTHS
def test_tanh_is_one_where_it_should_be(width):
    """Where 1 is the nearest number, tanh is 1: a bias there would be multiplied by the steepness of a map."""
    x = np.linspace(10 if width == np.float32 else 20, 1000, 1001).astype(width)
    assert (_everywhere("tanh", x) == 1).all()
    assert (_everywhere("tanh", -x) == -1).all()


@WIDTHS
@pytest.mark.parametrize("name", SINGLE_ARGUMENT)
def test_edges(name, width):
    """NaN stays NaN, and infinity has the limit, within float32's smallest number."""
    x = np.array([np.nan, np.inf, -np.inf], width)
    found = _everywhere(name, x)
    limits = {"tanh": (1, -1), "softplus": (np.inf, 0), "sigmoid": (1, 0), "decay": (0, 0)}[name]
    assert np.isnan(found[0])
    assert np.allclose(found[1:], limits, rtol=0, atol=1e-37)


@compiled
def _product(x, f, e):
    for k in range(x.shape[0]):
        for n in range(x.shape[1]):
            part, power = factor(x[k, n])
            f[n] *= part
            e[n] += power
        if k % ROUND == ROUND - 1:
            renormalise(f, e)
    for n in range(x.shape[1]):
        f[n] = logarithm(f[n], e[n])


def _log_of_product(x):
    f, e = np.ones(x.shape[1], x.dtype), np.zeros(x.shape[1], x.dtype)
    _product(x, f, e)
    return f


@WIDTHS
def test_logarithm_of_a_long_product(width):
    """The log of 1000 factors from 1e-9 to 1e9, no worse than adding 1000 logarithms of that precision."""
    x = np.exp(4 * np.random.default_rng(0).standard_normal((1000, 40))).astype(width)
    exact = np.log(x.astype(np.longdouble)).sum(0)
    plain = np.abs(np.cumsum(np.log(x), 0)[-1] - exact).max()
    assert np.abs(_log_of_product(x) - exact).max() <= plain


@WIDTHS
def test_factors_that_are_not_ordinary(width):
    """Zero gives -inf, NaN and infinity themselves, a subnormal number its logarithm."""
    x = np.ones((3, 4), width)
    x[1] = [0, np.nan, np.inf, np.finfo(width).tiny / 8]
    found = _log_of_product(x)
    assert found[0] == -np.inf
    assert np.isnan(found[1])
    assert found[2] == np.inf
    assert found[3] == pytest.approx(np.log(np.finfo(width).tiny / 8), rel=1e-6)


@compiled
def _log(x, out):
    for i in range(len(x)):
        out[i] = log(x[i])


@WIDTHS
def test_logarithm_of_single_numbers(width):
    """Over all powers of ten, and close to 1 on both sides, the relative error is two units in the last place."""
    small = np.logspace(-7, -0.2, 5_000)
    x = np.concatenate([np.logspace(-37, 37, 20_001), 1 + small, 1 - small]).astype(width)
    exact, found = np.log(x.astype(np.longdouble)), np.empty_like(x)
    _log(x, found)
    assert (np.abs(found - exact) <= 2 * np.finfo(width).eps * np.abs(exact)).all()


@WIDTHS
def test_logarithm_at_the_edges(width):
    """Zero gives -inf, numbers below NaN, and infinity and NaN themselves."""
    x, found = np.array([0, -1, -np.inf, np.inf, np.nan, 1], width), np.empty(6, width)
    _log(x, found)
    np.testing.assert_array_equal(found, np.array([-np.inf, np.nan, np.nan, np.inf, np.nan, 0], width))
