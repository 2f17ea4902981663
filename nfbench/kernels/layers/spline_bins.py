"""The bin of a rational-quadratic spline that each of many numbers lies in; compiled. Used by `spline_draws`.

A tile holds the raw numbers of TILE elements transposed: N rows of widths, N of heights and N - 1 of slopes. Widths and
heights become e^(raw - largest). What else an element needs lies in `memory`, a row of TILE numbers for each quantity.
"""

from typing import Any

from nfbench.kernels.compiler.decorators import inlined
from nfbench.kernels.cpu.shares import TILE
from nfbench.kernels.cpu.tiles import fill
from nfbench.kernels.layers.spline_reference import LEAST, LINEAR, UNIT_SLOPE
from nfbench.kernels.simd.arithmetic import decay, sigmoid, softplus

# Indices of the rows of `memory`: one array, as LLVM would have to assume that separate ones overlap. x; the number of
# the bin, 0 to N - 1; of widths, then of heights: 2 bound (1 - N LEAST) over the sum of all exponentials, their sum up
# to the bin that is looked at, that up to the bin of x, and the exponential of the bin; the raw slopes at its ends.
X, PLACE, W_SCALE, W_SUM, W_BEFORE, W_PART = (TILE * place for place in range(6))
H_SCALE, H_SUM, H_BEFORE, H_PART, RAW_0, RAW_1 = (TILE * place for place in range(6, 12))
# Of the results: y and ln dy/dx, on the way back the gradients in them; then the gradients in x, in the raw slopes,
# and in an exponential of a width, as the softmax makes it, before the bin, in it and after it; likewise of a height.
Y, LOG, TO_X, TO_0, TO_1 = (TILE * place for place in range(12, 17))
W_FIRST, W_HERE, W_LATER, H_FIRST, H_HERE, H_LATER = (TILE * place for place in range(17, 23))
ROWS = 23


@inlined
def search(tile: Any, raw: Any, x: Any, first: Any, bins: Any, bound: Any, memory: Any) -> None:
    """Fill a tile and find the bin of each element.

    Args:
        tile: ((3 N - 1) TILE,), written.
        raw: numbers of all elements, flat.
        x: of the tile's elements (size,).
        first: number of the tile's first element.
        bins: N.
        bound: of the box.
        memory: written but for the results.
    """
    kind = tile.dtype.type
    fill(tile, raw, first * (3 * bins - 1), x.shape[0])
    put(x, memory, X)
    widths, heights, slopes = tile[: bins * TILE], tile[bins * TILE : 2 * bins * TILE], tile[2 * bins * TILE :]
    free, zero = kind(2 * bound * (1 - bins * LEAST)), kind(0)
    _exponentials(widths, bins, memory, W_SUM, W_SCALE)
    _exponentials(heights, bins, memory, H_SUM, H_SCALE)
    for n in range(TILE):
        memory[W_SCALE + n], memory[H_SCALE + n] = free / memory[W_SCALE + n], free / memory[H_SCALE + n]
        memory[PLACE + n] = memory[W_BEFORE + n] = memory[H_BEFORE + n] = zero
    for n in range(TILE):
        memory[W_SUM + n] = memory[W_PART + n] = widths[n]
        memory[H_SUM + n] = memory[H_PART + n] = heights[n]
        memory[RAW_0 + n] = memory[RAW_1 + n] = slopes[n]
    for k in range(1, bins):
        here, least = slice(k * TILE, (k + 1) * TILE), kind(2 * bound * LEAST * k - bound)
        left, right = slopes[(k - 1) * TILE : k * TILE], slopes[min(k, bins - 2) * TILE : min(k + 1, bins - 1) * TILE]
        _enter(widths[here], heights[here], left, right, least, kind(k), memory)


@inlined
def _exponentials(rows: Any, bins: Any, memory: Any, top: Any, total: Any) -> None:
    """Replace rows (N TILE,) by e^(row - largest); `memory` gets the largest and the sum in rows `top` and `total`."""
    kind = rows.dtype.type
    for n in range(TILE):
        memory[top + n], memory[total + n] = rows[n], kind(0)
    for j in range(1, bins):
        row = rows[j * TILE : (j + 1) * TILE]
        for n in range(TILE):
            memory[top + n] = row[n] if row[n] > memory[top + n] else memory[top + n]
    for j in range(bins):
        row = rows[j * TILE : (j + 1) * TILE]
        for n in range(TILE):
            power = decay(row[n] - memory[top + n])
            row[n] = power
            memory[total + n] += power


