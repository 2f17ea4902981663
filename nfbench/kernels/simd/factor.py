"""Fraction and exponent of the numbers of a SIMD vector: `arithmetic.factor` for vectors."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from nfbench.kernels.simd.arithmetic import tanh_constants


@intrinsic
def _factor(context: Any, vector: Any) -> Any:
    """The vectors f and e of a vector x >= 0: x = f 2^e with 1 <= f < 2, or x and 0 where x is 0, NaN or infinite."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (x,), llvm_type, bits = arguments, arguments[0].type, vector.element.bitwidth
        integers, limits = ir.VectorType(ir.IntType(bits), llvm_type.count), np.finfo(f"float{bits}")

        def splat(kind: Any, number: Any) -> Any:
            return ir.Constant(kind, [number] * llvm_type.count)

        stored = tanh_constants(vector.element)
        fraction, offset = int(stored.fraction), int(stored.offset)
        pattern = builder.bitcast(x, integers)
        below = builder.and_(pattern, splat(integers, (1 << fraction) - 1))
        f = builder.bitcast(builder.or_(below, splat(integers, offset << fraction)), llvm_type)
        e = builder.sitofp(
            builder.sub(builder.lshr(pattern, splat(integers, fraction)), splat(integers, offset)), llvm_type
        )
        least, most = (splat(llvm_type, float(limit)) for limit in (limits.tiny, limits.max))
        regular = builder.and_(builder.fcmp_ordered(">=", x, least), builder.fcmp_ordered("<=", x, most))
        factors = builder.select(regular, f, x), builder.select(regular, e, splat(llvm_type, 0.0))
        return context.make_tuple(builder, signature.return_type, factors)

    two_of_them: Any = types.UniTuple(vector, 2)  # type: ignore[no-untyped-call]
    return two_of_them(vector), generate


factor: Any = _factor
