"""Functions of one number that the Triton kernels share, accurate to a few roundings in float32 and in float64."""

from collections.abc import Callable
from typing import Any

import triton
import triton.language as tl

kernel: Callable[..., Any] = triton.jit


@kernel
def tanh(x: tl.tensor) -> tl.tensor:
    """Below 1/2 the quotient of polynomials x P(x^2) / Q(x^2) of Lambert's continued fraction (off by 2e-16), else exp.

    1 - 2t/(1 + t) with t = e^(-2|x|) is exactly 1 in saturation, however the device rounds its quotients.
    """
    size = tl.abs(x)
    small = size < 0.5
    square = x * x
    upper = x * (135135.0 + square * (17325.0 + square * (378.0 + square)))
    lower = 135135.0 + square * (62370.0 + square * (3150.0 + square * 28.0))
    t = tl.exp(-2.0 * size)
    quotient = tl.where(small, upper, 2.0 * t) / tl.where(small, lower, 1.0 + t)
    large = 1.0 - quotient
    return tl.where(small, quotient, tl.where(x < 0, -large, large))


@kernel
def log1p_exp(x: tl.tensor) -> tl.tensor:
    """ln(1 + t), t = e^x, for x <= 0: with Kahan's correction for what 1 + t rounds away."""
    t = tl.exp(x)
    rounded = 1.0 + t
    kept = rounded - 1.0
    return tl.where(kept == 0.0, t, tl.log(rounded) * (t / tl.where(kept == 0.0, 1.0, kept)))


@kernel
def softplus(x: tl.tensor) -> tl.tensor:
    """ln(1 + e^x), without overflow and to its last digits where it is small."""
    return tl.where(x > 0, x, 0.0) + log1p_exp(-tl.abs(x))


@kernel
def sigmoid(x: tl.tensor) -> tl.tensor:
    """1 / (1 + e^-x), the derivative of `softplus`."""
    t = tl.exp(-tl.abs(x))
    return tl.where(x < 0, t, 1.0) / (1.0 + t)
