"""The radial chain for one draw of each data point, all with numbers of their own; compiled.

LANES points go up or down together (`point_lanes`). One loop moves a point through a map and takes the sums over
dimensions that the next map begins with: the numbers are read from memory once forward and once backward.

With alpha and s the softplus of the raw numbers a map is z + q (z - c), q = (s - alpha) / (alpha + r), r = |z - c|.
Shapes, all contiguous: z (G, D); maps (G, K, D + 2) with rows (c, raw alpha, raw beta); the activations r, (G K,), in
the order of `point_lanes.intersect_block`.
"""

import math
from typing import Any

from nfbench.kernels.compiler.decorators import compiled, inlined
from nfbench.kernels.cpu.point_lanes import LANES, downward, give, intersect_block, recall, save, take, upward
from nfbench.kernels.cpu.team import own
from nfbench.kernels.cpu.tiles import room
from nfbench.kernels.radial.cpu_restart import begin, climb, enlarged
from nfbench.kernels.radial.cpu_slopes import across, along, slopes
from nfbench.kernels.radial.reference import LIMIT
from nfbench.kernels.simd.arithmetic import ROUND, factor, logarithm, renormalise, sigmoid, softplus
from nfbench.kernels.simd.prefetch import claim, fetch
from nfbench.kernels.simd.vector import carry, fma, narrow, store, totals

width, load, spread, _ = narrow

# Indices of the scalars of LANES points in one array (of separate arrays LLVM would have to assume that they overlap).
# On the way up: the raw numbers, r, q, and the two factors of |det|, each as a product and powers of two.
_ALPHA, _S, _R, _Q, _ACROSS, _ACROSS_POWER, _ALONG, _ALONG_POWER = (LANES * place for place in range(8))
# On the way down, beside the raw numbers, r and q: two sums (|z - c|^2 and g.(z - c)), the gradient in ln|det|, what
# `_constants` makes of them, and how far rounding was enlarged.
_SQUARE, _INNER, _GRAD_LOG, _SHRINK, _RADIAL, _TO_ALPHA, _TO_S, _GROWN = (LANES * place for place in range(4, 12))


@compiled
def forward(z: Any, maps: Any, out: Any, log_det: Any, r: Any, share: Any) -> None:
    """Push points through the chain: z_k = z + q (z - c).

    Args:
        z: (G, D).
        maps: (G, K, D + 2).
        out: z_K (G, D), written.
        log_det: ln|det| (G,), written.
        r: activations (G K,), written.
        share: which points.
    """
    _, group, groups, _, _ = share
    dim, depth, kind = z.shape[1], maps.shape[1], z.dtype.type
    row, vector = maps.shape[2], width(maps)
    whole, left = dim - dim % vector, dim % vector
    side = whole + min(left, 1) * vector
    scalars, zeros = room(8 * LANES, z), spread(kind(0))
    sums, points = room(LANES * vector, z), room(LANES * side, z)
    for block in range(group - group % LANES, groups, LANES):
        first, size, offset, stride = intersect_block(block, share, z.shape[0], depth)
        take(points, side, z, first, size)
        scalars[:_ACROSS] = kind(0)
        scalars[_ACROSS:_ACROSS_POWER], scalars[_ALONG:_ALONG_POWER] = kind(1), kind(1)
        scalars[_ACROSS_POWER:_ALONG], scalars[_ALONG_POWER:] = kind(0), kind(0)
        for k in range(depth + 1 if depth else 0):  # the first step moves points by q = 0
            (at, step, ahead), point = upward(first, k, depth, row), 0
            for j in range(size):
                to, q, square = at + step, spread(scalars[_Q + j]), zeros
                for d in range(0, whole, vector):
                    square = _up(maps, at + d, to + d, points, point + d, q, square, vector)
                    fetch(maps, at + ahead + d)
                if left:
                    square = _up(maps, at + whole, to + whole, points, point + whole, q, square, left)
                    fetch(maps, at + ahead + whole)
                store(sums, j * vector, vector, square)
                carry(maps, to + dim, scalars, _ALPHA + j)
                carry(maps, to + dim + 1, scalars, _S + j)
                at, point = at + depth * row, point + side
            if k < depth:
                for j in range(0, LANES, vector):
                    store(scalars, _R + j, vector, totals(sums, j * vector, zeros))
                _activate(scalars)
                save(r, offset + k * stride, scalars, _R, size)
                if k % ROUND == ROUND - 1:
                    renormalise(scalars[_ACROSS:_ACROSS_POWER], scalars[_ACROSS_POWER:_ALONG])
                    renormalise(scalars[_ALONG:_ALONG_POWER], scalars[_ALONG_POWER:])
        for j in range(size):
            out[first + j] = points[j * side : j * side + dim]
            log_det[first + j] = kind(dim - 1) * logarithm(scalars[_ACROSS + j], scalars[_ACROSS_POWER + j])
            log_det[first + j] += logarithm(scalars[_ALONG + j], scalars[_ALONG_POWER + j])


