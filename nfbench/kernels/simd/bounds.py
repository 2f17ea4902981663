"""Bounds of SIMD vectors' indices, checked where numba checks its own: with ``NUMBA_BOUNDSCHECK=1``, which CI sets."""

from typing import Any

from numba.core import cgutils, config

unlikely: Any = cgutils.if_unlikely


def check(context: Any, builder: Any, kind: Any, array: Any, index: Any, width: int, count: Any = None) -> None:
    """Emit code that raises an IndexError in the compiled function unless the numbers lie within an array.

    Without the variable nothing is emitted.

    Args:
        context: numba's.
        builder: llvmlite's, at the place where the instructions go.
        kind: numba's type of the array.
        array: its LLVM value.
        index: of the first number in `array.flat`, an LLVM integer.
        width: how many numbers a vector has.
        count: how many of them are read or written, an LLVM integer; None for all.
    """
    if not config.BOUNDSCHECK:  # type: ignore[attr-defined]
        return
    size, zero, most = context.make_array(kind)(context, builder, array).nitems, index.type(0), index.type(width)
    count = most if count is None else builder.select(builder.icmp_signed("<", count, most), count, most)
    before = builder.icmp_signed("<", index, zero)
    behind = builder.icmp_signed(">", builder.add(index, count), size)
    touched = builder.icmp_signed(">", count, zero)
    with unlikely(builder, builder.and_(touched, builder.or_(before, behind))):
        context.call_conv.return_user_exc(builder, IndexError, ("a vector reaches beyond its array",))
