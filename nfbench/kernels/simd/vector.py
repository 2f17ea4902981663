"""Arithmetic on SIMD vectors in compiled code, for loops that LLVM does not vectorise by itself, or not widely enough.

A `narrow` vector is 32 bytes of one float type: 8 numbers of float32 or 4 of float64. A `wide` vector is 64 bytes where
the processor has AVX-512, else as narrow ones. A loop steps by the vector's width; in its last step `count` says how
many numbers are left: the others are read as zeros and not written.

The functions at the end of this file are numba intrinsics: they are called from compiled code only, and emit LLVM
instructions for whatever array or vector type they are called with. Arrays are contiguous, `array.flat` is meant by an
index, and an index is never negative.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from nfbench.kernels.simd.bounds import check

get_or_insert_function: Any = cgutils.get_or_insert_function
NARROW = 32  # bytes
WIDE = 64 if llvmlite.binding.get_host_cpu_features().get("avx512f") else NARROW
_FAST = ("reassoc", "contract", "arcp", "nsz")  # as in `arithmetic`


class Vector(types.Type):
    """Numba's type of a SIMD vector.

    Args:
        element: numba's float32 or float64.
        size: of the vector, in bytes.

    Attributes:
        width: how many numbers the vector holds.
    """

    def __init__(self, element: Any, size: int) -> None:
        self.element = element
        self.width = 8 * size // element.bitwidth
        super().__init__(f"Vector({element} x {self.width})")


@register_model(Vector)
class _Model(models.PrimitiveModel):
    """How numba holds a `Vector`: as an LLVM vector, in one register of the processor."""

    def __init__(self, manager: Any, kind: Vector) -> None:
        element = manager.lookup(kind.element).get_value_type()
        super().__init__(manager, kind, ir.VectorType(element, kind.width))  # type: ignore[no-untyped-call]


class Vectors(NamedTuple):
    """The functions that make vectors of one size; those that take vectors serve every size.

    Attributes:
        width: `array ->` how many of the array's numbers a vector holds.
        load: `array, index, count ->` the vector of `array.flat[index : index + count]`, filled up with zeros.
        spread: `number ->` a vector that holds the number in every place.
        repeat: `array, index ->` a vector that holds `array.flat[index]` in every place.
    """

    width: Callable[..., Any]
    load: Callable[..., Any]
    spread: Callable[..., Any]
    repeat: Callable[..., Any]


def _vectors(size: int) -> Vectors:
    """The functions for vectors of `size` bytes."""

    @intrinsic
    def width(context: Any, array: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return context.get_constant(types.intp, Vector(array.dtype, size).width)

        return types.intp(array), generate

    @intrinsic
    def load(context: Any, array: Any, index: Any, count: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            llvm_type = context.get_value_type(signature.return_type)
            _require_width(builder, size)
            place = _pointer(context, builder, signature.args[0], arguments, llvm_type, arguments[2])
            mask, align = (
                _mask(builder, llvm_type, arguments[2]),
                ir.Constant(ir.IntType(32), array.dtype.bitwidth // 8),
            )
            rest = ir.Constant(llvm_type, [0.0] * llvm_type.count)
            return _call(builder, f"llvm.masked.load.{_suffix(llvm_type)}.p0", llvm_type, [place, align, mask, rest])

        return Vector(array.dtype, size)(array, types.intp, types.intp), generate

    @intrinsic
    def spread(context: Any, number: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return _splat(builder, arguments[0], context.get_value_type(signature.return_type).count)

        return Vector(number, size)(number), generate

    @intrinsic
    def repeat(context: Any, array: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            llvm_type = context.get_value_type(signature.return_type)
            check(context, builder, signature.args[0], arguments[0], arguments[1], 1)
            data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
            return _splat(builder, builder.load(builder.gep(data, [arguments[1]])), llvm_type.count)

        return Vector(array.dtype, size)(array, types.intp), generate

    return Vectors(width, load, spread, repeat)


def _require_width(builder: Any, size: int) -> None:
    """Ask LLVM to keep vectors of `size` bytes whole: for some processors it splits wide ones unless told not to."""
    if size > NARROW:
        set.add(builder.function.attributes, f'"min-legal-vector-width"="{8 * size}"')  # llvmlite knows names only


@intrinsic
def _store(context: Any, array: Any, index: Any, count: Any, vector: Any) -> Any:
    """Write the vector's first `count` numbers to `array.flat[index : index + count]`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        llvm_type = context.get_value_type(signature.args[3])
        place = _pointer(context, builder, signature.args[0], arguments, llvm_type, arguments[2])
        mask, align = _mask(builder, llvm_type, arguments[2]), ir.Constant(ir.IntType(32), array.dtype.bitwidth // 8)
        _call(builder, f"llvm.masked.store.{_suffix(llvm_type)}.p0", ir.VoidType(), [arguments[3], place, align, mask])
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, vector), generate


@intrinsic
def _fma(context: Any, a: Any, b: Any, c: Any) -> Any:
    """The vector a b + c, in one rounding where the processor can (fused multiply-add)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        product = builder.fmul(arguments[0], arguments[1], flags=_FAST)
        return builder.fadd(product, arguments[2], flags=_FAST)

    return a(a, a, a), generate


@intrinsic
def _quotient(context: Any, a: Any, b: Any) -> Any:
    """The vector a / b."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fdiv(*arguments)

    return a(a, a), generate


