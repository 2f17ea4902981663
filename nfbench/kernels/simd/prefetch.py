"""Compiled hints to the processor: what memory a loop is about to need."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

get_or_insert_function: Any = cgutils.get_or_insert_function
LINE = 64  # bytes of memory that come together, to an address that is a multiple


def _fetch(write: int) -> Callable[..., Any]:
    """`array, index`: ask for the memory line of `array.flat[index]`, of a contiguous array, without waiting for it."""

    @intrinsic
    def hint(context: Any, array: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
            place = builder.bitcast(builder.gep(data, [arguments[1]]), cgutils.voidptr_t)
            kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, *[cgutils.int32_t] * 3])
            function = get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
            hints = (write, 3, 1)  # keep it, it is data
            builder.call(function, [place, *(cgutils.int32_t(hint) for hint in hints)])
            return context.get_dummy_value()

        return types.void(array, types.intp), generate

    return hint


fetch: Any = _fetch(0)
claim: Any = _fetch(1)  # to write there: the processor reads a line before it changes a part of it
