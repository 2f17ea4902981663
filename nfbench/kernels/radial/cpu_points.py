"""The radial chain where every draw has numbers of its own, compiled: one pass over the numbers forward, one backward.

As in `planar_points`, LANES points go together, and one loop takes a point through a map and to the sums over
dimensions that the next map begins with. Shapes: z (G, D), maps (G, K, D + 2) with rows (c, raw alpha, raw beta),
contiguous, and r (G K,) in the order of its h. With alpha and s the softplus of the raw numbers a map is z + q (z - c),
q = (s - alpha) / (alpha + r).
"""

import math
from typing import Any

from nfbench.kernels.cpu.point_lanes import AHEAD, LANES, keep, recall, take, within
from nfbench.kernels.cpu.team import own
from nfbench.kernels.cpu.tiles import room
from nfbench.kernels.radial.cpu_slopes import across, along, slopes
from nfbench.kernels.simd.arithmetic import ROUND, compiled, factor, inlined, logarithm, renormalise, sigmoid, softplus
from nfbench.kernels.simd.prefetch import claim, fetch
from nfbench.kernels.simd.vector import carry, fma, narrow, store, totals

width, load, spread, _ = narrow

# Where the scalars of LANES points lie in one array: in arrays of their own the compiler would not see them apart.
_ALPHA, _S, _R, _Q, _ACROSS, _ACROSS_POWER, _ALONG, _ALONG_POWER = (LANES * place for place in range(8))
# Those of the way down: the sums, what is given (_R too) and what they make.
_SQUARE, _INNER, _GRAD_LOG, _SHRINK, _RADIAL, _TO_ALPHA, _TO_S = (LANES * place for place in range(4, 11))


@compiled
def forward(z: Any, maps: Any, out: Any, log_det: Any, r: Any, share: Any) -> None:
    """`z_k = z + q (z - c)`."""
    _, group, groups, _, _ = share
    dim, depth, kind = z.shape[1], maps.shape[1], z.dtype.type
    row, vector = maps.shape[2], width(maps)
    whole, left = dim - dim % vector, dim % vector
    side = whole + min(left, 1) * vector
    by, nothing = room(8 * LANES, z), spread(kind(0))
    sums, points = room(LANES * vector, z), room(LANES * side, z)
    for block in range(group - group % LANES, groups, LANES):
        first, size, held, apart = within(block, share, z.shape[0], depth)
        take(points, side, z, first, size)
        by[:_ACROSS] = kind(0)
        by[_ACROSS:_ACROSS_POWER], by[_ALONG:_ALONG_POWER] = kind(1), kind(1)
        by[_ACROSS_POWER:_ALONG], by[_ALONG_POWER:] = kind(0), kind(0)
        for k in range(depth + 1 if depth else 0):  # through map k - 1, at first with q = 0, to the radius of map k
            now, then = max(k - 1, 0), min(k, depth - 1)
            at, point, ahead = (first * depth + now) * row, 0, k + AHEAD - now
            further = (ahead if k + AHEAD < depth else ahead + (LANES - 1) * depth) * row
            for j in range(size):
                to, q, square = at + (then - now) * row, spread(by[_Q + j]), nothing
                for d in range(0, whole, vector):
                    square = _up(maps, at + d, to + d, points, point + d, q, square, vector)
                    fetch(maps, at + further + d)
                if left:
                    square = _up(maps, at + whole, to + whole, points, point + whole, q, square, left)
                    fetch(maps, at + further + whole)
                store(sums, j * vector, vector, square)
                carry(maps, to + dim, by, _ALPHA + j)
                carry(maps, to + dim + 1, by, _S + j)
                at, point = at + depth * row, point + side
            if k < depth:
                for j in range(0, LANES, vector):
                    store(by, _R + j, vector, totals(sums, j * vector, nothing))
                _spread(by)
                keep(r, held + k * apart, by, _R, size)
                if k % ROUND == ROUND - 1:
                    renormalise(by[_ACROSS:_ACROSS_POWER], by[_ACROSS_POWER:_ALONG])
                    renormalise(by[_ALONG:_ALONG_POWER], by[_ALONG_POWER:])
        for j in range(size):
            out[first + j] = points[j * side : j * side + dim]
            log_det[first + j] = kind(dim - 1) * logarithm(by[_ACROSS + j], by[_ACROSS_POWER + j])
            log_det[first + j] += logarithm(by[_ALONG + j], by[_ALONG_POWER + j])


@inlined
def _up(maps: Any, at: Any, to: Any, points: Any, d: Any, q: Any, square: Any, n: Any) -> Any:
    """Take n dimensions of a point through the map at one place and into the squared radius of the one at another."""
    vector, minus, old = width(maps), spread(maps.dtype.type(-1)), load(points, d, width(maps))
    moved = fma(q, fma(minus, load(maps, at, n), old), old)
    store(points, d, vector, moved)
    offset = fma(minus, load(maps, to, n), moved)
    return fma(offset, offset, square)


@inlined
def _spread(by: Any) -> None:
    """The squared radius becomes the radius, and with the raw numbers q; the factors of |det| are multiplied in."""
    for j in range(LANES):
        radius, alpha, s = math.sqrt(by[_R + j]), softplus(by[_ALPHA + j]), softplus(by[_S + j])
        by[_R + j], by[_Q + j] = radius, (s - alpha) / (alpha + radius)
        part, power = factor(across(radius, alpha, s))
        by[_ACROSS + j] *= part
        by[_ACROSS_POWER + j] += power
        part, power = factor(along(radius, alpha, s))
        by[_ALONG + j] *= part
        by[_ALONG_POWER + j] += power


