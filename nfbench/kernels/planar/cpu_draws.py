"""The planar chain for the many draws of a group, compiled: tiles of draws go through it, four maps at a time.

Shapes: z (G, N, D), maps (G, K, 2 D + 1) with rows (w, u, b). `u` is the raw parameter; u_hat and s are made here. What
is kept, h (G K N,), lies as the passes meet it: tile after tile of draws, each map by map.
"""

from typing import Any

import numpy as np

from nfbench.kernels.cpu.map_blocks import BLOCK, exchange, move, product, products, shift
from nfbench.kernels.cpu.shares import TILE
from nfbench.kernels.cpu.team import own
from nfbench.kernels.cpu.tiles import add_totals, empty, fill, four, put, room, squares
from nfbench.kernels.planar.cpu_constraint import S, constrain_all, unconstrain_all
from nfbench.kernels.simd.arithmetic import compiled, inlined, logarithm
from nfbench.kernels.simd.factor import factor
from nfbench.kernels.simd.prefetch import fetch
from nfbench.kernels.simd.tanh import tanh
from nfbench.kernels.simd.vector import fma, quotient, store, total, wide

width, load, spread, _ = wide

# Where a tile's scalars lie in one array, after a row for each map of a block: w.z + b, then h or the gradient in it.
_FACTOR, _POWER = BLOCK * TILE, (BLOCK + 1) * TILE
_MILD = 2.0**-28  # of a block's factors above it and below its inverse, single precision holds the product
_H, _LOG, _ABSENT = BLOCK * TILE, 2 * BLOCK * TILE, (2 * BLOCK + 1) * TILE


@compiled
def forward(z: Any, maps: Any, out: Any, log_det: Any, h: Any, share: Any) -> None:
    """Block by block of maps; draws that are not there are zeros, and what becomes of them is not written."""
    _, group, groups, start, stop = share
    draws, dim, depth, kind, vector = z.shape[1], z.shape[2], maps.shape[1], z.dtype.type, width(z)
    tile, by = room(dim * TILE, z), room((BLOCK + 2) * TILE, z)
    w, u_hat, scalars, across = _rooms(depth, dim, z)
    along, moved = w.reshape(w.size), u_hat.reshape(w.size)
    before, after = z.reshape(z.size), out.reshape(out.size)
    for g in range(group, groups):
        _prepare(maps[g], w, u_hat, scalars, across)
        for first in range(start, stop, TILE):
            size = min(TILE, stop - first)
            fill(tile, before, (g * draws + first) * dim, size)
            by[_FACTOR:_POWER], by[_POWER:] = kind(1), kind(0)
            at = (g * draws + first) * depth
            for k in range(0, depth, BLOCK):
                products(along, k * dim, tile, by, 0)
                here, mild = min(BLOCK, depth - k), True
                for i in range(here):
                    mild &= _MILD < scalars[S, k + i] < 1 / _MILD
                for i in range(here):
                    _activate(by, i * TILE, maps[g, k + i, 2 * dim], scalars[S, k + i], size)
                    for n in range(0, size, vector):
                        store(h, at + n, min(vector, size - n), load(by, i * TILE + n, vector))
                    at += size
                    for j in range(i + 1, BLOCK):
                        shift(by, j * TILE, across[k + j, i], i * TILE)
                    if i == here - 1 or not mild:
                        _factorise(by)
                move(moved, k * dim, by, 0, tile)
            empty(tile, after, (g * draws + first) * dim, size)
            _logarithms(by, log_det[g, first : first + size])


@inlined
def _logarithms(by: Any, found: Any) -> None:
    f, e = by[_FACTOR:_POWER], by[_POWER:]
    for n in range(found.shape[0]):
        found[n] = logarithm(f[n], e[n])


@inlined
def _rooms(depth: Any, dim: Any, like: Any) -> Any:
    """For w and u_hat (K, D), s, w.u and w.w (3, K), and products across a block (K, BLOCK).

    K is rounded up to whole blocks but for the scalars, with zeros: maps that leave draws where they are.
    """
    whole = depth + (-depth) % BLOCK
    rows = np.zeros((whole, dim), like.dtype), np.zeros((whole, dim), like.dtype)
    return (*rows, np.empty((3, depth), like.dtype), np.zeros((whole, BLOCK), like.dtype))


