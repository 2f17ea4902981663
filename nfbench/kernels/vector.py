"""Compiled arithmetic on short vectors, for loops that are too short for the compiler to make vectors of by itself.

A `Vector` is 32 bytes of one float type: 8 numbers of float32, 4 of float64. Loops over D step by its width; in their
last step, `count` says how many numbers are left: the others are read as zeros and not written.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

get_or_insert_function: Any = cgutils.get_or_insert_function
BYTES = 32  # of a vector
_FAST = ("reassoc", "contract", "arcp", "nsz")  # as in `arithmetic`


class Vector(types.Type):
    """The compiler's type of a vector."""

    def __init__(self, element: Any) -> None:
        self.element = element
        self.width = 8 * BYTES // element.bitwidth
        super().__init__(f"Vector({element} x {self.width})")


@register_model(Vector)
class _Model(models.PrimitiveModel):
    """How it is held: in one register of the processor."""

    def __init__(self, manager: Any, kind: Vector) -> None:
        element = manager.lookup(kind.element).get_value_type()
        super().__init__(manager, kind, ir.VectorType(element, kind.width))  # type: ignore[no-untyped-call]


@intrinsic
def _width(context: Any, array: Any) -> Any:
    """How many of the array's numbers a vector holds."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.get_constant(types.intp, Vector(array.dtype).width)

    return types.intp(array), generate


@intrinsic
def _load(context: Any, array: Any, index: Any, count: Any) -> Any:
    """`array.flat[index : index + count]` of a contiguous array, and zeros."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        held = context.get_value_type(signature.return_type)
        place = _place(context, builder, signature.args[0], arguments, held)
        mask, align = _first(builder, held, arguments[2]), ir.Constant(ir.IntType(32), array.dtype.bitwidth // 8)
        return _call(
            builder,
            f"llvm.masked.load.{_suffix(held)}.p0",
            held,
            [place, align, mask, ir.Constant(held, [0.0] * held.count)],
        )

    return Vector(array.dtype)(array, types.intp, types.intp), generate


@intrinsic
def _store(context: Any, array: Any, index: Any, count: Any, vector: Any) -> Any:
    """`array.flat[index : index + count]` of a contiguous array becomes the vector's first numbers."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        held = context.get_value_type(signature.args[3])
        place = _place(context, builder, signature.args[0], arguments, held)
        mask, align = _first(builder, held, arguments[2]), ir.Constant(ir.IntType(32), array.dtype.bitwidth // 8)
        _call(builder, f"llvm.masked.store.{_suffix(held)}.p0", ir.VoidType(), [arguments[3], place, align, mask])
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, vector), generate


@intrinsic
def _spread(context: Any, number: Any) -> Any:
    """A vector of the number again and again."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _splat(builder, arguments[0], context.get_value_type(signature.return_type).count)

    return Vector(number)(number), generate


@intrinsic
def _fma(context: Any, one: Any, other: Any, more: Any) -> Any:
    """`one other + more`, number by number."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        product = builder.fmul(arguments[0], arguments[1], flags=_FAST)
        return builder.fadd(product, arguments[2], flags=_FAST)

    return one(one, one, one), generate


@intrinsic
def _total(context: Any, vector: Any) -> Any:
    """The sum of the vector's numbers."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        held = context.get_value_type(signature.args[0])
        start = ir.Constant(held.element, -0.0)
        name = f"llvm.vector.reduce.fadd.{_suffix(held)}"
        return _call(builder, name, held.element, [start, arguments[0]], fastmath=_FAST)

    return vector.element(vector), generate


def _place(context: Any, builder: Any, array: Any, arguments: Any, held: Any) -> Any:
    data = context.make_array(array)(context, builder, arguments[0]).data
    return builder.bitcast(builder.gep(data, [arguments[1]]), held.as_pointer())


def _first(builder: Any, held: Any, count: Any) -> Any:
    """Which of a vector's numbers are among the first `count`."""
    count = builder.trunc(count, ir.IntType(32))
    numbers = ir.Constant(ir.VectorType(count.type, held.count), list(range(held.count)))
    return builder.icmp_signed("<", numbers, _splat(builder, count, held.count))


def _splat(builder: Any, number: Any, count: int) -> Any:
    empty = ir.Constant(ir.VectorType(number.type, count), ir.Undefined)
    first = builder.insert_element(empty, number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(ir.IntType(32), count), [0] * count))


def _suffix(held: Any) -> str:
    return f"v{held.count}{'f32' if isinstance(held.element, ir.FloatType) else 'f64'}"


def _call(builder: Any, name: str, result: Any, operands: list[Any], **options: Any) -> Any:
    kind = ir.FunctionType(result, [operand.type for operand in operands])
    return builder.call(get_or_insert_function(builder.module, kind, name), operands, **options)


width: Any = _width
load: Any = _load
store: Any = _store
spread: Any = _spread
fma: Any = _fma
total: Any = _total
