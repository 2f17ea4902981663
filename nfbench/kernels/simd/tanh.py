"""The hyperbolic tangent of four SIMD vectors at once."""

from typing import Any

from numba import types
from numba.extending import intrinsic

from nfbench.kernels.simd.arithmetic import Exponential, tanh_constants
from nfbench.kernels.simd.four import Four, Together


@intrinsic
def _tanh(context: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """The tanh of vectors a, b, c and d, as a tuple; formula and accuracy are those of `arithmetic.tanh`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        do = Together(builder, arguments[0].type)
        values = _formula(do, list(arguments), tanh_constants(a.element))
        return context.make_tuple(builder, signature.return_type, values)

    four_of_them: Any = types.UniTuple(a, 4)  # type: ignore[no-untyped-call]
    return four_of_them(a, a, a, a), generate


def _formula(do: Together, x: Four, constants: Exponential) -> Four:
    """Tanh|x| = -(e^y - 1) / (2 + (e^y - 1)) with y = -2|x|, and the sign of x."""
    builder, one, two = do.builder, do.real(1), do.real(2)
    power, r, rest = do.exponential(do.each(builder.fmul, do.call("fabs", x), do.real(-2)), constants)
    expm1 = do.call("fmuladd", power, do.each(builder.fmul, rest, r), do.each(builder.fsub, power, one))
    quotient = do.each(builder.fdiv, expm1, do.each(builder.fadd, two, expm1))
    return do.call("copysign", quotient, x)


tanh: Any = _tanh