@inlined
def _prepare(maps: Any, w: Any, u_hat: Any, scalars: Any, across: Any) -> None:
    """`maps (K, 2 D + 1)` into `_rooms`: `across[j, i] = w_j . u_hat_i` for the i-th map of the block before map j."""
    dim = w.shape[1]
    constrain_all(maps, u_hat, scalars)
    for k in range(maps.shape[0]):
        for d in range(dim):
            w[k, d] = maps[k, d]
        for i in range(k % BLOCK):
            before = k - k % BLOCK + i
            found = w[k, 0] * u_hat[before, 0]
            for d in range(1, dim):
                found += w[k, d] * u_hat[before, d]
            across[k, i] = found


@inlined
def _activate(by: Any, row: Any, b: Any, s: Any, size: Any) -> None:
    """One map on a tile of draws: a becomes h = tanh(a + b); h^2 + s (1 - h^2), its |det|, goes into the factors."""
    vector, same, more = width(by), spread(by.dtype.type(1)), spread(b)
    for n in range(0, size, 4 * vector):
        a_0, a_1, a_2, a_3 = four(by, row + n)
        h = tanh(fma(same, a_0, more), fma(same, a_1, more), fma(same, a_2, more), fma(same, a_3, more))
        put(by, row + n, *h)
        _multiply(by, n, h[0], s)
        _multiply(by, n + vector, h[1], s)
        _multiply(by, n + 2 * vector, h[2], s)
        _multiply(by, n + 3 * vector, h[3], s)


@inlined
def _multiply(by: Any, n: Any, h: Any, s: Any) -> None:
    vector, kind = width(by), by.dtype.type
    one, nothing = spread(kind(1)), spread(kind(0))
    square = fma(h, h, nothing)
    det = fma(spread(s), fma(spread(kind(-1)), square, one), square)
    store(by, _FACTOR + n, vector, fma(load(by, _FACTOR + n, vector), det, nothing))


@inlined
def _factorise(by: Any) -> None:
    """The factors become numbers from 1 to 2, and what they lose goes into the powers."""
    vector, one = width(by), spread(by.dtype.type(1))
    for n in range(0, TILE, vector):
        part, power = factor(load(by, _FACTOR + n, vector))
        store(by, _FACTOR + n, vector, part)
        store(by, _POWER + n, vector, fma(one, load(by, _POWER + n, vector), power))


@compiled
def backward(
    z: Any,
    h: Any,
    maps: Any,
    grad: Any,
    grad_log: Any,
    to_z: Any,
    of_maps: Any,
    share: Any,
) -> None:
    """Going down, z before a block is rebuilt from z after it and the block's h.

    Sums over draws are of z before and of the gradient after each block of maps; what the maps of a block have with
    each other is corrected once, at the end, from the sums of their scalars' products.
    """
    _, group, groups, start, stop = share
    to_maps = own(of_maps, share)
    draws, dim, depth, kind, vector = z.shape[1], z.shape[2], maps.shape[1], z.dtype.type, width(z)
    tile, back, by = room(dim * TILE, z), room(dim * TILE, z), room((2 * BLOCK + 2) * TILE, z)
    w, u_hat, scalars, across = _rooms(depth, dim, z)
    along, moved, down = w.reshape(w.size), u_hat.reshape(w.size), np.empty(w.size, z.dtype)
    to_s, mixed, sums = np.empty(depth, z.dtype), np.empty_like(across), squares(BLOCK * vector, z)
    points, given, found = z.reshape(z.size), grad.reshape(grad.size), to_z.reshape(to_z.size)
    rows, row = to_maps.reshape(to_maps.size), maps.shape[2]
    for g in range(group, groups):
        _prepare(maps[g], w, u_hat, scalars, across)
        down[:] = -moved
        to_maps[g], to_s[:], mixed[:] = kind(0), kind(0), kind(0)
        for first in range(start, stop, TILE):
            size = min(TILE, stop - first)
            fill(tile, points, (g * draws + first) * dim, size)
            fill(back, given, (g * draws + first) * dim, size)
            by[:], by[_ABSENT + size :] = kind(0), kind(1)
            by[_LOG : _LOG + size] = grad_log[g, first : first + size]
            for k in range(depth - 1 - (depth - 1) % BLOCK, -1, -BLOCK):
                at, here = (g * draws + first) * depth + k * size, min(BLOCK, depth - k)
                _recall(h, at, size, by, here)
                products(moved, k * dim, back, by, 0)
                for i in range(here - 1, -1, -1):
                    by_s, by_b = _deactivate(by, i * TILE, scalars[S, k + i], size)
                    to_s[k + i] += by_s
                    to_maps[g, k + i, 2 * dim] += by_b
                    for j in range(i):
                        shift(by, j * TILE, across[k + i, j], i * TILE)
                        mixed[k + i, j] += product(by, i * TILE, _H + j * TILE)
                to = (g * depth + k) * row
                for d in range(0, dim, vector):
                    end = min(dim, d + vector)
                    exchange(down, k * dim, by, _H, tile, back, d, end, sums)
                    _add(rows, to + dim + d, row, sums, here, end - d)
                    exchange(along, k * dim, by, 0, back, tile, d, end, sums)
                    _add(rows, to + d, row, sums, here, end - d)
            empty(back, found, (g * draws + first) * dim, size)
        _within(mixed, w, u_hat, to_maps[g])
        unconstrain_all(maps[g], scalars, to_s, to_maps[g])


