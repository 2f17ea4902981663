"""The hyperbolic tangent of four vectors at once."""

from typing import Any

from numba import types
from numba.extending import intrinsic

from nfbench.kernels.simd.arithmetic import Exponential, tanh_constants
from nfbench.kernels.simd.four import Four, Together


@intrinsic
def _tanh(context: Any, one: Any, two: Any, three: Any, four: Any) -> Any:
    """Four vectors; the formula and its accuracy are those of `arithmetic.tanh`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        do = Together(builder, arguments[0].type)
        found = _formula(do, list(arguments), tanh_constants(one.element))
        return context.make_tuple(builder, signature.return_type, found)

    four_of_them: Any = types.UniTuple(one, 4)  # type: ignore[no-untyped-call]
    return four_of_them(one, one, one, one), generate


def _formula(do: Together, x: Four, constants: Exponential) -> Four:
    made, one, two = do.builder, do.real(1), do.real(2)
    power, r, rest = do.exponential(do.each(made.fmul, do.call("fabs", x), do.real(-2)), constants)
    expm1 = do.call("fmuladd", power, do.each(made.fmul, rest, r), do.each(made.fsub, power, one))
    quotient = do.each(made.fdiv, expm1, do.each(made.fadd, two, expm1))
    return do.call("copysign", quotient, x)


tanh: Any = _tanh