@inlined
def _up(maps: Any, at: Any, to: Any, points: Any, d: Any, q: Any, square: Any, n: Any) -> Any:
    """Move n dimensions of a point through one map, and add them to the squared radius |z - c|^2 of the next.

    Args:
        maps: (G, K, D + 2).
        at: index of these dimensions' c in the map that ends.
        to: the same in the map that begins.
        points: scratch.
        d: index of the dimensions in `points`.
        q: of the map that ends, in every place of a vector.
        square: vector of sums.
        n: how many dimensions, at most a vector's width.
    """
    vector, minus, old = width(maps), spread(maps.dtype.type(-1)), load(points, d, width(maps))
    moved = fma(q, fma(minus, load(maps, at, n), old), old)
    store(points, d, vector, moved)
    offset = fma(minus, load(maps, to, n), moved)
    return fma(offset, offset, square)


@inlined
def _activate(scalars: Any) -> None:
    """Of LANES points: r^2 becomes r, q is made of it and the raw numbers, the factors of |det| are multiplied in."""
    for j in range(LANES):
        radius, alpha, s = math.sqrt(scalars[_R + j]), softplus(scalars[_ALPHA + j]), softplus(scalars[_S + j])
        scalars[_R + j], scalars[_Q + j] = radius, (s - alpha) / (alpha + radius)
        part, power = factor(across(radius, alpha, s))
        scalars[_ACROSS + j] *= part
        scalars[_ACROSS_POWER + j] += power
        part, power = factor(along(radius, alpha, s))
        scalars[_ALONG + j] *= part
        scalars[_ALONG_POWER + j] += power


