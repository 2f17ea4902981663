"""The loops of the radial chain, compiled: over the draws of a group, or, where they are few, over dimensions.

Shapes: z (G, N, D), maps (G, K, D + 2) with rows (c, raw alpha, raw beta), r (G, K, N). With alpha and s the softplus
of the raw numbers a map is z + q (z - c), q = (s - alpha) / (alpha + r).
"""

import math
from typing import Any

import numpy as np

from nfbench.kernels.arithmetic import ROUND, compiled, factor, inlined, logarithm, renormalise, sigmoid, softplus
from nfbench.kernels.radial_slopes import across, along, slopes
from nfbench.kernels.threads import TILE
from nfbench.kernels.tiles import empty, fill
from nfbench.kernels.vector import fma, load, spread, store, total, width

# Where the scalars of a tile lie in one array: as several the compiler would not see them apart.
_R, _Q, _ACROSS, _ACROSS_POWER, _ALONG, _ALONG_POWER, _REACH = (TILE * place for place in range(7))
_SHRINK, _RADIAL, _LOG = (TILE * place for place in range(2, 5))


@inlined
def _slopes(r: Any, alpha: Any, s: Any, count: Any, grad_log: Any, grad_q: Any) -> Any:
    """d/dr, d/d alpha and d/ds of one map, through ln|det| and through q; `count` is D - 1."""
    to_r, to_alpha, to_s = slopes(r, alpha, s, count, grad_log)
    per_reach = 1 / (alpha + r)
    to_s_by = grad_q * per_reach
    to_q = to_s_by * per_reach
    return to_r - to_q * (s - alpha), to_alpha - to_q * (r + s), to_s + to_s_by


@compiled
def draws_forward(
    z: Any, maps: Any, out: Any, log_det: Any, r: Any, group: int, groups: int, start: int, stop: int
) -> None:
    """A tile holds TILE draws, dimension by dimension; blocks of four vectors of draws go through a map together."""
    dim, depth, kind, vector = z.shape[2], maps.shape[1], z.dtype.type, width(z)
    tile, by, minus = np.zeros(dim * TILE, z.dtype), np.zeros(7 * TILE, z.dtype), spread(kind(-1))
    for g in range(group, groups):
        for first in range(start, stop, TILE):
            size = min(TILE, stop - first)
            fill(tile, z[g, first : first + size])
            by[_ACROSS:] = kind(1)
            by[_ACROSS_POWER:_ALONG], by[_ALONG_POWER:_REACH] = kind(0), kind(0)
            for k in range(depth):
                row = maps[g, k]
                for n in range(0, size, 4 * vector):
                    i, j, m = n + vector, n + 2 * vector, n + 3 * vector
                    s_0, s_1, s_2, s_3 = spread(kind(0)), spread(kind(0)), spread(kind(0)), spread(kind(0))
                    for d in range(dim):
                        at, c = d * TILE, spread(row[d])
                        x_0, x_1 = fma(minus, c, load(tile, at + n, vector)), fma(minus, c, load(tile, at + i, vector))
                        x_2, x_3 = fma(minus, c, load(tile, at + j, vector)), fma(minus, c, load(tile, at + m, vector))
                        s_0, s_1, s_2, s_3 = (
                            fma(x_0, x_0, s_0),
                            fma(x_1, x_1, s_1),
                            fma(x_2, x_2, s_2),
                            fma(x_3, x_3, s_3),
                        )
                    store(by, _R + n, vector, s_0)
                    store(by, _R + i, vector, s_1)
                    store(by, _R + j, vector, s_2)
                    store(by, _R + m, vector, s_3)
                _spread(by, softplus(row[dim]), softplus(row[dim + 1]), size)
                r[g, k, first : first + size] = by[_R : _R + size]
                for n in range(0, size, 4 * vector):
                    for d in range(dim):
                        c = spread(row[d])
                        for i in range(n, n + 4 * vector, vector):
                            old = load(tile, d * TILE + i, vector)
                            store(tile, d * TILE + i, vector, fma(load(by, _Q + i, vector), fma(minus, c, old), old))
                if k % ROUND == ROUND - 1:
                    renormalise(by[_ACROSS:_ACROSS_POWER], by[_ACROSS_POWER:_ALONG])
                    renormalise(by[_ALONG:_ALONG_POWER], by[_ALONG_POWER:_REACH])
            empty(tile, out[g, first : first + size])
            for n in range(size):
                log_det[g, first + n] = kind(dim - 1) * logarithm(by[_ACROSS + n], by[_ACROSS_POWER + n])
                log_det[g, first + n] += logarithm(by[_ALONG + n], by[_ALONG_POWER + n])


