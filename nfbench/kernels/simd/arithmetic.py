"""Elementary functions for compiled loops, in float32 and float64, written so that LLVM can vectorise them.

The Python definitions of `tanh`, `softplus` and so on say what each function is; in compiled code numba takes the
`overload` registered at the end of this file. Each function takes and returns numbers, and is applied in a loop.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import types
from numba.extending import overload

from nfbench.kernels.compiler.decorators import FLAGS, inlined

ROUND = 63  # how many factors below 2 may be multiplied before `renormalise`: their product fits float32


class _Bits(NamedTuple):
    """How a float is stored (IEEE 754).

    Attributes:
        float: numpy's type.
        integer: the integer type of the same width.
        fraction: bits of the fraction.
        offset: what is added to the exponent.
        terms: terms of the Taylor series of (e^r - 1) / r that |r| <= ln 2 / 2 needs.
    """

    float: Any
    integer: Any
    fraction: int
    offset: int
    terms: int


_SINGLE, _DOUBLE = _Bits(np.float32, np.int32, 23, 127, 8), _Bits(np.float64, np.int64, 52, 1023, 14)


def tanh(x: float) -> float:
    """Tanh, `x -> (e^x - e^-x) / (e^x + e^-x)`, to 2 units in the last place; exactly 1 where that is nearest."""
    return math.tanh(x)


class Exponential(NamedTuple):
    """Constants of e^y = 2^n e^r for y <= 0, where r = y - n ln 2.

    Attributes:
        series: Taylor coefficients of (e^r - 1) / r, highest power first.
        log2e: 1 / ln 2.
        high: ln 2 to so few bits that n times it is exact.
        low: ln 2 - high.
        offset: added to an exponent where a float is stored: 2^n has the bits (n + offset) << fraction.
        fraction: bits of the fraction.
        end: smaller y are replaced by this one.
    """

    series: tuple[Any, ...]
    log2e: Any
    high: Any
    low: Any
    offset: Any
    fraction: Any
    end: Any


def _tanh(bits: _Bits) -> Callable[[Any], Any]:
    """Tanh|x| = -(e^y - 1) / (2 + (e^y - 1)) with y = -2|x| and e^y - 1 = 2^n (e^r - 1) + (2^n - 1), r = y - n ln 2.

    It keeps its digits both near zero and in saturation.
    """
    one, two, half = bits.float(1), bits.float(2), bits.float(0.5)
    series, log2e, high, low, offset, fraction, end = _exponential(bits)
    integer, real = bits.integer, bits.float

    def implementation(x: Any) -> Any:
        y = -two * abs(x)
        y = end if y < end else y
        n = integer(y * log2e - half)
        r = (y - real(n) * high) - real(n) * low
        rest = series[0]
        for term in numba.literal_unroll(series[1:]):
            rest = rest * r + term
        power = integer((n + offset) << fraction).view(real)
        expm1 = power * (rest * r) + (power - one)
        return math.copysign(-expm1 / (two + expm1), x)

    return implementation


def _exponential(bits: _Bits) -> Exponential:
    """The constants for results that are added to 1, to which e^-44 adds nothing."""
    series = tuple(bits.float(1 / math.factorial(k + 1)) for k in reversed(range(bits.terms)))
    high = bits.float(math.floor(math.log(2) * 512) / 512)
    low, log2e = bits.float(math.log(2) - float(high)), bits.float(1 / math.log(2))
    return Exponential(
        series, log2e, high, low, bits.integer(bits.offset), bits.integer(bits.fraction), bits.float(-44)
    )


def _full_range(bits: _Bits) -> Exponential:
    """The constants for results that stand alone: down to the smallest normal number."""
    return _exponential(bits)._replace(end=bits.float(math.log(np.finfo(bits.float).tiny) + 1))


def tanh_constants(element: Any) -> Exponential:
    """The constants of `tanh`.

    Args:
        element: numba's float32 or float64.

    Returns:
        The constants, in that type.
    """
    return _exponential(_WIDTHS[element])


def decay_constants(element: Any) -> Exponential:
    """The constants of `decay`.

    Args:
        element: numba's float32 or float64.

    Returns:
        The constants, in that type.
    """
    return _full_range(_WIDTHS[element])


def factor(x: float) -> tuple[float, float]:
    """Split x into f 2^e with 1 <= f < 2.

    A sum of many logarithms costs one: it is the logarithm of the product of all f, plus ln 2 times the sum of all e.

    Args:
        x: a number, not below 0.

    Returns:
        f and e; x and 0 where x has no such form (0, NaN, infinity).
    """
    f, e = math.frexp(x)
    return 2 * f, e - 1.0


def _factor(bits: _Bits) -> Callable[[Any], Any]:
    smallest, largest, zero = np.finfo(bits.float).tiny, np.finfo(bits.float).max, bits.float(0)
    offset, fraction = bits.integer(bits.offset), bits.integer(bits.fraction)
    below, one = bits.integer((1 << bits.fraction) - 1), bits.float(1).view(bits.integer)
    integer, real = bits.integer, bits.float

    def implementation(x: Any) -> Any:
        pattern = real(x).view(integer)
        f, e = integer((pattern & below) | one).view(real), real((pattern >> fraction) - offset)
        regular = smallest <= x <= largest
        return (f if regular else x), (e if regular else zero)

    return implementation


def logarithm(f: float, e: float) -> float:
    """Logarithm of f 2^e, `f, e -> ln f + e ln 2`, for f >= 1 or what `factor` returns for 0, NaN and infinity."""
    return math.log(f) + e * math.log(2)


def _logarithm(bits: _Bits) -> Callable[[Any, Any], Any]:
    ln2, root, half, one = bits.float(math.log(2)), bits.float(math.sqrt(2)), bits.float(0.5), bits.float(1)

    def implementation(f: Any, e: Any) -> Any:
        f, more = factor(f)  # ln f and e ln 2 must not cancel: f is brought to between sqrt(1/2) and sqrt(2)
        large = f > root
        return math.log(half * f if large else f) + (e + more + (one if large else one - one)) * ln2

    return implementation


def softplus(x: float) -> float:
    """Softplus, `x -> ln(1 + e^x)`, without overflow."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def _softplus(bits: _Bits) -> Callable[[Any], Any]:
    """Softplus(x) = max(x, 0) + ln(1 + t), t = e^-|x| <= 1, with the series of ln(1 + t) = 2 artanh(t / (2 + t))."""
    zero, two = bits.float(0), bits.float(2)
    artanh = tuple(bits.float(2 / (2 * k + 1)) for k in reversed(range(bits.terms + 3)))

    def library(x: Any) -> Any:
        return (x if x > zero else zero) + math.log1p(math.exp(-abs(x)))

    if bits is _DOUBLE:  # here LLVM does not vectorise what follows, and the library is faster
        return library

    def implementation(x: Any) -> Any:
        t = decay(x)
        ratio = t / (two + t)
        square, rest = ratio * ratio, artanh[0]
        for term in numba.literal_unroll(artanh[1:]):
            rest = rest * square + term
        return (x if x > zero else zero) + ratio * rest

    return implementation


