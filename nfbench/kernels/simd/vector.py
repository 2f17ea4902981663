"""Compiled arithmetic on vectors, for loops that the compiler does not turn into vectors, or not into long ones.

`narrow` vectors are 32 bytes of one float type, 8 numbers of float32 or 4 of float64; `wide` ones 64 bytes where the
processor has such registers. Loops step by their width; in the last step, `count` says how many numbers are left: the
others are read as zeros and not written.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

get_or_insert_function: Any = cgutils.get_or_insert_function
NARROW = 32  # bytes
WIDE = 64 if llvmlite.binding.get_host_cpu_features().get("avx512f") else NARROW
_FAST = ("reassoc", "contract", "arcp", "nsz")  # as in `arithmetic`


class Vector(types.Type):
    """The compiler's type of a vector."""

    def __init__(self, element: Any, size: int) -> None:
        self.element = element
        self.width = 8 * size // element.bitwidth
        super().__init__(f"Vector({element} x {self.width})")


@register_model(Vector)
class _Model(models.PrimitiveModel):
    """How it is held: in one register of the processor."""

    def __init__(self, manager: Any, kind: Vector) -> None:
        element = manager.lookup(kind.element).get_value_type()
        super().__init__(manager, kind, ir.VectorType(element, kind.width))  # type: ignore[no-untyped-call]


class Vectors(NamedTuple):
    """How vectors of one size come to be; what is done with them serves all sizes.

    Attributes:
        width: `array ->` how many of its numbers a vector holds.
        load: `array, index, count ->` the vector of `array.flat[index : index + count]`, contiguous, and zeros.
        spread: `number ->` a vector of it again and again.
        repeat: `array, index ->` the same of `array.flat[index]`, contiguous, with no look at the index' sign.
    """

    width: Callable[..., Any]
    load: Callable[..., Any]
    spread: Callable[..., Any]
    repeat: Callable[..., Any]