@inlined
def _spread(by: Any, alpha: Any, s: Any, size: Any) -> None:
    """One map on a tile of draws: the squared radius becomes the radius, q beside it; factors of |det| go in."""
    for n in range(size):
        radius = math.sqrt(by[_R + n])
        per_reach = 1 / (alpha + radius)
        by[_R + n], by[_REACH + n], by[_Q + n] = radius, per_reach, (s - alpha) * per_reach
    for n in range(size):  # in one loop with the others this would be too much for the compiler to vectorise
        part, power = factor((by[_R + n] + s) * by[_REACH + n])
        by[_ACROSS + n] *= part
        by[_ACROSS_POWER + n] += power
    for n in range(size):
        radius, per_reach = by[_R + n], by[_REACH + n]
        part, power = factor((radius * (radius + alpha + alpha) + alpha * s) * per_reach * per_reach)
        by[_ALONG + n] *= part
        by[_ALONG_POWER + n] += power


@compiled
def draws_backward(
    z: Any,
    r: Any,
    maps: Any,
    grad: Any,
    grad_log: Any,
    to_z: Any,
    to_maps: Any,
    group: int,
    groups: int,
    start: int,
    stop: int,
) -> None:
    """Rebuild z_{k-1} going down; sums over a tile are added to the gradients once a map.

    z_{k-1} - c has the direction of z_k - c and the length r that was kept: a factor (alpha + r) / (r + s) would also
    enlarge the rounding of z_k where a map contracts.
    """
    dim, depth, kind, vector = z.shape[2], maps.shape[1], z.dtype.type, width(z)
    zero, nothing, minus, one = kind(0), spread(kind(0)), spread(kind(-1)), spread(kind(1))
    tile, back, by = np.zeros(dim * TILE, z.dtype), np.zeros(dim * TILE, z.dtype), np.zeros(5 * TILE, z.dtype)
    for g in range(group, groups):
        to_maps[g] = zero
        for first in range(start, stop, TILE):
            size = min(TILE, stop - first)
            fill(tile, z[g, first : first + size])
            fill(back, grad[g, first : first + size])
            by[_LOG:] = zero
            by[_LOG : _LOG + size] = grad_log[g, first : first + size]
            for k in range(depth - 1, -1, -1):
                row = maps[g, k]
                by[_R : _R + size] = r[g, k, first : first + size]
                for n in range(0, size, 2 * vector):
                    i = n + vector
                    s_0, s_1, p_0, p_1 = nothing, nothing, nothing, nothing
                    for d in range(dim):
                        at, c = d * TILE, spread(row[d])
                        x_0, x_1 = fma(minus, c, load(tile, at + n, vector)), fma(minus, c, load(tile, at + i, vector))
                        s_0, s_1 = fma(x_0, x_0, s_0), fma(x_1, x_1, s_1)
                        p_0, p_1 = fma(x_0, load(back, at + n, vector), p_0), fma(x_1, load(back, at + i, vector), p_1)
                    store(by, _SHRINK + n, vector, s_0)
                    store(by, _SHRINK + i, vector, s_1)
                    store(by, _Q + n, vector, p_0)
                    store(by, _Q + i, vector, p_1)
                alpha, s = softplus(row[dim]), softplus(row[dim + 1])
                to_alpha, to_s = _scalars(by, alpha, s, kind(dim - 1), size)
                to_maps[g, k, dim] += to_alpha * sigmoid(row[dim])
                to_maps[g, k, dim + 1] += to_s * sigmoid(row[dim + 1])
                for d in range(dim):
                    c, shares = spread(row[d]), nothing
                    for n in range(0, size, 2 * vector):
                        for i in range(n, n + 2 * vector, vector):
                            at = d * TILE + i
                            x = fma(load(by, _SHRINK + i, vector), fma(minus, c, load(tile, at, vector)), nothing)
                            old = load(back, at, vector)
                            share = fma(load(by, _Q + i, vector), old, fma(load(by, _RADIAL + i, vector), x, nothing))
                            shares = fma(one, share, shares)
                            store(back, at, vector, fma(one, share, old))
                            store(tile, at, vector, fma(one, x, c))
                    to_maps[g, k, d] -= total(shares)
            empty(back, to_z[g, first : first + size])


