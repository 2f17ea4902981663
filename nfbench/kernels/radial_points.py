"""The radial chain where every draw has numbers of its own, compiled: one pass over the numbers forward, one backward.

As in `planar_points`: forward, LANES points go together; backward, what follows from the radii alone is made for MAPS
maps at once. Shapes: z (G, D), maps (G, K, D + 2) with rows (c, raw alpha, raw beta), r (G, K), all contiguous. With
alpha and s the softplus of the raw numbers a map is z + q (z - c), q = (s - alpha) / (alpha + r).
"""

import math
from typing import Any

import numpy as np

from nfbench.kernels.arithmetic import ROUND, compiled, factor, inlined, logarithm, renormalise, sigmoid, softplus
from nfbench.kernels.prefetch import LINE, fetch
from nfbench.kernels.radial_slopes import across, along, slopes
from nfbench.kernels.vector import fma, narrow, store, total

width, load, spread, _ = narrow

LANES = 8
MAPS = 64
# Where scalars of LANES points, or of MAPS maps, lie in one array: as several the compiler would not see them apart.
_ALPHA, _S, _R, _ACROSS, _ACROSS_POWER, _ALONG, _ALONG_POWER = (LANES * place for place in range(7))
_Q, _RADIAL, _RADIAL_BY, _TO_ALPHA, _ALPHA_BY, _TO_S, _S_BY = (MAPS * place for place in range(7))


@compiled
def forward(z: Any, maps: Any, out: Any, log_det: Any, r: Any, group: int, groups: int) -> None:
    """The scalars of LANES points are made side by side."""
    dim, depth, kind = z.shape[1], maps.shape[1], z.dtype.type
    row, vector = maps.shape[2], width(maps)
    whole, left = dim - dim % vector, dim % vector
    by, minus = np.ones(7 * LANES, z.dtype), spread(kind(-1))
    for first in range(group, groups, LANES):
        size = min(LANES, groups - first)
        out[first : first + size] = z[first : first + size]
        by[_ACROSS:_ACROSS_POWER], by[_ALONG:_ALONG_POWER] = kind(1), kind(1)
        by[_ACROSS_POWER:_ALONG], by[_ALONG_POWER:] = kind(0), kind(0)
        for k in range(depth):
            for j in range(size):
                at, point, square = ((first + j) * depth + k) * row, (first + j) * dim, spread(kind(0))
                for d in range(0, whole, vector):
                    offset = fma(minus, load(maps, at + d, vector), load(out, point + d, vector))
                    square = fma(offset, offset, square)
                if left:
                    offset = fma(minus, load(maps, at + whole, left), load(out, point + whole, left))
                    square = fma(offset, offset, square)
                by[_R + j], by[_ALPHA + j] = total(square), maps[first + j, k, dim]
                by[_S + j] = maps[first + j, k, dim + 1]
            _spread(by)
            for j in range(size):
                at, point, q = ((first + j) * depth + k) * row, (first + j) * dim, spread(by[_S + j])
                r[first + j, k] = by[_R + j]
                for d in range(0, whole, vector):
                    old = load(out, point + d, vector)
                    store(out, point + d, vector, fma(q, fma(minus, load(maps, at + d, vector), old), old))
                if left:
                    old = load(out, point + whole, left)
                    store(out, point + whole, left, fma(q, fma(minus, load(maps, at + whole, left), old), old))
            if k % ROUND == ROUND - 1:
                renormalise(by[_ACROSS:_ACROSS_POWER], by[_ACROSS_POWER:_ALONG])
                renormalise(by[_ALONG:_ALONG_POWER], by[_ALONG_POWER:])
        for j in range(size):
            log_det[first + j] = kind(dim - 1) * logarithm(by[_ACROSS + j], by[_ACROSS_POWER + j])
            log_det[first + j] += logarithm(by[_ALONG + j], by[_ALONG_POWER + j])


@inlined
def _spread(by: Any) -> None:
    """The squared radius becomes the radius, raw beta becomes q; the factors of |det| are multiplied in."""
    for j in range(LANES):
        radius, alpha, s = math.sqrt(by[_R + j]), softplus(by[_ALPHA + j]), softplus(by[_S + j])
        by[_R + j], by[_S + j] = radius, (s - alpha) / (alpha + radius)
        part, power = factor(across(radius, alpha, s))
        by[_ACROSS + j] *= part
        by[_ACROSS_POWER + j] += power
        part, power = factor(along(radius, alpha, s))
        by[_ALONG + j] *= part
        by[_ALONG_POWER + j] += power


