"""The natural logarithm for compiled loops, in float32 and float64, written so that LLVM can vectorise it.

A loop with a call of the C library's logarithm is not vectorised.
"""

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import types
from numba.extending import overload

from nfbench.kernels.compiler.decorators import FLAGS
from nfbench.kernels.simd.arithmetic import factor

_TERMS = {types.float32: 5, types.float64: 11}  # of the series, so that the next one is below the rounding


def log(x: float) -> float:
    """Natural logarithm, `x -> ln x`; -inf for 0 and for subnormal numbers, NaN below 0."""
    return math.log(x)


@overload(log, jit_options={"fastmath": FLAGS})
def _(x: Any) -> Callable[[Any], Any]:
    """With x = f 2^e and sqrt(1/2) < f <= sqrt(2): ln x = 2 artanh(r) + e ln 2, r = (f - 1) / (f + 1)."""
    real: Any = {types.float32: np.float32, types.float64: np.float64}[x]
    artanh = tuple(real(2 / (2 * k + 1)) for k in reversed(range(_TERMS[x])))
    zero, half, one, root, ln2 = (real(number) for number in (0, 0.5, 1, math.sqrt(2), math.log(2)))
    smallest, largest, infinite, undefined = np.finfo(real).tiny, np.finfo(real).max, real(np.inf), real(np.nan)

    def implementation(x: Any) -> Any:
        f, e = factor(x)
        large = f > root
        f, e = half * f if large else f, e + one if large else e
        r = (f - one) / (f + one)
        square, rest = r * r, artanh[0]
        for term in numba.literal_unroll(artanh[1:]):
            rest = rest * square + term
        lower = undefined if x < zero else -infinite
        special = lower if x < smallest else x
        return e * ln2 + r * rest if smallest <= x <= largest else special

    return implementation
