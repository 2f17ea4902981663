"""The inner step of the log-likelihood of binary pixels (`bernoulli_cpu`), on four SIMD vectors of pixels."""

from typing import Any

from numba import types
from numba.extending import intrinsic

from nfbench.kernels.simd.arithmetic import decay_constants
from nfbench.kernels.simd.four import Four, Together


@intrinsic
def _multiply_in(context: Any, product: Any, positive: Any, logits: Any, x: Any, present: Any) -> Any:
    """Add four vectors of pixels to a running sum of softplus(y), y = (1 - 2 x) l.

    Args:
        context: numba's.
        product: of 1 + e^-|y| over the pixels so far, less 1; four vectors, as all that follow.
        positive: sum of max(y, 0) over the pixels so far.
        logits: l.
        x: 0 or 1.
        present: 1 for a pixel, 0 for a lane without one.

    Returns:
        The new `product` and `positive`, and the derivatives of -softplus(y) in l.
    """
    three: Any = types.UniTuple(product, 3)  # type: ignore[no-untyped-call]

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        operands = [[builder.extract_value(four, place) for place in range(4)] for four in arguments]
        do = Together(builder, operands[0][0].type)
        results = [
            context.make_tuple(builder, product, four) for four in _formula(do, product.dtype.element, *operands)
        ]
        return context.make_tuple(builder, signature.return_type, results)

    return three(product, positive, logits, x, present), generate


def _formula(
    do: Together, element: Any, product: Four, positive: Four, logits: Four, x: Four, present: Four
) -> tuple[Four, Four, Four]:
    builder, zero, one = do.builder, do.real(0), do.real(1)
    minus = do.call("fmuladd", x, do.real(2), do.real(-1))
    y = do.each(builder.fmul, do.each(builder.fmul, minus, do.real(-1)), logits)
    power, r, rest = do.exponential(do.each(builder.fmul, do.call("fabs", y), do.real(-1)), decay_constants(element))
    t = do.each(builder.fmul, power, do.call("fmuladd", rest, r, one))
    upper = do.each(builder.fmul, do.select(">", y, zero, one, t), minus)
    slopes = do.each(builder.fdiv, upper, do.each(builder.fadd, t, one))
    product = do.call("fmuladd", do.each(builder.fmul, t, present), do.each(builder.fadd, product, one), product)
    return product, do.each(builder.fadd, positive, do.select(">", y, zero, y, zero)), slopes


multiply_in: Any = _multiply_in
