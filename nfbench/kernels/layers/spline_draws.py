"""Rational-quadratic splines for many numbers, each with a spline of its own; compiled. Used by `spline_cpu`.

Shapes: x (E,), raw (E, 3 N - 1). The formulas are those of `spline_reference`. `spline_bins` fills a tile of elements
and finds their bins; on the way back the rows of the tile become the gradients in the raw numbers.
"""

from typing import Any

from nfbench.kernels.compiler.decorators import compiled, inlined
from nfbench.kernels.cpu.shares import TILE
from nfbench.kernels.cpu.tiles import empty, room
from nfbench.kernels.layers.spline_bins import (
    H_FIRST,
    H_HERE,
    H_LATER,
    H_SCALE,
    LOG,
    PLACE,
    RAW_0,
    RAW_1,
    ROWS,
    TO_0,
    TO_1,
    TO_X,
    W_BEFORE,
    W_FIRST,
    W_HERE,
    W_LATER,
    W_PART,
    W_SCALE,
    X,
    Y,
    bin_of,
    put,
    search,
    slope_derivative,
)
from nfbench.kernels.layers.spline_reference import LEAST
from nfbench.kernels.simd.log import log


@compiled
def forward(x: Any, raw: Any, bound: Any, y: Any, log_slope: Any, share: Any) -> None:
    """Apply the splines.

    Args:
        x: (E,).
        raw: (E, 3 N - 1).
        bound: the box is [-bound, bound].
        y: (E,), written.
        log_slope: ln dy/dx (E,), written.
        share: which elements.
    """
    _, _, _, start, stop = share
    width, kind = raw.shape[1], x.dtype.type
    bins, numbers = (width + 1) // 3, raw.reshape(raw.size)
    tile, memory = room(width * TILE, x), room(ROWS * TILE, x)
    end, one, two, zero = kind(bound), kind(1), kind(2), kind(0)
    for first in range(start, stop, TILE):
        size = min(TILE, stop - first)
        search(tile, numbers, x[first : first + size], first, bins, bound, memory)
        for n in range(TILE):
            at = memory[X + n]
            xi, y_0, span, height, d_0, d_1 = bin_of(memory, n, bins, bound)
            s, rest = height / span, one - xi
            both = xi * rest
            below = s + (d_0 + d_1 - two * s) * both
            moved = y_0 + height * (s * xi * xi + d_0 * both) / below
            above = d_1 * xi * xi + two * s * both + d_0 * rest * rest
            logarithm = two * log(s / below) + log(above)
            inside = -end < at < end
            memory[Y + n] = moved if inside else at
            memory[LOG + n] = logarithm if inside else zero
        _take(memory, Y, y[first : first + size])
        _take(memory, LOG, log_slope[first : first + size])


@compiled
def backward(x: Any, raw: Any, bound: Any, grad_y: Any, grad_log: Any, to_x: Any, to_raw: Any, share: Any) -> None:
    """Gradients in x and in the raw numbers; the bins are computed anew.

    Args:
        x: (E,).
        raw: (E, 3 N - 1).
        bound: the box is [-bound, bound].
        grad_y: gradient in y (E,).
        grad_log: gradient in ln dy/dx (E,).
        to_x: gradient in x (E,), written.
        to_raw: gradient in raw (E, 3 N - 1), written.
        share: which elements.
    """
    _, _, _, start, stop = share
    width = raw.shape[1]
    bins, numbers, written = (width + 1) // 3, raw.reshape(raw.size), to_raw.reshape(to_raw.size)
    tile, memory = room(width * TILE, x), room(ROWS * TILE, x)
    for first in range(start, stop, TILE):
        size = min(TILE, stop - first)
        search(tile, numbers, x[first : first + size], first, bins, bound, memory)
        put(grad_y[first : first + size], memory, Y)
        put(grad_log[first : first + size], memory, LOG)
        _slopes(memory, bins, bound)
        _spread(tile, bins, memory)
        _take(memory, TO_X, to_x[first : first + size])
        empty(tile, written, first * width, size)


@inlined
def _take(memory: Any, row: Any, numbers: Any) -> None:
    """Copy a row into the numbers of a tile's elements (size,)."""
    for n in range(numbers.shape[0]):
        numbers[n] = memory[row + n]