@compiled
def backward(z: Any, r: Any, maps: Any, grad: Any, grad_log: Any, to_z: Any, of_maps: Any, share: Any) -> None:
    """z_{k-1} - c has the direction of z_k - c and the length r that was kept; `points` holds z_k - c."""
    _, group, groups, _, _ = share
    to_maps = own(of_maps, share)
    dim, depth, kind = z.shape[1], maps.shape[1], z.dtype.type
    row, vector = maps.shape[2], width(maps)
    whole, left = dim - dim % vector, dim % vector
    side = whole + min(left, 1) * vector
    by, nothing, sums = room(11 * LANES, z), spread(kind(0)), room(2 * LANES * vector, z)
    points, backs = room(LANES * side, z), room(LANES * side, z)
    for block in range(group - group % LANES, groups, LANES):
        first, size, held, apart = within(block, share, z.shape[0], depth)
        take(points, side, z, first, size)
        take(backs, side, grad, first, size)
        by[:] = kind(0)
        by[_GRAD_LOG : _GRAD_LOG + size] = grad_log[first : first + size]
        for k in range(depth - 1, -2 if depth else -1, -1):  # down map k + 1, if there is one, to the sums of map k
            now, then = min(k + 1, depth - 1), max(k, 0)
            at, point, ahead = (first * depth + now) * row, 0, k - AHEAD - now
            further = (ahead if k >= AHEAD else ahead + (LANES + 1) * depth) * row
            for j in range(size):
                to, square, inner = at + (then - now) * row, nothing, nothing
                q, radial, shrink = spread(by[_Q + j]), spread(by[_RADIAL + j]), spread(by[_SHRINK + j])
                for d in range(0, whole, vector):
                    if k < depth - 1:
                        _down(maps, at + d, points, backs, point + d, to_maps, shrink, q, radial, vector)
                    square, inner = _sums(maps, to + d, points, backs, point + d, square, inner, vector)
                    fetch(maps, at + further + d)
                    claim(to_maps, to + d)
                if left:
                    if k < depth - 1:
                        _down(maps, at + whole, points, backs, point + whole, to_maps, shrink, q, radial, left)
                    square, inner = _sums(maps, to + whole, points, backs, point + whole, square, inner, left)
                    fetch(maps, at + further + whole)
                    claim(to_maps, to + whole)
                carry(by, _TO_ALPHA + j, to_maps, at + dim)
                carry(by, _TO_S + j, to_maps, at + dim + 1)
                store(sums, j * vector, vector, square)
                store(sums, (LANES + j) * vector, vector, inner)
                carry(maps, to + dim, by, _ALPHA + j)
                carry(maps, to + dim + 1, by, _S + j)
                at, point = at + depth * row, point + side
            for j in range(0, 2 * LANES, vector):
                store(by, _SQUARE + j, vector, totals(sums, j * vector, nothing))
            recall(r, held + then * apart, by, _R, size)
            _constants(by, kind(dim - 1))
        for j in range(size):
            to_z[first + j] = backs[j * side : j * side + dim]


@inlined
def _constants(by: Any, count: Any) -> None:
    """From the raw numbers, r, |z - c|^2 and g.(z - c) what all dimensions take on the way down a map."""
    zero, one = by.dtype.type(0), by.dtype.type(1)
    for j in range(LANES):
        a, b, radius = by[_ALPHA + j], by[_S + j], by[_R + j]
        alpha, s, length = softplus(a), softplus(b), math.sqrt(by[_SQUARE + j])
        to_r, to_alpha, to_s = slopes(radius, alpha, s, count, by[_GRAD_LOG + j])
        per_reach, per_r = one / (alpha + radius), one / radius if radius > zero else zero
        shrink = radius / length if length > zero else zero
        q, to_q = (s - alpha) * per_reach, by[_INNER + j] * shrink
        by[_Q + j], by[_SHRINK + j] = q, shrink
        by[_RADIAL + j] = (to_r - to_q * q * per_reach) * per_r
        by[_TO_ALPHA + j] = (to_alpha - to_q * (radius + s) * per_reach * per_reach) * sigmoid(a)
        by[_TO_S + j] = (to_s + to_q * per_reach) * sigmoid(b)


@inlined
def _down(
    maps: Any, at: Any, points: Any, backs: Any, d: Any, to_maps: Any, shrink: Any, q: Any, radial: Any, n: Any
) -> None:
    """Go down n dimensions: the gradient in c, the point's gradient, and the point, in whose place is z - c."""
    vector, nothing, one = width(maps), spread(maps.dtype.type(0)), spread(maps.dtype.type(1))
    offset, grad = fma(shrink, load(points, d, vector), nothing), load(backs, d, vector)
    share = fma(q, grad, fma(radial, offset, nothing))
    store(to_maps, at, n, fma(spread(maps.dtype.type(-1)), share, nothing))
    store(backs, d, vector, fma(one, share, grad))
    store(points, d, vector, fma(one, offset, load(maps, at, n)))


@inlined
def _sums(maps: Any, at: Any, points: Any, backs: Any, d: Any, square: Any, inner: Any, n: Any) -> Any:
    """Adds n dimensions to |z - c|^2 and to the gradient of z times z - c; z - c is kept in z's place."""
    vector = width(maps)
    offset = fma(spread(maps.dtype.type(-1)), load(maps, at, n), load(points, d, vector))
    store(points, d, vector, offset)
    return fma(offset, offset, square), fma(load(backs, d, vector), offset, inner)