@inlined
def _add(rows: Any, at: Any, row: Any, sums: Any, here: Any, count: Any) -> None:
    """The totals of `exchange` to those of the maps, whose numbers lie `row` apart."""
    square = width(sums) * width(sums)
    for i in range(here):
        add_totals(rows, at + i * row, sums, i * square, count)


@inlined
def _recall(h: Any, at: Any, size: Any, by: Any, here: Any) -> None:
    """A block's h, from `at` on, for a tile of draws; nothing for maps that it has not. Those before are fetched."""
    vector, nothing = width(by), spread(by.dtype.type(0))
    for i in range(BLOCK):
        for n in range(0, TILE, vector):
            known = min(vector, size - n) if i < here else 0
            store(by, _H + i * TILE + n, vector, load(h, at + i * size + n, known) if known > 0 else nothing)
            fetch(h, at + (i - BLOCK) * size + n)


@inlined
def _deactivate(by: Any, row: Any, s: Any, size: Any) -> Any:
    """The gradient in h from later maps becomes that in w.z + b with the part of ln|det|; sums for s and b."""
    vector, kind = width(by), by.dtype.type
    one, less, nothing = spread(kind(1)), spread(kind(-1)), spread(kind(0))
    flattened, doubled, to_s, to_b = spread(s), spread(kind(2) * (kind(1) - s)), nothing, nothing
    for n in range(0, size, vector):
        h, log, absent = load(by, _H + row + n, vector), load(by, _LOG + n, vector), load(by, _ABSENT + n, vector)
        square = fma(h, h, nothing)
        flat = fma(less, square, one)
        share = quotient(log, fma(one, absent, fma(flattened, flat, square)))
        to_s = fma(share, flat, to_s)
        a = fma(fma(fma(doubled, h, nothing), share, load(by, row + n, vector)), flat, nothing)
        store(by, row + n, vector, a)
        to_b = fma(one, a, to_b)
    return total(to_s), total(to_b)


@inlined
def _within(mixed: Any, w: Any, u_hat: Any, grads: Any) -> None:
    """What the maps of a block have with each other, `mixed[j, i] = sum c_j h_i`, goes to w_j by u_i and to u_i by w_j.

    c_j is the gradient in w_j . z + b; `grads (K, 2 D + 1)` are those in w and u_hat.
    """
    dim = w.shape[1]
    for j in range(grads.shape[0]):
        for place in range(j % BLOCK):
            i, number = j - j % BLOCK + place, mixed[j, place]
            for d in range(dim):
                grads[j, d] += number * u_hat[i, d]
            for d in range(dim):
                grads[i, dim + d] += number * w[j, d]
