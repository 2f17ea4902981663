"""Arithmetic on four SIMD vectors at once: with one alone the processor would wait for the result of each operation."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from nfbench.kernels.simd.arithmetic import Exponential

get_or_insert_function: Any = cgutils.get_or_insert_function
Four = list[Any]  # four LLVM values of one vector type


class Together:
    """Emits LLVM operations on four vectors of one type, each for all four before the next operation.

    Attributes:
        builder: llvmlite's, at the place where instructions go.
        llvm_type: of a vector of floats.
        integers: of the vector of integers of the same width.
    """

    def __init__(self, builder: Any, llvm_type: Any) -> None:
        self.builder, self.llvm_type = builder, llvm_type
        bits = 32 if isinstance(llvm_type.element, ir.FloatType) else 64
        self.integers = ir.VectorType(ir.IntType(bits), llvm_type.count)

    def each(self, operation: Callable[..., Any], *values: Four) -> Four:
        """`operation(a, b, ...)` for the first vectors of all values, for the second, and so on."""
        return [operation(*operands) for operands in zip(*values, strict=True)]

    def call(self, name: str, *values: Four) -> Four:
        """LLVM's intrinsic function `name` of floats, such as ``fabs``, lane by lane."""
        suffix = f"v{self.llvm_type.count}f{self.integers.element.width}"
        kind = ir.FunctionType(self.llvm_type, [self.llvm_type] * len(values))
        function = get_or_insert_function(self.builder.module, kind, f"llvm.{name}.{suffix}")
        return self.each(lambda *operands: self.builder.call(function, operands), *values)

    def real(self, number: Any) -> Four:
        """Four vectors that hold one float everywhere."""
        return [ir.Constant(self.llvm_type, [float(number)] * self.llvm_type.count)] * 4

    def integer(self, number: Any) -> Four:
        """Four vectors that hold one integer everywhere."""
        return [ir.Constant(self.integers, [int(number)] * self.llvm_type.count)] * 4

    def select(self, sign: str, left: Four, right: Four, then: Four, otherwise: Four) -> Four:
        """`then` where `left < right`, or as `sign` says, else `otherwise`; no comparison with NaN holds."""
        holds = self.each(lambda a, b: self.builder.fcmp_ordered(sign, a, b), left, right)
        return self.each(self.builder.select, holds, then, otherwise)

    def exponential(self, y: Four, c: Exponential) -> tuple[Four, Four, Four]:
        """The vectors 2^n, r and (e^r - 1) / r of e^y = 2^n e^r for y <= 0, by the constants of `arithmetic`."""
        builder = self.builder
        y = self.select("<", y, self.real(c.end), self.real(c.end), y)
        scaled = self.call("fmuladd", y, self.real(c.log2e), self.real(-0.5))
        exponents = self.each(lambda a: builder.fptosi(a, self.integers), scaled)
        n = self.each(lambda a: builder.sitofp(a, self.llvm_type), exponents)
        r = self.call("fmuladd", n, self.real(-c.low), self.call("fmuladd", n, self.real(-c.high), y))
        rest = self.real(c.series[0])
        for term in c.series[1:]:
            rest = self.call("fmuladd", rest, r, self.real(term))
        stored = self.each(builder.add, exponents, self.integer(c.offset))
        bits = self.each(builder.shl, stored, self.integer(c.fraction))
        return self.each(lambda a: builder.bitcast(a, self.llvm_type), bits), r, rest
