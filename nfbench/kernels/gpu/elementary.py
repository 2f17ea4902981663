"""Elementary functions for Triton kernels, number by number, accurate to a few roundings in float32 and float64."""

from collections.abc import Callable
from typing import Any

import triton
import triton.language as tl

kernel: Callable[..., Any] = triton.jit  # decorator of kernels and of functions that they call


@kernel
def tanh(x: tl.tensor) -> tl.tensor:
    """Hyperbolic tangent.

    Where |x| < 1/2 it is Lambert's continued fraction, x P(x^2) / Q(x^2), off by 2e-16; elsewhere, for x > 0, it is
    1 - 2 t / (1 + t) with t = e^(-2|x|), exactly 1 in saturation however the device rounds quotients.

    Args:
        x: any shape.

    Returns:
        tanh(x), in the shape of x.
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
    """ln(1 + t) with t = e^x, corrected for the rounding of 1 + t as Kahan does.

    Args:
        x: any shape, not above 0.

    Returns:
        ln(1 + e^x), in the shape of x.
    """
    t = tl.exp(x)
    rounded = 1.0 + t
    added = rounded - 1.0
    return tl.where(added == 0.0, t, tl.log(rounded) * (t / tl.where(added == 0.0, 1.0, added)))


@kernel
def softplus(x: tl.tensor) -> tl.tensor:
    """Softplus, without overflow, and accurate where it is small.

    Args:
        x: any shape.

    Returns:
        ln(1 + e^x), in the shape of x.
    """
    return tl.where(x > 0, x, 0.0) + log1p_exp(-tl.abs(x))


@kernel
def sigmoid(x: tl.tensor) -> tl.tensor:
    """The derivative of `softplus`.

    Args:
        x: any shape.

    Returns:
        1 / (1 + e^-x), in the shape of x.
    """
    t = tl.exp(-tl.abs(x))
    return tl.where(x < 0, t, 1.0) / (1.0 + t)
