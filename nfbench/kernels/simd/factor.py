"""Fraction and exponent of a vector's numbers: `arithmetic.factor` where the compiler is not left to find vectors."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from nfbench.kernels.simd.arithmetic import tanh_constants


@intrinsic
def _factor(context: Any, vector: Any) -> Any:
    """`x >= 0 -> f, e` with x = f 2^e and 1 <= f < 2; what has no such form (0, NaN, infinity) is its own f."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (x,), held, bits = arguments, arguments[0].type, vector.element.bitwidth
        whole, limits = ir.VectorType(ir.IntType(bits), held.count), np.finfo(f"float{bits}")

        def all_of(kind: Any, number: Any) -> Any:
            return ir.Constant(kind, [number] * held.count)

        stored = tanh_constants(vector.element)
        fraction, offset = int(stored.fraction), int(stored.offset)
        pattern = builder.bitcast(x, whole)
        below = builder.and_(pattern, all_of(whole, (1 << fraction) - 1))
        f = builder.bitcast(builder.or_(below, all_of(whole, offset << fraction)), held)
        e = builder.sitofp(builder.sub(builder.lshr(pattern, all_of(whole, fraction)), all_of(whole, offset)), held)
        least, most = (all_of(held, float(limit)) for limit in (limits.tiny, limits.max))
        regular = builder.and_(builder.fcmp_ordered(">=", x, least), builder.fcmp_ordered("<=", x, most))
        found = builder.select(regular, f, x), builder.select(regular, e, all_of(held, 0.0))
        return context.make_tuple(builder, signature.return_type, found)

    two_of_them: Any = types.UniTuple(vector, 2)  # type: ignore[no-untyped-call]
    return two_of_them(vector), generate


factor: Any = _factor