@inlined
def _enter(widths: Any, heights: Any, left: Any, right: Any, least: Any, place: Any, memory: Any) -> None:
    """Take the next bin for the elements whose x is not below its left knot.

    Args:
        widths: exponentials of the bin's width (TILE,).
        heights: likewise.
        left: raw slopes at its left knot (TILE,).
        right: at its right knot, any for the last bin.
        least: where the knot is if all exponentials before it are zero.
        place: number of the bin.
        memory: changed.
    """
    for n in range(TILE):
        w, h, d_0, d_1 = widths[n], heights[n], left[n], right[n]
        before_w, before_h = memory[W_SUM + n], memory[H_SUM + n]
        here = memory[X + n] >= least + before_w * memory[W_SCALE + n]
        memory[PLACE + n] = place if here else memory[PLACE + n]
        memory[W_BEFORE + n] = before_w if here else memory[W_BEFORE + n]
        memory[H_BEFORE + n] = before_h if here else memory[H_BEFORE + n]
        memory[W_PART + n] = w if here else memory[W_PART + n]
        memory[H_PART + n] = h if here else memory[H_PART + n]
        memory[RAW_0 + n] = d_0 if here else memory[RAW_0 + n]
        memory[RAW_1 + n] = d_1 if here else memory[RAW_1 + n]
        memory[W_SUM + n], memory[H_SUM + n] = before_w + w, before_h + h


@inlined
def bin_of(memory: Any, n: Any, bins: Any, bound: Any) -> Any:
    """The bin of an element.

    Args:
        memory: after `search`.
        n: number of the element in its tile.
        bins: N.
        bound: of the box.

    Returns:
        xi, and of the bin y_0, width, height, d_0 and d_1.
    """
    kind = memory.dtype.type
    end, step, one = kind(bound), kind(2 * bound * LEAST), kind(1)
    x, place = memory[X + n], memory[PLACE + n]
    first, last = place == kind(0), place == kind(bins - 1)
    after_w, after_h = memory[W_BEFORE + n] + memory[W_PART + n], memory[H_BEFORE + n] + memory[H_PART + n]
    least, next_least = place * step - end, (place + one) * step - end
    x_0 = -end if first else least + memory[W_BEFORE + n] * memory[W_SCALE + n]
    y_0 = -end if first else least + memory[H_BEFORE + n] * memory[H_SCALE + n]
    x_1 = end if last else next_least + after_w * memory[W_SCALE + n]
    y_1 = end if last else next_least + after_h * memory[H_SCALE + n]
    d_0 = one if first else _slope(memory, RAW_0 + n)
    d_1 = one if last else _slope(memory, RAW_1 + n)
    x = end if x > end else x
    x = -end if x < -end else x
    return (x - x_0) / (x_1 - x_0), y_0, x_1 - x_0, y_1 - y_0, d_0, d_1


@inlined
def _slope(memory: Any, at: Any) -> Any:
    """The slope at an inner knot: LEAST + softplus(raw + UNIT_SLOPE), as torch has it, which is linear from 20 on."""
    kind = memory.dtype.type
    moved = memory[at] + kind(UNIT_SLOPE)
    return kind(LEAST) + (moved if moved > kind(LINEAR) else softplus(moved))


@inlined
def slope_derivative(memory: Any, at: Any) -> Any:
    """The derivative of the slope at an inner knot in its raw number.

    Args:
        memory: after `search`.
        at: index of the raw number.

    Returns:
        The derivative.
    """
    kind = memory.dtype.type
    moved = memory[at] + kind(UNIT_SLOPE)
    return kind(1) if moved > kind(LINEAR) else sigmoid(moved)


@inlined
def put(numbers: Any, memory: Any, row: Any) -> None:
    """Copy a number of each of a tile's elements into a row, and zeros behind them.

    Args:
        numbers: (size,).
        memory: changed.
        row: index where the row begins.
    """
    nothing = memory.dtype.type(0)
    for n in range(TILE):
        memory[row + n] = nothing
    for n in range(numbers.shape[0]):
        memory[row + n] = numbers[n]
