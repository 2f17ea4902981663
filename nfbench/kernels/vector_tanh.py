"""The hyperbolic tangent of four vectors at once, operation by operation: one alone waits for each of its results."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from nfbench.kernels.arithmetic import tanh_constants

get_or_insert_function: Any = cgutils.get_or_insert_function


@intrinsic
def _tanh(context: Any, one: Any, two: Any, three: Any, four: Any) -> Any:
    """Four vectors; the formula and its accuracy are those of `arithmetic.tanh`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        found = _formula(_Together(builder, arguments[0].type, one.element), list(arguments))
        return context.make_tuple(builder, signature.return_type, found)

    four_of_them: Any = types.UniTuple(one, 4)  # type: ignore[no-untyped-call]
    return four_of_them(one, one, one, one), generate


class _Together:
    """Operations on several vectors of one type, each done for all of them before the next."""

    def __init__(self, builder: Any, held: Any, element: Any) -> None:
        self.builder, self.held = builder, held
        self.constants = tanh_constants(element)
        self.whole = ir.VectorType(ir.IntType(element.bitwidth), held.count)

    def each(self, operation: Callable[..., Any], *values: list[Any], **options: Any) -> list[Any]:
        return [operation(*given, **options) for given in zip(*values, strict=True)]

    def call(self, name: str, *values: list[Any]) -> list[Any]:
        """Of an intrinsic function of numbers, lane by lane."""
        suffix = f"v{self.held.count}f{self.whole.element.width}"
        kind = ir.FunctionType(self.held, [self.held] * len(values))
        function = get_or_insert_function(self.builder.module, kind, f"llvm.{name}.{suffix}")
        return self.each(lambda *given: self.builder.call(function, given), *values)

    def real(self, number: Any) -> list[Any]:
        return [ir.Constant(self.held, [float(number)] * self.held.count)] * 4

    def integer(self, number: Any) -> list[Any]:
        return [ir.Constant(self.whole, [int(number)] * self.held.count)] * 4


def _formula(do: _Together, x: list[Any]) -> list[Any]:
    made, c = do.builder, do.constants
    one, two = do.real(1), do.real(2)
    y = do.each(made.fmul, do.call("fabs", x), do.real(-2))
    y = do.each(made.select, do.each(lambda a, b: made.fcmp_ordered("<", a, b), y, do.real(c.end)), do.real(c.end), y)
    whole = do.each(lambda a: made.fptosi(a, do.whole), do.call("fmuladd", y, do.real(c.log2e), do.real(-0.5)))
    n = do.each(lambda a: made.sitofp(a, do.held), whole)
    r = do.call("fmuladd", n, do.real(-c.low), do.call("fmuladd", n, do.real(-c.high), y))
    rest = do.real(c.series[0])
    for term in c.series[1:]:
        rest = do.call("fmuladd", rest, r, do.real(term))
    bits = do.each(made.shl, do.each(made.add, whole, do.integer(c.offset)), do.integer(c.fraction))
    power = do.each(lambda a: made.bitcast(a, do.held), bits)
    expm1 = do.call("fmuladd", power, do.each(made.fmul, rest, r), do.each(made.fsub, power, one))
    quotient = do.each(made.fdiv, expm1, do.each(made.fadd, two, expm1))
    return do.call("copysign", quotient, x)


tanh: Any = _tanh
