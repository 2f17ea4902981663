"""Integrals of a positive network by a rule, for a tile of elements at once; compiled. Used by `integral_cpu`.

Shapes: z (G, E), embedding (G, E, U), the network's numbers (G, U) and (G, 1): the E elements of a group share them.
The formulas are those of `integral.reference`.
"""

from typing import Any

import numpy as np

from nfbench.kernels.compiler.decorators import compiled, inlined
from nfbench.kernels.cpu.hidden_units import activate
from nfbench.kernels.cpu.shares import TILE
from nfbench.kernels.cpu.team import own
from nfbench.kernels.cpu.tiles import empty, fill, room
from nfbench.kernels.simd.arithmetic import decay

LEAST = 1e-3  # the slope of a map that is nowhere below


@compiled
def forward(
    z: Any,
    embedding: Any,
    slopes: Any,
    biases: Any,
    weights: Any,
    shift: Any,
    points: Any,
    rule: Any,
    area: Any,
    height: Any,
    share: Any,
) -> None:
    """Write integrals and what the network is at their ends.

    Args:
        z: (G, E).
        embedding: (G, E, U).
        slopes: (G, U).
        biases: (G, U).
        weights: (G, U).
        shift: (G, 1).
        points: (G, n + 1), the last is 1.
        rule: (G, n).
        area: (G, E), written.
        height: (G, E), written.
        share: which groups and elements.
    """
    _, group, groups, start, stop = share
    elements, hidden = embedding.shape[1], embedding.shape[2]
    kind, numbers = z.dtype.type, embedding.reshape(embedding.size)
    before, units = room(hidden * TILE, z), room((hidden + hidden % 2) * TILE, z)
    end, t, out, total = room(TILE, z), room(TILE, z), room(TILE, z), room(TILE, z)
    least, most, one, zero = kind(LEAST), kind(1 - LEAST), kind(1), kind(0)
    for g in range(group, groups):
        for first in range(start, stop, TILE):
            size = min(TILE, stop - first)
            _enter(before, numbers, (g * elements + first) * hidden, biases[g], end, z[g, first : first + size])
            total[:] = zero
            for j in range(points.shape[1]):
                _network(units, before, end, points[g, j], slopes[g], weights[g], shift[g, 0], t, out)
                part = rule[g, j] if j < rule.shape[1] else zero
                for n in range(TILE):
                    rise = one + out[n] if out[n] > zero else decay(out[n])
                    out[n] = most * rise + least
                    total[n] += part * out[n]
            for n in range(size):
                area[g, first + n] = end[n] * total[n]
                height[g, first + n] = out[n]


