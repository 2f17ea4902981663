"""A network with one hidden tanh layer, tanh(x A + b) C + c, for many draws; compiled. Used by `perceptron_cpu`.

Shapes: x (G, N, I); A (G, I, H); b (G, R, H); C, transposed, (G, O, H); c (G, Q, O). Draw n takes row n mod R of b and
row n mod Q of c. A tile's hidden units stay in the cache, and the way back computes them anew.
"""

from typing import Any

from nfbench.kernels.compiler.decorators import compiled
from nfbench.kernels.cpu.hidden_units import add_shifts, all_rows
from nfbench.kernels.cpu.shares import TILE
from nfbench.kernels.cpu.team import own
from nfbench.kernels.cpu.tiles import empty, fill, room, squares
from nfbench.kernels.layers.perceptron_tiles import hidden_layer, last_layer, layers_back


@compiled
def forward(x: Any, inner: Any, bias: Any, outer: Any, shift: Any, out: Any, share: Any) -> None:
    """Compute the network, a tile of draws at a time.

    Args:
        x: (G, N, I).
        inner: A.
        bias: b.
        outer: C, transposed.
        shift: c.
        out: (G, N, O), written.
        share: which groups and draws.
    """
    _, group, groups, start, stop = share
    draws, inputs, hidden, outputs = x.shape[1], x.shape[2], inner.shape[2], outer.shape[1]
    tile, units, moved = room(inputs * TILE, x), room((hidden + 1) * TILE, x), room(outputs * TILE, x)
    given, written = x.reshape(x.size), out.reshape(out.size)
    ins, outs = all_rows(inputs), all_rows(outputs)
    for g in range(group, groups):
        for first in range(start, stop, TILE):
            size = min(TILE, stop - first)
            fill(tile, given, (g * draws + first) * inputs, size)
            hidden_layer(tile, inner[g], bias[g], ins, first, size, units)
            last_layer(units, outer[g], shift[g], outs, first, size, moved)
            empty(moved, written, (g * draws + first) * outputs, size)


@compiled
def backward(
    x: Any,
    inner: Any,
    bias: Any,
    outer: Any,
    grad: Any,
    to_x: Any,
    of_inner: Any,
    of_bias: Any,
    of_outer: Any,
    of_shift: Any,
    share: Any,
) -> None:
    """Gradients in x, A, b, C and c.

    Args:
        x: (G, N, I).
        inner: A.
        bias: b.
        outer: C, transposed.
        grad: gradient in what the network computes (G, N, O).
        to_x: gradient in x (G, N, I), written.
        of_inner: gradient in A, (shares or 1, G, I, H), memory of `shares.combined`, written.
        of_bias: gradient in b, likewise.
        of_outer: gradient in C, transposed, likewise.
        of_shift: gradient in c, likewise.
        share: which groups and draws.
    """
    _, group, groups, start, stop = share
    to_inner, to_bias = own(of_inner, share), own(of_bias, share)
    to_outer, to_shift = own(of_outer, share), own(of_shift, share)
    draws, inputs, hidden, outputs = x.shape[1], x.shape[2], inner.shape[2], outer.shape[1]
    tile, back = room(inputs * TILE, x), room(outputs * TILE, x)
    units, gradients = room((hidden + 1) * TILE, x), room((hidden + 1) * TILE, x)
    memory, zero = squares(hidden, x), x.dtype.type(0)
    spare = room(max(hidden, outputs) * TILE, x)
    given, grads, written = x.reshape(x.size), grad.reshape(grad.size), to_x.reshape(to_x.size)
    ins, outs = all_rows(inputs), all_rows(outputs)
    for g in range(group, groups):
        to_inner[g], to_bias[g], to_outer[g], to_shift[g] = zero, zero, zero, zero
        for first in range(start, stop, TILE):
            size = min(TILE, stop - first)
            fill(tile, given, (g * draws + first) * inputs, size)
            fill(back, grads, (g * draws + first) * outputs, size)
            hidden_layer(tile, inner[g], bias[g], ins, first, size, units)
            sums_to = to_inner[g], to_bias[g], to_outer[g], to_shift[g]
            layers_back(tile, units, back, outer[g], ins, outs, first, size, gradients, spare, memory, *sums_to)
            tile[:] = zero
            add_shifts(gradients, inner[g], ins, tile, 1)
            empty(tile, written, (g * draws + first) * inputs, size)
