"""The planar chain for many draws that share their maps' numbers; compiled.

Tiles of draws go through the chain four maps at a time (`map_blocks`). Shapes: z (G, N, D); maps (G, K, 2 D + 1) with
rows (w, u, b), u before the constraint of App. A.1; u_hat and s are made here, once a group. The activations
h = tanh(w.z + b), (G K N,), lie in the order in which they are made and used: group, tile of draws, map, draw.
"""

from typing import Any

import numpy as np

from nfbench.kernels.compiler.decorators import compiled, inlined
from nfbench.kernels.cpu.map_blocks import BLOCK, move, move_and_sum, product, products, shift
from nfbench.kernels.cpu.shares import TILE
from nfbench.kernels.cpu.team import own
from nfbench.kernels.cpu.tiles import add_totals, empty, fill, four, put, room, squares
from nfbench.kernels.planar.cpu_constraint import S, constrain_all, unconstrain_all
from nfbench.kernels.simd.arithmetic import logarithm
from nfbench.kernels.simd.factor import factor
from nfbench.kernels.simd.prefetch import fetch
from nfbench.kernels.simd.tanh import tanh
from nfbench.kernels.simd.vector import fma, quotient, store, total, wide

width, load, spread, _ = wide

# Indices of a tile's scalars in one array (of separate arrays LLVM would have to assume that they overlap). First come
# four rows, one for each map of a block: on the way up w.z, then h; on the way down the gradient in h, then in w.z + b.
_FACTOR, _POWER = BLOCK * TILE, (BLOCK + 1) * TILE
_MILD = 2.0**-28  # if a block's |det| are between this and its inverse, float32 holds their product
_H, _LOG, _ABSENT = BLOCK * TILE, 2 * BLOCK * TILE, (2 * BLOCK + 1) * TILE


@compiled
def forward(z: Any, maps: Any, out: Any, log_det: Any, h: Any, share: Any) -> None:
    """Push draws through the chain, block by block of maps; places of a tile without a draw hold zeros.

    Args:
        z: (G, N, D).
        maps: (G, K, 2 D + 1).
        out: z_K (G, N, D), written.
        log_det: ln|det| (G, N), written.
        h: activations (G K N,), written.
        share: which groups and draws.
    """
    _, group, groups, start, stop = share
    draws, dim, depth, kind, vector = z.shape[1], z.shape[2], maps.shape[1], z.dtype.type, width(z)
    tile, scalars = room(dim * TILE, z), room((BLOCK + 2) * TILE, z)
    w, u_hat, constants, across = _rooms(depth, dim, z)
    along, moved = w.reshape(w.size), u_hat.reshape(w.size)
    before, after = z.reshape(z.size), out.reshape(out.size)
    for g in range(group, groups):
        _prepare(maps[g], w, u_hat, constants, across)
        for first in range(start, stop, TILE):
            size = min(TILE, stop - first)
            fill(tile, before, (g * draws + first) * dim, size)
            scalars[_FACTOR:_POWER], scalars[_POWER:] = kind(1), kind(0)
            at = (g * draws + first) * depth
            for k in range(0, depth, BLOCK):
                products(along, k * dim, tile, scalars, 0)
                here, mild = min(BLOCK, depth - k), True
                for i in range(here):
                    mild &= _MILD < constants[S, k + i] < 1 / _MILD
                for i in range(here):
                    _activate(scalars, i * TILE, maps[g, k + i, 2 * dim], constants[S, k + i], size)
                    for n in range(0, size, vector):
                        store(h, at + n, min(vector, size - n), load(scalars, i * TILE + n, vector))
                    at += size
                    for j in range(i + 1, BLOCK):
                        shift(scalars, j * TILE, across[k + j, i], i * TILE)
                    if i == here - 1 or not mild:
                        _factorise(scalars)
                move(moved, k * dim, scalars, 0, tile)
            empty(tile, after, (g * draws + first) * dim, size)
            _logarithms(scalars, log_det[g, first : first + size])


@inlined
def _logarithms(scalars: Any, log_det: Any) -> None:
    """Write ln|det| of a tile's draws, from factors and powers of two, to `log_det (size,)`."""
    f, e = scalars[_FACTOR:_POWER], scalars[_POWER:]
    for n in range(log_det.shape[0]):
        log_det[n] = logarithm(f[n], e[n])


@inlined
def _rooms(depth: Any, dim: Any, like: Any) -> Any:
    """Memory for w (K', D), u_hat (K', D), the constants s, w.u and w.w (3, K), and `across` (K', BLOCK).

    K' is K rounded up to whole blocks; the maps added have w = u_hat = 0 and leave draws where they are.
    """
    whole = depth + (-depth) % BLOCK
    rows = np.zeros((whole, dim), like.dtype), np.zeros((whole, dim), like.dtype)
    return (*rows, np.empty((3, depth), like.dtype), np.zeros((whole, BLOCK), like.dtype))


