"""Affine maps whose numbers a network with one hidden tanh layer computes, for many draws; compiled.

Used by `affine_cpu`, which says what the tensors are: z (G, N, D), A (G, I, H), b (G, R, H), C, transposed, (G, 2 M, H)
and c (G, Q, 2 M). A tile's hidden units stay in the cache, and the way back computes them anew.
"""

import math
from typing import Any

from nfbench.kernels.compiler.decorators import compiled, inlined
from nfbench.kernels.cpu.hidden_units import add_shifts, all_rows
from nfbench.kernels.cpu.shares import TILE
from nfbench.kernels.cpu.team import own
from nfbench.kernels.cpu.tiles import empty, fill, room, squares
from nfbench.kernels.layers.perceptron_tiles import hidden_layer, last_layer, layers_back
from nfbench.kernels.simd.arithmetic import decay, sigmoid, softplus, tanh


@compiled
def forward(
    z: Any, inner: Any, bias: Any, outer: Any, shift: Any, form: Any, out: Any, log_det: Any, share: Any
) -> None:
    """Map draws, a tile at a time.

    Args:
        z: (G, N, D).
        inner: A.
        bias: b.
        outer: C, transposed.
        shift: c.
        form: (4,), a `Form` of `affine_cpu`.
        out: the moved coordinates, then the others, (G, N, D), written.
        log_det: (G, N), written.
        share: which groups and draws.
    """
    _, group, groups, start, stop = share
    draws, dim, inputs, hidden, moved = z.shape[1], z.shape[2], inner.shape[1], inner.shape[2], outer.shape[1] // 2
    tile, turned = room(dim * TILE, z), room(dim * TILE, z)
    units, numbers, total = room((hidden + 1) * TILE, z), room(2 * moved * TILE, z), room(TILE, z)
    given, written = z.reshape(z.size), out.reshape(out.size)
    ins, outs = all_rows(inputs), all_rows(2 * moved)
    for g in range(group, groups):
        for first in range(start, stop, TILE):
            size = min(TILE, stop - first)
            fill(tile, given, (g * draws + first) * dim, size)
            hidden_layer(tile, inner[g], bias[g], ins, first, size, units)
            last_layer(units, outer[g], shift[g], outs, first, size, numbers)
            total[:] = z.dtype.type(0)
            turned[moved * TILE :] = tile[: (dim - moved) * TILE]
            for i in range(moved):
                at = (dim - moved + i) * TILE
                scale, start_of = _rows(numbers, i, moved, form)
                _move(tile[at : at + TILE], scale, start_of, form, turned[i * TILE : (i + 1) * TILE], total)
            empty(turned, written, (g * draws + first) * dim, size)
            for n in range(size):
                log_det[g, first + n] = total[n]