@compiled
def backward(
    z: Any, r: Any, maps: Any, grad: Any, grad_log: Any, to_z: Any, of_maps: Any, start: Any, share: Any
) -> None:
    """Gradients in z and maps; z_{k-1} = c + r (z_k - c) / |z_k - c| is rebuilt going down, from the saved r.

    One loop takes a point and its gradient g down a map and takes the sums |z - c|^2 and g.(z - c) of the map below.
    Where a chain contracts, points are computed anew from z_0 (`cpu_restart`).

    Args:
        z: z_K (G, D).
        r: activations (G K,), as `forward` wrote them.
        maps: (G, K, D + 2).
        grad: gradient in z_K (G, D).
        grad_log: gradient in ln|det| (G,).
        to_z: gradient in z (G, D), written.
        of_maps: gradient in the maps (R, G, K, D + 2), memory of `shares.combined`, written.
        start: what z_0 is made of, `cpu_restart`.
        share: which points.
    """
    _, group, groups, _, _ = share
    to_maps = own(of_maps, share)
    dim, depth, kind = z.shape[1], maps.shape[1], z.dtype.type
    row, vector = maps.shape[2], width(maps)
    whole, left = dim - dim % vector, dim % vector
    side = whole + min(left, 1) * vector
    scalars, zeros, sums = room(12 * LANES, z), spread(kind(0)), room(2 * LANES * vector, z)
    points, backs, path = room(LANES * side, z), room(LANES * side, z), room(0, z)
    for block in range(group - group % LANES, groups, LANES):
        first, size, offset, stride = intersect_block(block, share, z.shape[0], depth)
        take(points, side, z, first, size)
        take(backs, side, grad, first, size)
        scalars[:], climbed = kind(0), False
        scalars[_GRAD_LOG : _GRAD_LOG + size] = grad_log[first : first + size]
        for k in range(depth - 1, -2 if depth else -1, -1):
            (at, step, ahead, beginning), point = downward(first, k, depth, row), 0
            for j in range(size):
                to, square, inner = at + step, zeros, zeros
                q, radial, shrink = spread(scalars[_Q + j]), spread(scalars[_RADIAL + j]), spread(scalars[_SHRINK + j])
                for d in range(0, whole, vector):
                    if k < depth - 1:
                        _down(maps, at + d, points, backs, point + d, to_maps, shrink, q, radial, vector)
                    square, inner = _sums(maps, to + d, points, backs, point + d, square, inner, vector)
                    fetch(maps, at + ahead + d)
                    claim(to_maps, to + d)
                if left:
                    if k < depth - 1:
                        _down(maps, at + whole, points, backs, point + whole, to_maps, shrink, q, radial, left)
                    square, inner = _sums(maps, to + whole, points, backs, point + whole, square, inner, left)
                    fetch(maps, at + ahead + whole)
                    claim(to_maps, to + whole)
                carry(scalars, _TO_ALPHA + j, to_maps, at + dim)
                carry(scalars, _TO_S + j, to_maps, at + dim + 1)
                store(sums, j * vector, vector, square)
                store(sums, (LANES + j) * vector, vector, inner)
                carry(maps, to + dim, scalars, _ALPHA + j)
                carry(maps, to + dim + 1, scalars, _S + j)
                at, point = at + depth * row, point + side
            for j in range(0, 2 * LANES, vector):
                store(scalars, _SQUARE + j, vector, totals(sums, j * vector, zeros))
            recall(r, offset + beginning * stride, scalars, _R, size)
            _constants(scalars, kind(dim - 1))
            if _watch(scalars) and k >= 0:
                if not climbed:
                    path, climbed = _path(path, start, maps, r, offset, stride, first, size), True
                _put_back(points, backs, path[k * LANES * dim :], maps, first, k, scalars, size)
                _constants(scalars, kind(dim - 1))
        give(backs, side, to_z, first, size)


@inlined
def _path(path: Any, start: Any, maps: Any, r: Any, offset: Any, stride: Any, first: Any, size: Any) -> Any:
    """Write the points of a block before each map to (K LANES D,), `path` if that is not empty.

    Args:
        path: memory, or empty.
        start: what z_0 is made of.
        maps: (G, K, D + 2).
        r: activations (G K,).
        offset: index in r of the first point's activation in the first map.
        stride: from one map's activations to the next one's.
        first: the first point.
        size: how many points.

    Returns:
        The memory.
    """
    depth, dim = maps.shape[1], maps.shape[2] - 2
    if not path.size:
        path = room(depth * LANES * dim, maps)
    rows = path.reshape(depth, LANES, dim)
    for j in range(size):
        begin(start, first + j, start[0][first + j], rows[0, j])
        for k in range(depth - 1):
            numbers = maps[first + j, k]
            alpha, s, radius = softplus(numbers[dim]), softplus(numbers[dim + 1]), r[offset + k * stride + j]
            climb(rows[k, j], rows[k + 1, j], numbers, alpha, s, radius)
    return path