@inlined
def _prepare(maps: Any, w: Any, u_hat: Any, constants: Any, across: Any) -> None:
    """Fill memory of `_rooms` from `maps (K, 2 D + 1)`.

    Row j of `across` has w_j . u_hat for each map before map j in its block.
    """
    dim = w.shape[1]
    constrain_all(maps, u_hat, constants)
    for k in range(maps.shape[0]):
        for d in range(dim):
            w[k, d] = maps[k, d]
        for i in range(k % BLOCK):
            before = k - k % BLOCK + i
            product_of_both = w[k, 0] * u_hat[before, 0]
            for d in range(1, dim):
                product_of_both += w[k, d] * u_hat[before, d]
            across[k, i] = product_of_both


@inlined
def _activate(scalars: Any, row: Any, b: Any, s: Any, size: Any) -> None:
    """One map on a tile of draws: w.z becomes h = tanh(w.z + b), and |det| = h^2 + s (1 - h^2) is multiplied in."""
    vector, same, more = width(scalars), spread(scalars.dtype.type(1)), spread(b)
    for n in range(0, size, 4 * vector):
        a_0, a_1, a_2, a_3 = four(scalars, row + n)
        h = tanh(fma(same, a_0, more), fma(same, a_1, more), fma(same, a_2, more), fma(same, a_3, more))
        put(scalars, row + n, *h)
        _multiply(scalars, n, h[0], s)
        _multiply(scalars, n + vector, h[1], s)
        _multiply(scalars, n + 2 * vector, h[2], s)
        _multiply(scalars, n + 3 * vector, h[3], s)


@inlined
def _multiply(scalars: Any, n: Any, h: Any, s: Any) -> None:
    """Multiply |det| = h^2 + s (1 - h^2) of a vector of draws, from draw n of the tile on, into their factors."""
    vector, kind = width(scalars), scalars.dtype.type
    one, zeros = spread(kind(1)), spread(kind(0))
    square = fma(h, h, zeros)
    det = fma(spread(s), fma(spread(kind(-1)), square, one), square)
    store(scalars, _FACTOR + n, vector, fma(load(scalars, _FACTOR + n, vector), det, zeros))


@inlined
def _factorise(scalars: Any) -> None:
    """Move powers of two from a tile's factors, which are then between 1 and 2, to their exponents."""
    vector, one = width(scalars), spread(scalars.dtype.type(1))
    for n in range(0, TILE, vector):
        part, power = factor(load(scalars, _FACTOR + n, vector))
        store(scalars, _FACTOR + n, vector, part)
        store(scalars, _POWER + n, vector, fma(one, load(scalars, _POWER + n, vector), power))


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
    """Gradients in z and maps; z before a block of maps is rebuilt from z after it and the block's h.

    Gradients in w and u_hat are sums over draws of products with z before the block, and with the gradient after it.
    The cross terms of maps in one block are added once, at the end (`_add_cross_terms`).

    Args:
        z: z_K (G, N, D).
        h: activations (G K N,), as `forward` wrote them.
        maps: (G, K, 2 D + 1).
        grad: gradient in z_K (G, N, D).
        grad_log: gradient in ln|det| (G, N).
        to_z: gradient in z (G, N, D), written.
        of_maps: gradient in the maps (R, G, K, 2 D + 1), memory of `shares.combined`, written.
        share: which groups and draws.
    """
    _, group, groups, start, stop = share
    to_maps = own(of_maps, share)
    draws, dim, depth, kind, vector = z.shape[1], z.shape[2], maps.shape[1], z.dtype.type, width(z)
    tile, back, scalars = room(dim * TILE, z), room(dim * TILE, z), room((2 * BLOCK + 2) * TILE, z)
    w, u_hat, constants, across = _rooms(depth, dim, z)
    along, moved, down = w.reshape(w.size), u_hat.reshape(w.size), np.empty(w.size, z.dtype)
    to_s, mixed, sums = np.empty(depth, z.dtype), np.empty_like(across), squares(BLOCK * vector, z)
    after, grads, before = z.reshape(z.size), grad.reshape(grad.size), to_z.reshape(to_z.size)
    rows, row = to_maps.reshape(to_maps.size), maps.shape[2]
    for g in range(group, groups):
        _prepare(maps[g], w, u_hat, constants, across)
        down[:] = -moved
        to_maps[g], to_s[:], mixed[:] = kind(0), kind(0), kind(0)
        for first in range(start, stop, TILE):
            size = min(TILE, stop - first)
            fill(tile, after, (g * draws + first) * dim, size)
            fill(back, grads, (g * draws + first) * dim, size)
            scalars[:], scalars[_ABSENT + size :] = kind(0), kind(1)
            scalars[_LOG : _LOG + size] = grad_log[g, first : first + size]
            for k in range(depth - 1 - (depth - 1) % BLOCK, -1, -BLOCK):
                at, here = (g * draws + first) * depth + k * size, min(BLOCK, depth - k)
                _recall(h, at, size, scalars, here)
                products(moved, k * dim, back, scalars, 0)
                for i in range(here - 1, -1, -1):
                    by_s, by_b = _deactivate(scalars, i * TILE, constants[S, k + i], size)
                    to_s[k + i] += by_s
                    to_maps[g, k + i, 2 * dim] += by_b
                    for j in range(i):
                        shift(scalars, j * TILE, across[k + i, j], i * TILE)
                        mixed[k + i, j] += product(scalars, i * TILE, _H + j * TILE)
                to = (g * depth + k) * row
                for d in range(0, dim, vector):
                    end = min(dim, d + vector)
                    move_and_sum(down, k * dim, scalars, _H, tile, back, d, end, sums)
                    _add_sums(rows, to + dim + d, row, sums, here, end - d)
                    move_and_sum(along, k * dim, scalars, 0, back, tile, d, end, sums)
                    _add_sums(rows, to + d, row, sums, here, end - d)
            empty(back, before, (g * draws + first) * dim, size)
        _add_cross_terms(mixed, w, u_hat, to_maps[g])
        unconstrain_all(maps[g], constants, to_s, to_maps[g])