@inlined
def _scalars(by: Any, alpha: Any, s: Any, count: Any, size: Any) -> Any:
    """From |z_k - c|^2 and the gradient times z_k - c: what each draw's gradients need, and sums for alpha, s."""
    zero = by.dtype.type(0)
    total_alpha, total_s = zero, zero
    for n in range(size):
        radius, square = by[_R + n], by[_SHRINK + n]
        shrink = radius / math.sqrt(square) if square > zero else zero
        to_r, to_alpha, to_s = _slopes(radius, alpha, s, count, by[_LOG + n], by[_Q + n] * shrink)
        by[_SHRINK + n], by[_Q + n] = shrink, (s - alpha) / (alpha + radius)
        by[_RADIAL + n] = to_r / radius if radius > zero else zero
        total_alpha += to_alpha
        total_s += to_s
    for n in range(size, TILE):  # no draws
        by[_SHRINK + n], by[_Q + n], by[_RADIAL + n] = zero, zero, zero
    return total_alpha, total_s


@compiled
def dimensions_forward(z: Any, maps: Any, out: Any, log_det: Any, r: Any, group: int, groups: int) -> None:
    """Map by map for the few draws of a group, D numbers side by side: each map's numbers are read once."""
    dim, draws, kind = z.shape[2], z.shape[1], z.dtype.type
    f, e = np.empty((2, draws), z.dtype), np.empty((2, draws), z.dtype)
    for g in range(group, groups):
        out[g] = z[g]
        f[:], e[:] = kind(1), kind(0)
        for k in range(maps.shape[1]):
            centre, alpha, s = maps[g, k, :dim], softplus(maps[g, k, dim]), softplus(maps[g, k, dim + 1])
            for n in range(draws):
                point, square = out[g, n], kind(0)
                for d in range(dim):
                    offset = point[d] - centre[d]
                    square += offset * offset
                radius = math.sqrt(square)
                q = (s - alpha) / (alpha + radius)
                for d in range(dim):
                    point[d] += q * (point[d] - centre[d])
                r[g, k, n] = radius
                part, power = factor(across(radius, alpha, s))
                f[0, n] *= part
                e[0, n] += power
                part, power = factor(along(radius, alpha, s))
                f[1, n] *= part
                e[1, n] += power
            if k % ROUND == ROUND - 1:
                renormalise(f[0], e[0])
                renormalise(f[1], e[1])
        for n in range(draws):
            log_det[g, n] = kind(dim - 1) * logarithm(f[0, n], e[0, n]) + logarithm(f[1, n], e[1, n])


@compiled
def dimensions_backward(
    z: Any, r: Any, maps: Any, grad: Any, grad_log: Any, to_z: Any, to_maps: Any, group: int, groups: int
) -> None:
    """As `draws_backward`, map by map for the few draws of a group."""
    dim, draws, kind = z.shape[2], z.shape[1], z.dtype.type
    zero, count = kind(0), kind(dim - 1)
    points = np.empty((draws, dim), z.dtype)
    for g in range(group, groups):
        to_z[g], points[:] = grad[g], z[g]
        for k in range(maps.shape[1] - 1, -1, -1):
            centre, to_centre = maps[g, k, :dim], to_maps[g, k, :dim]
            alpha, s = softplus(maps[g, k, dim]), softplus(maps[g, k, dim + 1])
            to_centre[:], total_a, total_s = zero, zero, zero
            for n in range(draws):
                point, back, radius, inner, square = points[n], to_z[g, n], r[g, k, n], zero, zero
                for d in range(dim):
                    point[d] -= centre[d]
                    square += point[d] * point[d]
                shrink = radius / math.sqrt(square) if square > zero else zero
                for d in range(dim):
                    point[d] *= shrink
                    inner += back[d] * point[d]
                to_r, by_a, by_s = _slopes(radius, alpha, s, count, grad_log[g, n], inner)
                total_a += by_a
                total_s += by_s
                radial = to_r / radius if radius > zero else zero
                q = (s - alpha) / (alpha + radius)
                for d in range(dim):
                    share = q * back[d] + radial * point[d]
                    to_centre[d] -= share
                    back[d] += share
                    point[d] += centre[d]
            to_maps[g, k, dim] = total_a * sigmoid(maps[g, k, dim])
            to_maps[g, k, dim + 1] = total_s * sigmoid(maps[g, k, dim + 1])