@compiled
def backward(
    z: Any,
    embedding: Any,
    slopes: Any,
    biases: Any,
    weights: Any,
    shift: Any,
    points: Any,
    rule: Any,
    grad: Any,
    grad_height: Any,
    to_z: Any,
    to_embedding: Any,
    of_slopes: Any,
    of_biases: Any,
    of_weights: Any,
    of_shift: Any,
    share: Any,
) -> None:
    """Gradients in all of it.

    Args:
        z: as in `forward`.
        embedding: as in `forward`.
        slopes: as in `forward`.
        biases: as in `forward`.
        weights: as in `forward`.
        shift: as in `forward`.
        points: as in `forward`.
        rule: as in `forward`.
        grad: gradient in the integral (G, E).
        grad_height: gradient in the network at z (G, E).
        to_z: (G, E), written.
        to_embedding: (G, E, U), written.
        of_slopes: gradient in the slopes, (shares or 1, G, U), memory of `shares.combined`, written.
        of_biases: likewise.
        of_weights: likewise.
        of_shift: likewise.
        share: which groups and elements.
    """
    _, group, groups, start, stop = share
    to_slopes, to_biases = own(of_slopes, share), own(of_biases, share)
    to_weights, to_shift = own(of_weights, share), own(of_shift, share)
    elements, hidden = embedding.shape[1], embedding.shape[2]
    kind = z.dtype.type
    numbers, written = embedding.reshape(embedding.size), to_embedding.reshape(to_embedding.size)
    before, units = room(hidden * TILE, z), room((hidden + hidden % 2) * TILE, z)
    back, by_slope, by_weight = room(hidden * TILE, z), room(hidden * TILE, z), room(hidden * TILE, z)
    end, t, out, by_shift = room(TILE, z), room(TILE, z), room(TILE, z), room(TILE, z)
    given, given_height, to_end, to_t = room(TILE, z), room(TILE, z), room(TILE, z), room(TILE, z)
    least, most, one, zero = kind(LEAST), kind(1 - LEAST), kind(1), kind(0)
    sums = np.empty((4, hidden))  # in float64, as they are over all elements and nodes
    for g in range(group, groups):
        sums[:] = 0.0
        for first in range(start, stop, TILE):
            size = min(TILE, stop - first)
            _enter(before, numbers, (g * elements + first) * hidden, biases[g], end, z[g, first : first + size])
            back[:], by_slope[:], by_weight[:] = zero, zero, zero
            given[:], given_height[:], to_end[:], by_shift[:] = zero, zero, zero, zero
            for n in range(size):
                given[n], given_height[n] = grad[g, first + n], grad_height[g, first + n]
            for j in range(points.shape[1]):
                _network(units, before, end, points[g, j], slopes[g], weights[g], shift[g, 0], t, out)
                inner = j < rule.shape[1]
                part, last = rule[g, j] if inner else zero, zero if inner else one
                for n in range(TILE):
                    power = decay(out[n])
                    rise, steep = (one + out[n], one) if out[n] > zero else (power, power)
                    to_end[n] += part * given[n] * (most * rise + least)
                    out[n] = (part * given[n] * end[n] + last * given_height[n]) * most * steep
                    by_shift[n] += out[n]
                    to_t[n] = zero
                for u in range(hidden):
                    row = slice(u * TILE, (u + 1) * TILE)
                    _unit_back(
                        units[row], back[row], by_slope[row], by_weight[row], out, t, to_t, slopes[g, u], weights[g, u]
                    )
                for n in range(TILE):
                    to_end[n] += to_t[n] * points[g, j]
            for u in range(hidden):
                for n in range(u * TILE, (u + 1) * TILE):
                    sums[0, u] += by_slope[n]
                    sums[1, u] += back[n]
                    sums[2, u] += by_weight[n]
            for n in range(TILE):
                sums[3, 0] += by_shift[n]
            for n in range(size):
                to_z[g, first + n] = to_end[n]
            empty(back, written, (g * elements + first) * hidden, size)
        for u in range(hidden):
            to_slopes[g, u], to_biases[g, u], to_weights[g, u] = sums[0, u], sums[1, u], sums[2, u]
        to_shift[g, 0] = sums[3, 0]


@inlined
def _enter(before: Any, embedding: Any, at: Any, biases: Any, end: Any, z: Any) -> None:
    """Write a tile's embeddings plus biases (U TILE,) and its z (TILE,), 0 where it has no element."""
    fill(before, embedding, at, z.shape[0])
    for u in range(biases.shape[0]):
        bias = biases[u]
        for n in range(u * TILE, (u + 1) * TILE):
            before[n] += bias
    end[:] = z.dtype.type(0)
    for n in range(z.shape[0]):
        end[n] = z[n]


@inlined
def _network(
    units: Any, before: Any, end: Any, node: Any, slopes: Any, weights: Any, shift: Any, t: Any, out: Any
) -> None:
    """Write t = z node, the tanh units there (U TILE,), and what ELU is taken of (TILE,)."""
    hidden = slopes.shape[0]
    for n in range(TILE):
        t[n] = end[n] * node
        out[n] = shift
    for u in range(hidden):
        a, row, slope = units[u * TILE : (u + 1) * TILE], before[u * TILE : (u + 1) * TILE], slopes[u]
        for n in range(TILE):
            a[n] = t[n] * slope + row[n]
    activate(units, hidden)
    for u in range(hidden):
        a, weight = units[u * TILE : (u + 1) * TILE], weights[u]
        for n in range(TILE):
            out[n] += weight * a[n]


@inlined
def _unit_back(
    units: Any, back: Any, by_slope: Any, by_weight: Any, to_out: Any, t: Any, to_t: Any, slope: Any, weight: Any
) -> None:
    """Add to the gradients that go through one unit at one node: before its tanh, in its slope and weight, and in t."""
    one = units.dtype.type(1)
    for n in range(TILE):
        by_weight[n] += to_out[n] * units[n]
        inner = to_out[n] * weight * (one - units[n] * units[n])
        back[n] += inner
        by_slope[n] += inner * t[n]
        to_t[n] += inner * slope
