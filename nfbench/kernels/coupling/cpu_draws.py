"""A chain of additive couplings on unmixed coordinates, x' = x + tanh(x A + b) C, K times, for many draws; compiled.

Vectors hold one number of several draws. A tile's hidden units stay in the cache, and the way back computes them anew.
Shapes: x (G, N, D); A (G, K, D, H); b (G, R, K, H), where draw n takes row n mod R: R = 1 for all draws, or R data
points in turn; C, transposed, (G, K, D, H). Only the rows of A and of C, transposed, that `reads` and `writes` (G, K,
D) mark are used. Scratch `units (H + 1, TILE)`, flat, has a row for each hidden unit and one to spare, where H is odd.
"""

from typing import Any

import numpy as np

from nfbench.kernels.compiler.decorators import compiled, inlined
from nfbench.kernels.cpu.hidden_units import activate, add_shifts, bias_sums, biases, products, slopes, sums
from nfbench.kernels.cpu.shares import TILE
from nfbench.kernels.cpu.team import own
from nfbench.kernels.cpu.tiles import empty, fill, room, squares


@compiled
def forward(
    x: Any,
    inner: Any,
    bias: Any,
    outer: Any,
    reads: Any,
    writes: Any,
    out: Any,
    share: Any,
) -> None:
    """Push draws through the chain, a tile at a time.

    Args:
        x: (G, N, D).
        inner: A.
        bias: b.
        outer: C, transposed.
        reads: marked rows of A.
        writes: marked rows of C, transposed.
        out: x_K (G, N, D), written.
        share: which groups and draws.
    """
    _, group, groups, start, stop = share
    draws, dim, depth, hidden = x.shape[1], x.shape[2], inner.shape[1], inner.shape[3]
    tile, units = room(dim * TILE, x), room((hidden + 1) * TILE, x)
    before, after = x.reshape(x.size), out.reshape(out.size)
    ins, outs = np.empty((depth, dim + 1), np.intp), np.empty((depth, dim + 1), np.intp)
    for g in range(group, groups):
        _list_rows(reads[g], ins)
        _list_rows(writes[g], outs)
        for first in range(start, stop, TILE):
            size = min(TILE, stop - first)
            fill(tile, before, (g * draws + first) * dim, size)
            for k in range(depth):
                biases(units, bias[g, :, k], first, size)
                products(tile, inner[g, k], ins[k], units)
                activate(units, hidden)
                add_shifts(units, outer[g, k], outs[k], tile, 1)
            empty(tile, after, (g * draws + first) * dim, size)


@compiled
def backward(
    x: Any,
    inner: Any,
    bias: Any,
    outer: Any,
    reads: Any,
    writes: Any,
    grad: Any,
    to_x: Any,
    of_inner: Any,
    of_bias: Any,
    of_outer: Any,
    share: Any,
) -> None:
    """Gradients in x, A, b and C, from x_K.

    Going down, a coupling's hidden units are computed from the coordinates that it reads, which it does not move; then
    its shift is subtracted.

    Args:
        x: x_K (G, N, D).
        inner: A.
        bias: b.
        outer: C, transposed.
        reads: marked rows of A.
        writes: marked rows of C, transposed.
        grad: gradient in x_K (G, N, D).
        to_x: gradient in x (G, N, D), written.
        of_inner: gradient in A, (shares or 1, G, K, D, H), memory of `shares.combined`, written.
        of_bias: gradient in b, likewise.
        of_outer: gradient in C, transposed, likewise.
        share: which groups and draws.
    """
    _, group, groups, start, stop = share
    to_inner = own(of_inner, share)
    to_bias = own(of_bias, share)
    to_outer = own(of_outer, share)
    draws, dim, depth, hidden = x.shape[1], x.shape[2], inner.shape[1], inner.shape[3]
    tile, back = room(dim * TILE, x), room(dim * TILE, x)
    units, gradients = room((hidden + 1) * TILE, x), room((hidden + 1) * TILE, x)
    memory = squares(hidden, x)
    after, grads, before = x.reshape(x.size), grad.reshape(grad.size), to_x.reshape(to_x.size)
    ins, outs = np.empty((depth, dim + 1), np.intp), np.empty((depth, dim + 1), np.intp)
    for g in range(group, groups):
        _list_rows(reads[g], ins)
        _list_rows(writes[g], outs)
        to_inner[g], to_bias[g], to_outer[g] = x.dtype.type(0), x.dtype.type(0), x.dtype.type(0)
        for first in range(start, stop, TILE):
            size = min(TILE, stop - first)
            fill(tile, after, (g * draws + first) * dim, size)
            fill(back, grads, (g * draws + first) * dim, size)
            for k in range(depth - 1, -1, -1):
                biases(units, bias[g, :, k], first, size)
                products(tile, inner[g, k], ins[k], units)
                activate(units, hidden)
                add_shifts(units, outer[g, k], outs[k], tile, -1)
                gradients[:] = x.dtype.type(0)
                products(back, outer[g, k], outs[k], gradients)
                sums(back, units, outs[k], memory, to_outer[g, k])
                slopes(units, gradients, hidden)
                sums(tile, gradients, ins[k], memory, to_inner[g, k])
                bias_sums(gradients, to_bias[g, :, k], first, size)
                add_shifts(gradients, inner[g, k], ins[k], back, 1)
            empty(back, before, (g * draws + first) * dim, size)


@inlined
def _list_rows(marked: Any, rows: Any) -> None:
    """Write to each row of `rows (K, D + 1)` how many places of that row of `marked (K, D)` are marked, then which."""
    for k in range(marked.shape[0]):
        count = 0
        for d in range(marked.shape[1]):
            if marked[k, d]:
                count += 1
                rows[k, count] = d
        rows[k, 0] = count