@inlined
def _add_sums(rows: Any, at: Any, row: Any, sums: Any, here: Any, count: Any) -> None:
    """Add the sums of `move_and_sum` to the gradients of `here` maps, whose numbers are `row` apart in `rows`."""
    square = width(sums) * width(sums)
    for i in range(here):
        add_totals(rows, at + i * row, sums, i * square, count)


@inlined
def _recall(h: Any, at: Any, size: Any, scalars: Any, here: Any) -> None:
    """Load h of a tile's draws in a block of `here` maps, from `h[at]` on, zeros for no map; fetch the block below."""
    vector, zeros = width(scalars), spread(scalars.dtype.type(0))
    for i in range(BLOCK):
        for n in range(0, TILE, vector):
            count = min(vector, size - n) if i < here else 0
            store(scalars, _H + i * TILE + n, vector, load(h, at + i * size + n, count) if count > 0 else zeros)
            fetch(h, at + (i - BLOCK) * size + n)


@inlined
def _deactivate(scalars: Any, row: Any, s: Any, size: Any) -> Any:
    """One map on a tile of draws: the gradient in h becomes that in w.z + b, with the part of ln|det|.

    Returns:
        The gradients in s and in b, summed over the tile.
    """
    vector, kind = width(scalars), scalars.dtype.type
    one, less, zeros = spread(kind(1)), spread(kind(-1)), spread(kind(0))
    flattened, doubled, to_s, to_b = spread(s), spread(kind(2) * (kind(1) - s)), zeros, zeros
    for n in range(0, size, vector):
        h, log, absent = (
            load(scalars, _H + row + n, vector),
            load(scalars, _LOG + n, vector),
            load(scalars, _ABSENT + n, vector),
        )
        square = fma(h, h, zeros)
        flat = fma(less, square, one)
        share = quotient(log, fma(one, absent, fma(flattened, flat, square)))
        to_s = fma(share, flat, to_s)
        a = fma(fma(fma(doubled, h, zeros), share, load(scalars, row + n, vector)), flat, zeros)
        store(scalars, row + n, vector, a)
        to_b = fma(one, a, to_b)
    return total(to_s), total(to_b)


@inlined
def _add_cross_terms(mixed: Any, w: Any, u_hat: Any, grads: Any) -> None:
    """Cross terms in a block: add sum_i mixed[j, i] u_i to the gradient in w_j, sum_j mixed[j, i] w_j to that in u_i.

    Args:
        mixed: (K', BLOCK), mixed[j, i] = sum over draws of c_j h_i, c_j the gradient in w_j . z + b.
        w: (K', D).
        u_hat: (K', D).
        grads: (K, 2 D + 1), the gradients in w and u_hat.
    """
    dim = w.shape[1]
    for j in range(grads.shape[0]):
        for place in range(j % BLOCK):
            i, number = j - j % BLOCK + place, mixed[j, place]
            for d in range(dim):
                grads[j, d] += number * u_hat[i, d]
            for d in range(dim):
                grads[i, dim + d] += number * w[j, d]
