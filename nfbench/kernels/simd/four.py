"""Arithmetic on four vectors at once, operation by operation: one alone waits for each of its results."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from nfbench.kernels.simd.arithmetic import Exponential

get_or_insert_function: Any = cgutils.get_or_insert_function
Four = list[Any]


class Together:
    """Operations on vectors of one type, each done for all four before the next."""

    def __init__(self, builder: Any, held: Any) -> None:
        self.builder, self.held = builder, held
        bits = 32 if isinstance(held.element, ir.FloatType) else 64
        self.whole = ir.VectorType(ir.IntType(bits), held.count)

    def each(self, operation: Callable[..., Any], *values: Four) -> Four:
        return [operation(*given) for given in zip(*values, strict=True)]

    def call(self, name: str, *values: Four) -> Four:
        """Of an intrinsic function of numbers, lane by lane."""
        suffix = f"v{self.held.count}f{self.whole.element.width}"
        kind = ir.FunctionType(self.held, [self.held] * len(values))
        function = get_or_insert_function(self.builder.module, kind, f"llvm.{name}.{suffix}")
        return self.each(lambda *given: self.builder.call(function, given), *values)

    def real(self, number: Any) -> Four:
        return [ir.Constant(self.held, [float(number)] * self.held.count)] * 4

    def integer(self, number: Any) -> Four:
        return [ir.Constant(self.whole, [int(number)] * self.held.count)] * 4

    def select(self, sign: str, one: Four, other: Four, then: Four, otherwise: Four) -> Four:
        """`then` where `one < other`, or as the sign says; nothing holds of a NaN."""
        holds = self.each(lambda a, b: self.builder.fcmp_ordered(sign, a, b), one, other)
        return self.each(self.builder.select, holds, then, otherwise)

    def exponential(self, y: Four, c: Exponential) -> tuple[Four, Four, Four]:
        """`y <= 0 -> 2^n, r, (e^r - 1) / r` of e^y = 2^n e^r, as `arithmetic` has them."""
        made = self.builder
        y = self.select("<", y, self.real(c.end), self.real(c.end), y)
        scaled = self.call("fmuladd", y, self.real(c.log2e), self.real(-0.5))
        whole = self.each(lambda a: made.fptosi(a, self.whole), scaled)
        n = self.each(lambda a: made.sitofp(a, self.held), whole)
        r = self.call("fmuladd", n, self.real(-c.low), self.call("fmuladd", n, self.real(-c.high), y))
        rest = self.real(c.series[0])
        for term in c.series[1:]:
            rest = self.call("fmuladd", rest, r, self.real(term))
        bits = self.each(made.shl, self.each(made.add, whole, self.integer(c.offset)), self.integer(c.fraction))
        return self.each(lambda a: made.bitcast(a, self.held), bits), r, rest