def sigmoid(x: float) -> float:
    """The derivative of softplus, `x -> 1 / (1 + e^-x)`."""
    return 1 / (1 + math.exp(-x))


def _sigmoid(bits: _Bits) -> Callable[[Any], Any]:
    zero, one = bits.float(0), bits.float(1)

    def implementation(x: Any) -> Any:
        t = decay(x)
        return (one if x > zero else t) / (one + t)

    return implementation


def decay(x: float) -> float:
    """Exponential decay to both sides of 0, `x -> e^-|x|`."""
    return math.exp(-abs(x))


def _decay(bits: _Bits) -> Callable[[Any], Any]:
    one, half = bits.float(1), bits.float(0.5)
    series, log2e, high, low, offset, fraction, end = _full_range(bits)
    integer, real = bits.integer, bits.float

    def implementation(x: Any) -> Any:
        y = -abs(x)
        y = end if y < end else y
        n = integer(y * log2e - half)
        r = (y - real(n) * high) - real(n) * low
        rest = series[0]
        for term in numba.literal_unroll(series[1:]):
            rest = rest * r + term
        return integer((n + offset) << fraction).view(real) * (one + rest * r)

    return implementation


_WIDTHS = {types.float32: _SINGLE, types.float64: _DOUBLE}
_typed = functools.partial(overload, jit_options={"fastmath": FLAGS})


@_typed(tanh)
def _(x: Any) -> Callable[..., Any]:
    return _tanh(_WIDTHS[x])


@_typed(factor)
def _(x: Any) -> Callable[..., Any]:
    return _factor(_WIDTHS[x])


@_typed(logarithm)
def _(f: Any, e: Any) -> Callable[..., Any]:
    return _logarithm(_WIDTHS[f])


@_typed(softplus)
def _(x: Any) -> Callable[..., Any]:
    return _softplus(_WIDTHS[x])


@_typed(sigmoid)
def _(x: Any) -> Callable[..., Any]:
    return _sigmoid(_WIDTHS[x])


@_typed(decay)
def _(x: Any) -> Callable[..., Any]:
    return _decay(_WIDTHS[x])


@inlined
def renormalise(f: Any, e: Any) -> None:
    """Move powers of two from products of factors to exponents, before the products overflow.

    At most `ROUND` factors below 2 may be multiplied into a product between two calls.

    Args:
        f: products (n,), changed.
        e: exponents (n,), changed.
    """
    for n in range(f.shape[0]):
        part, power = factor(f[n])
        f[n] = part
        e[n] += power