@compiled
def backward(
    z: Any,
    inner: Any,
    bias: Any,
    outer: Any,
    shift: Any,
    form: Any,
    grad: Any,
    grad_log_det: Any,
    to_z: Any,
    of_inner: Any,
    of_bias: Any,
    of_outer: Any,
    of_shift: Any,
    share: Any,
) -> None:
    """Gradients in z, A, b, C and c.

    Args:
        z: (G, N, D).
        inner: A.
        bias: b.
        outer: C, transposed.
        shift: c.
        form: (4,), a `Form` of `affine_cpu`.
        grad: gradient in what `forward` writes to `out` (G, N, D).
        grad_log_det: that in ln|det| (G, N).
        to_z: gradient in z (G, N, D), written.
        of_inner: gradient in A, (shares or 1, G, I, H), memory of `shares.combined`, written.
        of_bias: gradient in b, likewise.
        of_outer: gradient in C, transposed, likewise.
        of_shift: gradient in c, likewise.
        share: which groups and draws.
    """
    _, group, groups, start, stop = share
    to_inner, to_bias = own(of_inner, share), own(of_bias, share)
    to_outer, to_shift = own(of_outer, share), own(of_shift, share)
    draws, dim, inputs, hidden, moved = z.shape[1], z.shape[2], inner.shape[1], inner.shape[2], outer.shape[1] // 2
    tile, turned, back = room(dim * TILE, z), room(dim * TILE, z), room(dim * TILE, z)
    units, gradients = room((hidden + 1) * TILE, z), room((hidden + 1) * TILE, z)
    numbers, to_numbers = room(2 * moved * TILE, z), room(2 * moved * TILE, z)
    to_total, memory, zero = room(TILE, z), squares(hidden, z), z.dtype.type(0)
    spare = room(max(hidden, 2 * moved) * TILE, z)
    given, grads, written = z.reshape(z.size), grad.reshape(grad.size), to_z.reshape(to_z.size)
    ins, outs = all_rows(inputs), all_rows(2 * moved)
    for g in range(group, groups):
        to_inner[g], to_bias[g], to_outer[g], to_shift[g] = zero, zero, zero, zero
        for first in range(start, stop, TILE):
            size = min(TILE, stop - first)
            fill(tile, given, (g * draws + first) * dim, size)
            fill(turned, grads, (g * draws + first) * dim, size)
            to_total[:] = zero
            for n in range(size):
                to_total[n] = grad_log_det[g, first + n]
            hidden_layer(tile, inner[g], bias[g], ins, first, size, units)
            last_layer(units, outer[g], shift[g], outs, first, size, numbers)
            back[: (dim - moved) * TILE] = turned[moved * TILE :]
            for i in range(moved):
                at = (dim - moved + i) * TILE
                scale, start_of = _rows(numbers, i, moved, form)
                to_scale, to_start = _rows(to_numbers, i, moved, form)
                above, below = turned[i * TILE : (i + 1) * TILE], back[at : at + TILE]
                _move_back(tile[at : at + TILE], scale, start_of, form, above, to_total, to_scale, to_start, below)
            sums_to = to_inner[g], to_bias[g], to_outer[g], to_shift[g]
            layers_back(tile, units, to_numbers, outer[g], ins, outs, first, size, gradients, spare, memory, *sums_to)
            add_shifts(gradients, inner[g], ins, back, 1)
            empty(back, written, (g * draws + first) * dim, size)


@inlined
def _rows(numbers: Any, i: Any, moved: Any, form: Any) -> Any:
    """Of coordinate i the number that decides its scale and the one that shifts it, (TILE,) each."""
    scale_first = form[2] > 0
    scale, shift = (i, moved + i) if scale_first else (moved + i, i)
    return numbers[scale * TILE : (scale + 1) * TILE], numbers[shift * TILE : (shift + 1) * TILE]


@inlined
def _move(z: Any, scale: Any, shift: Any, form: Any, out: Any, total: Any) -> None:
    """Move a coordinate of a tile, and add the logarithm of its derivative to `total`, all (TILE,)."""
    constant, one = form[0], z.dtype.type(1)
    if form[1] > 0:  # gated
        unit, log_unit = form[3], z.dtype.type(math.log(form[3]))
        for n in range(TILE):
            logit = scale[n] + constant
            out[n] = (shift[n] + sigmoid(logit) * (z[n] - shift[n])) / unit
            total[n] -= softplus(-logit) + log_unit
    else:
        for n in range(TILE):
            log_scale = constant * tanh(scale[n])
            factor = decay(log_scale)
            out[n] = z[n] * (one / factor if log_scale > 0 else factor) + shift[n]
            total[n] += log_scale


@inlined
def _move_back(
    z: Any, scale: Any, shift: Any, form: Any, grad: Any, to_total: Any, to_scale: Any, to_shift: Any, to_z: Any
) -> None:
    """Gradients of `_move` in both numbers and in z, written, all (TILE,)."""
    constant, one = form[0], z.dtype.type(1)
    if form[1] > 0:  # gated
        unit = form[3]
        for n in range(TILE):
            gate = sigmoid(scale[n] + constant)
            shut = sigmoid(-scale[n] - constant)
            above = grad[n] / unit
            to_z[n] = above * gate
            to_shift[n] = above * shut
            to_scale[n] = shut * (gate * above * (z[n] - shift[n]) + to_total[n])
    else:
        for n in range(TILE):
            bent = tanh(scale[n])
            factor = decay(constant * bent)
            factor = one / factor if bent > 0 else factor
            to_z[n] = grad[n] * factor
            to_shift[n] = grad[n]
            to_scale[n] = (grad[n] * z[n] * factor + to_total[n]) * constant * (one - bent * bent)