def _vectors(size: int) -> Vectors:
    @intrinsic
    def width(context: Any, array: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return context.get_constant(types.intp, Vector(array.dtype, size).width)

        return types.intp(array), generate

    @intrinsic
    def load(context: Any, array: Any, index: Any, count: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            held = context.get_value_type(signature.return_type)
            _wanted(builder, size)
            place = _place(context, builder, signature.args[0], arguments, held)
            mask, align = _first(builder, held, arguments[2]), ir.Constant(ir.IntType(32), array.dtype.bitwidth // 8)
            rest = ir.Constant(held, [0.0] * held.count)
            return _call(builder, f"llvm.masked.load.{_suffix(held)}.p0", held, [place, align, mask, rest])

        return Vector(array.dtype, size)(array, types.intp, types.intp), generate

    @intrinsic
    def spread(context: Any, number: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return _splat(builder, arguments[0], context.get_value_type(signature.return_type).count)

        return Vector(number, size)(number), generate

    @intrinsic
    def repeat(context: Any, array: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            held = context.get_value_type(signature.return_type)
            data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
            return _splat(builder, builder.load(builder.gep(data, [arguments[1]])), held.count)

        return Vector(array.dtype, size)(array, types.intp), generate

    return Vectors(width, load, spread, repeat)


def _wanted(builder: Any, size: int) -> None:
    """Have the function keep vectors of that size whole: for some processors LLVM halves long ones if nobody asks."""
    if size > NARROW:
        set.add(builder.function.attributes, f'"min-legal-vector-width"="{8 * size}"')  # llvmlite knows names only


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
def _fma(context: Any, one: Any, other: Any, more: Any) -> Any:
    """`one other + more`, number by number."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        product = builder.fmul(arguments[0], arguments[1], flags=_FAST)
        return builder.fadd(product, arguments[2], flags=_FAST)

    return one(one, one, one), generate


@intrinsic
def _quotient(context: Any, one: Any, other: Any) -> Any:
    """`one / other`, number by number."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fdiv(*arguments)

    return one(one, one), generate


@intrinsic
def _total(context: Any, vector: Any) -> Any:
    """The sum of the vector's numbers."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        held = context.get_value_type(signature.args[0])
        start = ir.Constant(held.element, -0.0)
        name = f"llvm.vector.reduce.fadd.{_suffix(held)}"
        return _call(builder, name, held.element, [start, arguments[0]], fastmath=_FAST)

    return vector.element(vector), generate


@intrinsic
def _totals(context: Any, array: Any, index: Any, like: Any) -> Any:
    """Of as many vectors as one has numbers, side by side from `array.flat[index]` on, a vector of their sums."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        held, align = context.get_value_type(like), array.dtype.bitwidth // 8
        rows = []
        for row in range(held.count):
            at = builder.add(arguments[1], ir.Constant(arguments[1].type, row * held.count))
            place = _place(context, builder, signature.args[0], [arguments[0], at], held)
            rows.append(builder.load(place, align=align))
        size = 1
        while size < held.count:
            for row in range(0, held.count, 2 * size):
                left, right = _exchanged(builder, rows[row], rows[row + size], size)
                rows[row] = builder.fadd(left, right, flags=_FAST)
            size *= 2
        return rows[0]

    return like(array, types.intp, like), generate


@intrinsic
def _carry(context: Any, source: Any, at: Any, target: Any, to: Any) -> Any:
    """`target.flat[to] = source.flat[at]`, both contiguous, with no look at the index' sign, which costs more."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = [context.make_array(signature.args[i])(context, builder, arguments[i]).data for i in (0, 2)]
        builder.store(builder.load(builder.gep(data[0], [arguments[1]])), builder.gep(data[1], [arguments[3]]))
        return context.get_dummy_value()

    return types.void(source, types.intp, target, types.intp), generate


@intrinsic
def _turn(context: Any, source: Any, at: Any, step: Any, target: Any, to: Any, stride: Any) -> Any:
    """A square of narrow vectors: `target.flat[to + j stride + i] = source.flat[at + i step + j]`, both contiguous."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        held = context.get_value_type(Vector(source.dtype, NARROW))
        side, align = held.count, source.dtype.bitwidth // 8
        from_, at, step, into, to, stride = arguments

        def place(array: Any, data: Any, first: Any, apart: Any, row: int) -> Any:
            index = builder.add(first, builder.mul(apart, ir.Constant(apart.type, row)))
            return _place(context, builder, array, [data, index], held)

        rows = [builder.load(place(source, from_, at, step, row), align=align) for row in range(side)]
        for row, vector in enumerate(_transposed(builder, rows)):
            builder.store(vector, place(target, into, to, stride, row), align=align)
        return context.get_dummy_value()

    return types.void(source, types.intp, types.intp, target, types.intp, types.intp), generate


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """Blocks off the diagonal change places, of one number, of two, of four."""
    size = 1
    while size < len(rows):
        for row in (row for row in range(len(rows)) if not row & size):
            rows[row], rows[row + size] = _exchanged(builder, rows[row], rows[row + size], size)
        size *= 2
    return rows


def _exchanged(builder: Any, above: Any, below: Any, size: int) -> tuple[Any, Any]:
    """Two rows after every second block of `size` numbers of the first has changed places with one of the second."""
    side = above.type.count
    left = [column if not column & size else side + column - size for column in range(side)]
    right = [column + size if not column & size else side + column for column in range(side)]
    return _mixed(builder, above, below, left), _mixed(builder, above, below, right)


def _mixed(builder: Any, one: Any, other: Any, places: list[int]) -> Any:
    return builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(ir.IntType(32), len(places)), places))


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


narrow, wide = _vectors(NARROW), _vectors(WIDE)
store: Any = _store
fma: Any = _fma
quotient: Any = _quotient
total: Any = _total
totals: Any = _totals
carry: Any = _carry
turn: Any = _turn
