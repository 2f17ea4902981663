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

    Args:
        builder: llvmlite's, at the place where instructions go.
        llvm_type: of a vector of floats.

    Attributes:
        integers: the type of a vector of as many integers of the same width.
    """

    def __init__(self, builder: Any, llvm_type: Any) -> None:
        self.builder, self.llvm_type = builder, llvm_type
        bits = 32 if isinstance(llvm_type.element, ir.FloatType) else 64
        self.integers = ir.VectorType(ir.IntType(bits), llvm_type.count)

    def each(self, operation: Callable[..., Any], *values: Four) -> Four:
        """Apply an operation to the first vectors of all values, then to the second ones, and so on.

        Args:
            operation: emits code for one vector of each value, and returns a vector.
            values: its operands, four vectors each.

        Returns:
            Its four results.
        """
        return [operation(*operands) for operands in zip(*values, strict=True)]

    def call(self, name: str, *values: Four) -> Four:
        """Call one of LLVM's intrinsic functions of floats, lane by lane.

        Args:
            name: of the function, such as ``fabs``.
            values: its arguments, four vectors of floats each.

        Returns:
            Its four results.
        """
        suffix = f"v{self.llvm_type.count}f{self.integers.element.width}"
        kind = ir.FunctionType(self.llvm_type, [self.llvm_type] * len(values))
        function = get_or_insert_function(self.builder.module, kind, f"llvm.{name}.{suffix}")
        return self.each(lambda *operands: self.builder.call(function, operands), *values)

    def real(self, number: Any) -> Four:
        """The same float in all lanes.

        Args:
            number: the float.

        Returns:
            Four equal vectors.
        """
        return [ir.Constant(self.llvm_type, [float(number)] * self.llvm_type.count)] * 4

    def integer(self, number: Any) -> Four:
        """The same integer in all lanes.

        Args:
            number: the integer.

        Returns:
            Four equal vectors.
        """
        return [ir.Constant(self.integers, [int(number)] * self.llvm_type.count)] * 4

    def select(self, sign: str, left: Four, right: Four, then: Four, otherwise: Four) -> Four:
        """Choose between two values, lane by lane.

        Args:
            sign: of the comparison, such as ``<``.
            left: its left side.
            right: its right side.
            then: taken where it holds.
            otherwise: taken where it does not, or where a side is NaN.

        Returns:
            What is taken, four vectors.
        """
        holds = self.each(lambda a, b: self.builder.fcmp_ordered(sign, a, b), left, right)
        return self.each(self.builder.select, holds, then, otherwise)

    def exponential(self, y: Four, c: Exponential) -> tuple[Four, Four, Four]:
        """Emit e^y = 2^n e^r, where |r| = |y - n ln 2| <= ln 2 / 2.

        Args:
            y: floats, not above 0.
            c: constants of `arithmetic` for the floats' type.

        Returns:
            2^n, r and (e^r - 1) / r, four vectors each.
        """
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