@inlined
def _put_back(points: Any, backs: Any, exact: Any, maps: Any, first: Any, k: Any, scalars: Any, size: Any) -> None:
    """Replace z_k - c by z_{k-1} - c in those points whose rounding was enlarged beyond `LIMIT`, with their sums.

    Args:
        points: scratch (LANES side,), z_k - c.
        backs: scratch (LANES side,), gradients.
        exact: z before map k, D numbers a point.
        maps: (G, K, D + 2).
        first: the first point.
        k: the map.
        scalars: of LANES points; enlargements above the limit become 1.
        size: how many points.
    """
    kind, side, dim = points.dtype.type, points.shape[0] // LANES, maps.shape[2] - 2
    for j in range(size):
        if scalars[_GROWN + j] > kind(LIMIT):
            square, inner, at = kind(0), kind(0), j * side
            for d in range(dim):
                points[at + d] = exact[j * dim + d] - maps[first + j, k, d]
            for d in range(dim):  # a loop that only reads: `decorators.FLAGS` says why
                square += points[at + d] * points[at + d]
                inner += points[at + d] * backs[at + d]
            scalars[_SQUARE + j], scalars[_INNER + j], scalars[_GROWN + j] = square, inner, kind(1)


@inlined
def _watch(scalars: Any) -> Any:
    """Carry the enlargements of LANES points' rounding down a map; how many are beyond `LIMIT`."""
    zero, one, limit = scalars.dtype.type(0), scalars.dtype.type(1), scalars.dtype.type(LIMIT)
    beyond = zero
    for j in range(LANES):
        grown = enlarged(scalars[_GROWN + j], scalars[_SHRINK + j], scalars[_R + j], one, limit)
        scalars[_GROWN + j] = grown
        beyond += one if grown > limit else zero
    return beyond


@inlined
def _constants(scalars: Any, count: Any) -> None:
    """Of LANES points, from the raw numbers, r, |z - c|^2 and g.(z - c): what every dimension needs down a map.

    These are q, the factor r / |z - c|, the gradient in r over r, and the gradients in the raw numbers.
    """
    zero, one = scalars.dtype.type(0), scalars.dtype.type(1)
    for j in range(LANES):
        a, b, radius = scalars[_ALPHA + j], scalars[_S + j], scalars[_R + j]
        alpha, s, length = softplus(a), softplus(b), math.sqrt(scalars[_SQUARE + j])
        to_r, to_alpha, to_s = slopes(radius, alpha, s, count, scalars[_GRAD_LOG + j])
        per_reach, per_r = one / (alpha + radius), one / radius if radius > zero else zero
        shrink = radius / length if length > zero else zero
        q, to_q = (s - alpha) * per_reach, scalars[_INNER + j] * shrink
        scalars[_Q + j], scalars[_SHRINK + j] = q, shrink
        scalars[_RADIAL + j] = (to_r - to_q * q * per_reach) * per_r
        scalars[_TO_ALPHA + j] = (to_alpha - to_q * (radius + s) * per_reach * per_reach) * sigmoid(a)
        scalars[_TO_S + j] = (to_s + to_q * per_reach) * sigmoid(b)


@inlined
def _down(
    maps: Any, at: Any, points: Any, backs: Any, d: Any, to_maps: Any, shrink: Any, q: Any, radial: Any, n: Any
) -> None:
    """Take n dimensions down a map: write the gradient in c, add to the point's, rebuild the point (z - c is there)."""
    vector, zeros, one = width(maps), spread(maps.dtype.type(0)), spread(maps.dtype.type(1))
    offset, grad = fma(shrink, load(points, d, vector), zeros), load(backs, d, vector)
    share = fma(q, grad, fma(radial, offset, zeros))
    store(to_maps, at, n, fma(spread(maps.dtype.type(-1)), share, zeros))
    store(backs, d, vector, fma(one, share, grad))
    store(points, d, vector, fma(one, offset, load(maps, at, n)))


@inlined
def _sums(maps: Any, at: Any, points: Any, backs: Any, d: Any, square: Any, inner: Any, n: Any) -> Any:
    """Add n dimensions to the sums |z - c|^2 and g.(z - c); z - c is stored in z's place."""
    vector = width(maps)
    offset = fma(spread(maps.dtype.type(-1)), load(maps, at, n), load(points, d, vector))
    store(points, d, vector, offset)
    return fma(offset, offset, square), fma(load(backs, d, vector), offset, inner)
