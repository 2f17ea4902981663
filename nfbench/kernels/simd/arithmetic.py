"""Compiled arithmetic that a loop can vectorise, in float32 and float64: tanh, softplus, products of many factors."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import types
from numba.extending import overload

# Sums may be reordered and products fused; NaN and infinity keep their meaning.
_FLAGS = {"reassoc", "contract", "arcp", "nsz"}
compiled: Callable[..., Any] = numba.njit(cache=True, fastmath=_FLAGS, error_model="numpy", nogil=True)
# What a kernel calls. Left to itself the compiler makes two versions of it, within the kernel and beside: a process
# that has just compiled takes the first, one that loads numba's cache the second, and they round differently.
inlined: Callable[..., Any] = numba.njit(cache=True, fastmath=_FLAGS, error_model="numpy", nogil=True, forceinline=True)


ROUND = 63  # factors below 2 whose product float32 holds


class _Bits(NamedTuple):
    """How a float is stored: of which width, with how many bits of fraction, its exponent offset by what."""

    float: Any
    integer: Any
    fraction: int
    offset: int
    terms: int  # of the Taylor series of (e^r - 1) / r that |r| <= ln 2 / 2 needs


_SINGLE, _DOUBLE = _Bits(np.float32, np.int32, 23, 127, 8), _Bits(np.float64, np.int64, 52, 1023, 14)


def tanh(x: float) -> float:
    """Hyperbolic tangent to 2 units in the last place; exactly 1 where that is the nearest number."""
    return math.tanh(x)


class Exponential(NamedTuple):
    """What e^y = 2^n e^r, r = y - n ln 2, takes.

    Attributes:
        series: Taylor coefficients of (e^r - 1) / r, from the last.
        log2e: 1 / ln 2.
        high, low: ln 2 in two parts.
        offset, fraction: where an exponent lies in a float: 2^n is (n + offset) << fraction.
        end: the least y that is told from smaller ones.
    """

    series: tuple[Any, ...]
    log2e: Any
    high: Any
    low: Any
    offset: Any
    fraction: Any
    end: Any


def _tanh(bits: _Bits) -> Callable[[Any], Any]:
    """From e^y - 1 = 2^n (e^r - 1) + (2^n - 1), y = -2|x|, r = y - n ln 2, which neither end makes inexact."""
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
    series = tuple(bits.float(1 / math.factorial(k + 1)) for k in reversed(range(bits.terms)))
    high = bits.float(math.floor(math.log(2) * 512) / 512)  # n times it is exact
    low, log2e = bits.float(math.log(2) - float(high)), bits.float(1 / math.log(2))
    return Exponential(
        series, log2e, high, low, bits.integer(bits.offset), bits.integer(bits.fraction), bits.float(-44)
    )


def _to_the_least(bits: _Bits) -> Exponential:
    """For results that stand alone: down to the smallest number, not only to what is nothing beside 1."""
    return _exponential(bits)._replace(end=bits.float(math.log(np.finfo(bits.float).tiny) + 1))


def tanh_constants(element: Any) -> Exponential:
    """The constants of `tanh` in numba's float32 or float64."""
    return _exponential(_WIDTHS[element])


def decay_constants(element: Any) -> Exponential:
    """Those of `decay`."""
    return _to_the_least(_WIDTHS[element])


def factor(x: float) -> tuple[float, float]:
    """`x >= 0 -> f, e` with x = f 2^e and 1 <= f < 2; what has no such form (0, NaN, infinity) is its own f.

    A sum of many logarithms is the logarithm of the product of the f, and the sum of the e times ln 2.
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
    """`ln(f 2^e)` for f >= 1, or f as `factor` leaves what has no such form."""
    return math.log(f) + e * math.log(2)


def _logarithm(bits: _Bits) -> Callable[[Any, Any], Any]:
    ln2, root, half, one = bits.float(math.log(2)), bits.float(math.sqrt(2)), bits.float(0.5), bits.float(1)

    def implementation(f: Any, e: Any) -> Any:
        f, more = factor(f)  # ln f and e ln 2 must not cancel
        large = f > root
        return math.log(half * f if large else f) + (e + more + (one if large else one - one)) * ln2

    return implementation


def softplus(x: float) -> float:
    """`ln(1 + e^x)`, which does not overflow."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def _softplus(bits: _Bits) -> Callable[[Any], Any]:
    """ln(1 + t) = 2 artanh(t / (2 + t)), whose series converges fast, as t = e^-|x| <= 1."""
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
    """`1 / (1 + e^-x)`, the slope of softplus."""
    return 1 / (1 + math.exp(-x))


def _sigmoid(bits: _Bits) -> Callable[[Any], Any]:
    zero, one = bits.float(0), bits.float(1)

    def implementation(x: Any) -> Any:
        t = decay(x)
        return (one if x > zero else t) / (one + t)

    return implementation


def decay(x: float) -> float:
    """`e^-|x|`."""
    return math.exp(-abs(x))


def _decay(bits: _Bits) -> Callable[[Any], Any]:
    one, half = bits.float(1), bits.float(0.5)
    series, log2e, high, low, offset, fraction, end = _to_the_least(bits)
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
_typed = functools.partial(overload, jit_options={"fastmath": _FLAGS})


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
    """Move powers of two from f to e, before the product overflows."""
    for n in range(f.shape[0]):
        part, power = factor(f[n])
        f[n] = part
        e[n] += power