@compiled
def backward(
    z: Any, r: Any, maps: Any, grad: Any, grad_log: Any, to_z: Any, to_maps: Any, group: int, groups: int
) -> None:
    """Point by point; z_{k-1} - c has the direction of z_k - c and the length r that was kept."""
    dim, depth, kind = z.shape[1], maps.shape[1], z.dtype.type
    row, vector, line = maps.shape[2], width(maps), LINE // maps.itemsize
    whole, left = dim - dim % vector, dim % vector
    point, back = np.zeros(whole + vector, z.dtype), np.zeros(whole + vector, z.dtype)
    by, nothing, zero = np.empty(7 * MAPS, z.dtype), spread(kind(0)), kind(0)
    for g in range(group, groups):
        point[:dim], back[:dim] = z[g], grad[g]
        point[dim:], back[dim:] = zero, zero  # a point before that was NaN has left it here, too
        for last in range(depth, 0, -MAPS):
            first = max(0, last - MAPS)
            for k in range(first, last):
                for d in range(0, row, line):  # on the way down it would be fetched in the wrong order
                    fetch(maps, (g * depth + k) * row + d)
                by[_Q + k - first], by[_RADIAL + k - first] = maps[g, k, dim], maps[g, k, dim + 1]
            _constants(by, r[g, first:last], grad_log[g], kind(dim - 1))
            for k in range(last - 1, first - 1, -1):
                at, square, inner = (g * depth + k) * row, nothing, nothing
                for d in range(0, whole, vector):
                    square, inner = _products(maps, at + d, point, back, d, square, inner, vector)
                if left:
                    square, inner = _products(maps, at + whole, point, back, whole, square, inner, left)
                i, length = k - first, math.sqrt(total(square))
                shrink = r[g, k] / length if length > zero else zero
                to_q = total(inner) * shrink
                radial = by[_RADIAL + i] - to_q * by[_RADIAL_BY + i]
                for d in range(0, whole, vector):
                    _down(maps, at + d, point, back, d, to_maps, shrink, by[_Q + i], radial, vector)
                if left:
                    _down(maps, at + whole, point, back, whole, to_maps, shrink, by[_Q + i], radial, left)
                to_maps[g, k, dim] = by[_TO_ALPHA + i] - to_q * by[_ALPHA_BY + i]
                to_maps[g, k, dim + 1] = by[_TO_S + i] + to_q * by[_S_BY + i]
        to_z[g] = back[:dim]


@inlined
def _constants(by: Any, r: Any, grad_log: Any, count: Any) -> None:
    """From the raw numbers: q, and each gradient as one part by itself and one times that in q."""
    zero, one = by.dtype.type(0), by.dtype.type(1)
    for k in range(r.shape[0]):
        a, b, radius = by[_Q + k], by[_RADIAL + k], r[k]
        alpha, s = softplus(a), softplus(b)
        to_r, to_alpha, to_s = slopes(radius, alpha, s, count, grad_log)
        per_reach = one / (alpha + radius)
        per_r = one / radius if radius > zero else zero
        by[_Q + k] = (s - alpha) * per_reach
        by[_RADIAL + k], by[_RADIAL_BY + k] = to_r * per_r, (s - alpha) * per_reach * per_reach * per_r
        slope = sigmoid(a)
        by[_TO_ALPHA + k], by[_ALPHA_BY + k] = to_alpha * slope, (radius + s) * per_reach * per_reach * slope
        slope = sigmoid(b)
        by[_TO_S + k], by[_S_BY + k] = to_s * slope, per_reach * slope


@inlined
def _products(maps: Any, at: Any, point: Any, back: Any, d: Any, square: Any, inner: Any, n: Any) -> Any:
    """Adds n dimensions to |z - c|^2 and to the gradient of z times z - c; z - c is kept in z's place."""
    vector, old = width(maps), load(point, d, width(maps))
    offset = fma(spread(back.dtype.type(-1)), load(maps, at, n), old)
    store(point, d, vector, offset)
    return fma(offset, offset, square), fma(load(back, d, vector), offset, inner)


@inlined
def _down(
    maps: Any, at: Any, point: Any, back: Any, d: Any, to_maps: Any, shrink: Any, q: Any, radial: Any, n: Any
) -> None:
    """Go down n dimensions: the gradient in c, the point's gradient, and the point, in whose place is z - c."""
    vector, nothing = width(maps), spread(q - q)
    offset, grad = fma(spread(shrink), load(point, d, vector), nothing), load(back, d, vector)
    share = fma(spread(q), grad, fma(spread(radial), offset, nothing))
    store(to_maps, at, n, fma(spread(back.dtype.type(-1)), share, nothing))
    store(back, d, vector, fma(spread(back.dtype.type(1)), share, grad))
    store(point, d, vector, fma(spread(back.dtype.type(1)), offset, load(maps, at, n)))
