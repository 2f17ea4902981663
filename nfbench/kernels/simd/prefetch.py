"""Prefetch hints for compiled code: the processor starts to read memory that a loop is about to need."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

get_or_insert_function: Any = cgutils.get_or_insert_function
LINE = 64  # bytes of a cache line


def _prefetch(write: int) -> Callable[..., Any]:
    """A function `(array, index)` that asks for the cache line of `array.flat[index]` and does not wait for it.

    Args:
        write: 1 if the line will be written, else 0.
    """

    @intrinsic
    def hint(context: Any, array: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
            place = builder.bitcast(builder.gep(data, [arguments[1]]), cgutils.voidptr_t)
            kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, *[cgutils.int32_t] * 3])
            function = get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
            hints = (write, 3, 1)  # 3: keep it in all caches; 1: it is data, not code
            builder.call(function, [place, *(cgutils.int32_t(hint) for hint in hints)])
            return context.get_dummy_value()

        return types.void(array, types.intp), generate

    return hint


fetch: Any = _prefetch(0)  # before reading
claim: Any = _prefetch(1)  # before writing: the processor reads a cache line before it changes a part of it
