"""A network with one hidden tanh layer on one tile of draws, forward and back; compiled. What its kernels share.

Shapes as in `perceptron_draws`, of one group; tiles and rows that are used as in `nfbench.kernels.cpu.hidden_units`.
"""

from typing import Any

from nfbench.kernels.compiler.decorators import inlined
from nfbench.kernels.cpu.hidden_units import (
    activate,
    add_shifts,
    products,
    rows_of_biases,
    slopes,
    sums,
    sums_of_rows,
)
from nfbench.kernels.cpu.shares import TILE


@inlined
def hidden_layer(tile: Any, inner: Any, bias: Any, ins: Any, first: Any, size: Any, units: Any) -> None:
    """Compute the hidden units, tanh(x A + b).

    Args:
        tile: (I TILE,) at least, x.
        inner: A (I, H).
        bias: b (R, H).
        ins: the rows of A.
        first: number of the tile's first draw among all draws.
        size: draws of the tile.
        units: ((H + 1) TILE,), written.
    """
    hidden = inner.shape[1]
    rows_of_biases(units[: hidden * TILE], bias, first, size)
    products(tile, inner, ins, units)
    activate(units, hidden)


@inlined
def last_layer(units: Any, outer: Any, shift: Any, outs: Any, first: Any, size: Any, numbers: Any) -> None:
    """Compute what the network does of its hidden units h, h C + c.

    Args:
        units: ((H + 1) TILE,), h.
        outer: C, transposed (O, H).
        shift: c (Q, O).
        outs: the rows of C, transposed.
        first: number of the tile's first draw among all draws.
        size: draws of the tile.
        numbers: (O TILE,), written.
    """
    rows_of_biases(numbers, shift, first, size)
    add_shifts(units, outer, outs, numbers, 1)


@inlined
def layers_back(
    tile: Any,
    units: Any,
    to_numbers: Any,
    outer: Any,
    ins: Any,
    outs: Any,
    first: Any,
    size: Any,
    gradients: Any,
    spare: Any,
    memory: Any,
    to_inner: Any,
    to_bias: Any,
    to_outer: Any,
    to_shift: Any,
) -> None:
    """Add the tile's part to the gradients in A, b, C and c; that in x is A times `gradients`.

    Args:
        tile: (I TILE,) at least, x.
        units: ((H + 1) TILE,), h.
        to_numbers: (O TILE,), gradient in what the network computes.
        outer: C, transposed (O, H).
        ins: the rows of A.
        outs: the rows of C, transposed.
        first: number of the tile's first draw among all draws.
        size: draws of the tile.
        gradients: ((H + 1) TILE,), gradient in x A + b, written.
        spare: (max(H, O) TILE,), scratch.
        memory: scratch, of `tiles.squares`.
        to_inner: gradient in A (I, H), changed.
        to_bias: that in b (R, H), changed.
        to_outer: that in C, transposed (O, H), changed.
        to_shift: that in c (Q, O), changed.
    """
    hidden = outer.shape[1]
    sums_of_rows(to_numbers, to_shift, spare, first, size)
    gradients[:] = gradients.dtype.type(0)
    products(to_numbers, outer, outs, gradients)
    sums(to_numbers, units, outs, memory, to_outer)
    slopes(units, gradients, hidden)
    sums(tile, gradients, ins, memory, to_inner)
    sums_of_rows(gradients[: hidden * TILE], to_bias, spare, first, size)
