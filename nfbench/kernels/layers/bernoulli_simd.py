"""What binary pixels' likelihood takes of four vectors of pixels at once; formulas: `bernoulli_cpu`."""

from typing import Any

from numba import types
from numba.extending import intrinsic

from nfbench.kernels.simd.arithmetic import decay_constants
from nfbench.kernels.simd.four import Four, Together


@intrinsic
def _gathered(context: Any, product: Any, positive: Any, logits: Any, x: Any, there: Any) -> Any:
    """`product` and `positive` of the pixels so far and of these, where `there` is 1 and not 0, and their slopes.

    A slope is the derivative of -softplus((1 - 2 x) l) in l.
    """
    three: Any = types.UniTuple(product, 3)  # type: ignore[no-untyped-call]

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        given = [[builder.extract_value(four, place) for place in range(4)] for four in arguments]
        do = Together(builder, given[0][0].type)
        found = [context.make_tuple(builder, product, four) for four in _formula(do, product.dtype.element, *given)]
        return context.make_tuple(builder, signature.return_type, found)

    return three(product, positive, logits, x, there), generate


def _formula(
    do: Together, element: Any, product: Four, positive: Four, logits: Four, x: Four, there: Four
) -> tuple[Four, Four, Four]:
    made, zero, one = do.builder, do.real(0), do.real(1)
    minus = do.call("fmuladd", x, do.real(2), do.real(-1))
    y = do.each(made.fmul, do.each(made.fmul, minus, do.real(-1)), logits)
    power, r, rest = do.exponential(do.each(made.fmul, do.call("fabs", y), do.real(-1)), decay_constants(element))
    t = do.each(made.fmul, power, do.call("fmuladd", rest, r, one))
    upper = do.each(made.fmul, do.select(">", y, zero, one, t), minus)
    slopes = do.each(made.fdiv, upper, do.each(made.fadd, t, one))
    product = do.call("fmuladd", do.each(made.fmul, t, there), do.each(made.fadd, product, one), product)
    return product, do.each(made.fadd, positive, do.select(">", y, zero, y, zero)), slopes


gathered: Any = _gathered