@intrinsic
def _total(context: Any, vector: Any) -> Any:
    """The sum of the numbers of one vector."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        llvm_type = context.get_value_type(signature.args[0])
        start = ir.Constant(llvm_type.element, -0.0)
        name = f"llvm.vector.reduce.fadd.{_suffix(llvm_type)}"
        return _call(builder, name, llvm_type.element, [start, arguments[0]], fastmath=_FAST)

    return vector.element(vector), generate


@intrinsic
def _totals(context: Any, array: Any, index: Any, like: Any) -> Any:
    """The sums of W vectors of W numbers, side by side from `array.flat[index]` on, as one vector like `like`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        llvm_type, align = context.get_value_type(like), array.dtype.bitwidth // 8
        rows = []
        for row in range(llvm_type.count):
            at = builder.add(arguments[1], ir.Constant(arguments[1].type, row * llvm_type.count))
            place = _pointer(context, builder, signature.args[0], [arguments[0], at], llvm_type)
            rows.append(builder.load(place, align=align))
        size = 1
        while size < llvm_type.count:
            for row in range(0, llvm_type.count, 2 * size):
                left, right = _swap_blocks(builder, rows[row], rows[row + size], size)
                rows[row] = builder.fadd(left, right, flags=_FAST)
            size *= 2
        return rows[0]

    return like(array, types.intp, like), generate


@intrinsic
def _carry(context: Any, source: Any, at: Any, target: Any, to: Any) -> Any:
    """Copy one number: `target.flat[to] = source.flat[at]`, without numba's check for a negative index."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        for i in (0, 2):
            check(context, builder, signature.args[i], arguments[i], arguments[i + 1], 1)
        data = [context.make_array(signature.args[i])(context, builder, arguments[i]).data for i in (0, 2)]
        builder.store(builder.load(builder.gep(data[0], [arguments[1]])), builder.gep(data[1], [arguments[3]]))
        return context.get_dummy_value()

    return types.void(source, types.intp, target, types.intp), generate


@intrinsic
def _turn(context: Any, source: Any, at: Any, step: Any, target: Any, to: Any, stride: Any) -> Any:
    """Transpose a square of narrow vectors: `target.flat[to + j stride + i] = source.flat[at + i step + j]`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        llvm_type = context.get_value_type(Vector(source.dtype, NARROW))
        side, align = llvm_type.count, source.dtype.bitwidth // 8
        from_, at, step, into, to, stride = arguments

        def place(array: Any, data: Any, first: Any, apart: Any, row: int) -> Any:
            index = builder.add(first, builder.mul(apart, ir.Constant(apart.type, row)))
            return _pointer(context, builder, array, [data, index], llvm_type)

        rows = [builder.load(place(source, from_, at, step, row), align=align) for row in range(side)]
        for row, vector in enumerate(_transposed(builder, rows)):
            builder.store(vector, place(target, into, to, stride, row), align=align)
        return context.get_dummy_value()

    return types.void(source, types.intp, types.intp, target, types.intp, types.intp), generate


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """Transpose a square of vectors: off-diagonal blocks of one number, then of two, of four, change places."""
    size = 1
    while size < len(rows):
        for row in (row for row in range(len(rows)) if not row & size):
            rows[row], rows[row + size] = _swap_blocks(builder, rows[row], rows[row + size], size)
        size *= 2
    return rows


def _swap_blocks(builder: Any, above: Any, below: Any, size: int) -> tuple[Any, Any]:
    """Swap every second block of `size` numbers of the row above with the block before it of the row below."""
    side = above.type.count
    left = [column if not column & size else side + column - size for column in range(side)]
    right = [column + size if not column & size else side + column for column in range(side)]
    return _shuffled(builder, above, below, left), _shuffled(builder, above, below, right)


def _shuffled(builder: Any, left: Any, right: Any, places: list[int]) -> Any:
    """The vector whose i-th number is number `places[i]` of `left` followed by `right`."""
    return builder.shuffle_vector(left, right, ir.Constant(ir.VectorType(ir.IntType(32), len(places)), places))


def _pointer(context: Any, builder: Any, array: Any, arguments: Any, llvm_type: Any, count: Any = None) -> Any:
    """The address of `array.flat[index]`, of which `count` numbers (None: all) of a vector are touched, as a pointer.

    The first two of `arguments` are the array and the index.
    """
    check(context, builder, array, arguments[0], arguments[1], llvm_type.count, count)
    data = context.make_array(array)(context, builder, arguments[0]).data
    return builder.bitcast(builder.gep(data, [arguments[1]]), llvm_type.as_pointer())


def _mask(builder: Any, llvm_type: Any, count: Any) -> Any:
    """A mask (vector of bits) that is set for the first `count` numbers of a vector."""
    count = builder.trunc(count, ir.IntType(32))
    numbers = ir.Constant(ir.VectorType(count.type, llvm_type.count), list(range(llvm_type.count)))
    return builder.icmp_signed("<", numbers, _splat(builder, count, llvm_type.count))


def _splat(builder: Any, number: Any, count: int) -> Any:
    """A vector of `count` times the same number."""
    empty = ir.Constant(ir.VectorType(number.type, count), ir.Undefined)
    first = builder.insert_element(empty, number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(ir.IntType(32), count), [0] * count))


def _suffix(llvm_type: Any) -> str:
    """How LLVM writes a vector type in the name of an intrinsic: ``v8f32``."""
    return f"v{llvm_type.count}{'f32' if isinstance(llvm_type.element, ir.FloatType) else 'f64'}"


def _call(builder: Any, name: str, result: Any, operands: list[Any], **options: Any) -> Any:
    """Call the LLVM function `name`, whose result has the type `result`."""
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