@inlined
def _slopes(memory: Any, bins: Any, bound: Any) -> None:
    """Gradients in x, in what the knots of the bin are made of, and in the raw slopes at its ends.

    Args:
        memory: after `search`, with the gradients in y and ln dy/dx; changed.
        bins: N.
        bound: of the box.
    """
    kind = memory.dtype.type
    end, zero, one, two = kind(bound), kind(0), kind(1), kind(2)
    free = kind(2 * bound * (1 - bins * LEAST))
    for n in range(TILE):
        inside = -end < memory[X + n] < end
        to_y, to_log = memory[Y + n] if inside else zero, memory[LOG + n] if inside else zero
        xi, _, width, height, d_0, d_1 = bin_of(memory, n, bins, bound)
        s, rest = height / width, one - xi
        both, excess = xi * rest, d_0 + d_1 - two * s
        below, over = s + excess * both, s * xi * xi + d_0 * both
        above = d_1 * xi * xi + two * s * both + d_0 * rest * rest
        share, to_above = over / below, to_log / above
        to_over = to_y * height / below
        to_below = -to_over * share - two * to_log / below
        to_both = to_over * d_0 + to_below * excess + two * s * to_above
        to_s = to_over * xi * xi + to_below * (one - two * both) + two * both * to_above + two * to_log / s
        to_xi = two * s * xi * to_over + to_both * (rest - xi) + two * (d_1 * xi - d_0 * rest) * to_above
        to_height = to_y * share + to_s / width
        across = to_xi / width  # the gradient in x of the spline
        to_width = -to_s * s / width - across * xi
        memory[TO_X + n] = across if inside else memory[Y + n]
        memory[TO_0 + n] = ((to_over + to_below) * both + to_above * rest * rest) * slope_derivative(memory, RAW_0 + n)
        memory[TO_1 + n] = (to_below * both + to_above * xi * xi) * slope_derivative(memory, RAW_1 + n)
        # A width before the bin moves both its knots, its own the right one. At the right end of the box all widths
        # move the knot alike, which the softmax undoes; before the left end there is none.
        _softmax(memory, n, -across, to_width, free, W_SCALE)
        _softmax(memory, n, to_y, to_height, free, H_SCALE)


@inlined
def _softmax(memory: Any, n: Any, before: Any, here: Any, free: Any, scale: Any) -> None:
    """Gradients in exponentials before, in and after an element's bin, as factors of the exponentials themselves.

    Args:
        memory: rows of `W_FIRST` or `H_FIRST` and the two after it are written.
        n: number of the element in its tile.
        before: gradient in a part of the box that lies before the bin.
        here: in the part that is the bin.
        free: how much of the box the exponentials share among them, in units of x.
        scale: `W_SCALE` for widths, `H_SCALE` for heights.
    """
    factor, at = memory[scale + n], (W_FIRST if scale == W_SCALE else H_FIRST) + n
    shift = scale - W_SCALE
    mean = (before * memory[W_BEFORE + shift + n] + here * memory[W_PART + shift + n]) * factor / free
    memory[at] = factor * (before - mean)
    memory[at + TILE] = factor * (here - mean)
    memory[at + 2 * TILE] = -factor * mean


@inlined
def _spread(tile: Any, bins: Any, memory: Any) -> None:
    """Replace exponentials and raw slopes by the gradients in the raw numbers.

    Args:
        tile: after `search`, changed.
        bins: N.
        memory: after `_slopes`.
    """
    kind = tile.dtype.type
    zero = kind(0)
    widths, heights, slopes = tile[: bins * TILE], tile[bins * TILE : 2 * bins * TILE], tile[2 * bins * TILE :]
    for j in range(bins):
        number, here = kind(j), slice(j * TILE, (j + 1) * TILE)
        w, h = widths[here], heights[here]
        for n in range(TILE):
            place = memory[PLACE + n]
            to_w = memory[W_FIRST + n] if number < place else memory[W_HERE + n]
            to_h = memory[H_FIRST + n] if number < place else memory[H_HERE + n]
            w[n] *= memory[W_LATER + n] if number > place else to_w
            h[n] *= memory[H_LATER + n] if number > place else to_h
    for j in range(bins - 1):
        number, following, row = kind(j), kind(j + 1), slopes[j * TILE : (j + 1) * TILE]
        for n in range(TILE):
            place = memory[PLACE + n]
            to_right = memory[TO_1 + n] if place == number else zero
            row[n] = memory[TO_0 + n] if place == following else to_right
