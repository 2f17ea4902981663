"""The planar chain for one draw of each data point, all with numbers of their own; compiled.

LANES points go up or down together (`point_lanes`). One loop moves a point through a map and takes the sums over
dimensions that the next map begins with. A map's numbers are thus read twice, but while they are in the cache: from
memory they are read once forward and once backward.

Shapes, all contiguous: z (G, D); maps (G, K, 2 D + 1) with rows (w, u, b); the activations h = tanh(w.z + b), (G K,),
in the order of `point_lanes.intersect_block`.
"""

from typing import Any

from nfbench.kernels.compiler.decorators import compiled, inlined
from nfbench.kernels.cpu.point_lanes import LANES, downward, give, intersect_block, recall, save, take, upward
from nfbench.kernels.cpu.team import own
from nfbench.kernels.cpu.tiles import room
from nfbench.kernels.simd.arithmetic import ROUND, factor, logarithm, renormalise, sigmoid, softplus, tanh
from nfbench.kernels.simd.prefetch import claim, fetch
from nfbench.kernels.simd.vector import carry, fma, narrow, store, totals

width, load, spread, _ = narrow

# Indices of the scalars of LANES points in one array (of separate arrays LLVM would have to assume that they overlap).
# On the way up: w.u, then scale; w.w; w.z + b, then h; and |det| as factors and powers of two (`arithmetic.factor`).
_WU, _WW, _A, _FACTOR, _POWER = (LANES * place for place in range(5))
# On the way down: four sums (w.u, w.w, g.u, g.w), h and the gradient in ln|det|, and what `_constants` makes of them.
_GU, _GW, _H, _GRAD_LOG, _ACTIVE, _SCALE, _BOTH, _TO_A, _TO_WU, _TO_WW = (LANES * place for place in range(2, 12))


@compiled
def forward(z: Any, maps: Any, out: Any, log_det: Any, h: Any, share: Any) -> None:
    """Push points through the chain: z_k = z + (u + scale w) h with h = tanh(w.z + b).

    Here scale = (s - 1 - w.u) / w.w and s = softplus(w.u); where w.w = 0, scale = 0 and s = 1 + w.u.

    Args:
        z: (G, D).
        maps: (G, K, 2 D + 1).
        out: z_K (G, D), written.
        log_det: ln|det| (G,), written.
        h: activations (G K,), written.
        share: which points.
    """
    _, group, groups, _, _ = share
    dim, depth, kind = z.shape[1], maps.shape[1], z.dtype.type
    row, vector = maps.shape[2], width(maps)
    whole, left = dim - dim % vector, dim % vector
    side = whole + min(left, 1) * vector
    scalars, zeros, one = room(5 * LANES, z), spread(kind(0)), spread(kind(1))
    sums, points = room(3 * LANES * vector, z), room(LANES * side, z)
    for block in range(group - group % LANES, groups, LANES):
        first, size, offset, stride = intersect_block(block, share, z.shape[0], depth)
        take(points, side, z, first, size)
        scalars[:_FACTOR], scalars[_FACTOR:_POWER], scalars[_POWER:] = kind(0), kind(1), kind(0)
        for k in range(depth + 1 if depth else 0):  # the first step moves points by h = 0
            (at, step, ahead), point = upward(first, k, depth, row), 0
            for j in range(size):
                to, active, scale = at + step, spread(scalars[_A + j]), spread(scalars[_WU + j])
                wu, ww, wz = zeros, zeros, zeros
                for d in range(0, whole, vector):
                    wu, ww, wz = _up(maps, at + d, to + d, dim, points, point + d, active, scale, wu, ww, wz, vector)
                    fetch(maps, at + ahead + 2 * d)
                if left:
                    d = whole
                    wu, ww, wz = _up(maps, at + d, to + d, dim, points, point + d, active, scale, wu, ww, wz, left)
                    fetch(maps, at + ahead + 2 * d)
                store(sums, j * vector, vector, wu)
                store(sums, (LANES + j) * vector, vector, ww)
                store(sums, (2 * LANES + j) * vector, vector, wz)
                carry(maps, to + 2 * dim, scalars, _A + j)
                at, point = at + depth * row, point + side
            if k < depth:
                for j in range(0, LANES, vector):
                    store(scalars, _WU + j, vector, totals(sums, j * vector, one))
                    store(scalars, _WW + j, vector, totals(sums, (LANES + j) * vector, one))
                    wz = totals(sums, (2 * LANES + j) * vector, one)
                    store(scalars, _A + j, vector, fma(one, wz, load(scalars, _A + j, vector)))
                _activate(scalars)
                save(h, offset + k * stride, scalars, _A, size)
                if k % ROUND == ROUND - 1:
                    renormalise(scalars[_FACTOR:_POWER], scalars[_POWER:])
        for j in range(size):
            out[first + j] = points[j * side : j * side + dim]
            log_det[first + j] = logarithm(scalars[_FACTOR + j], scalars[_POWER + j])


@inlined
def _up(
    maps: Any,
    at: Any,
    to: Any,
    dim: Any,
    points: Any,
    d: Any,
    active: Any,
    scale: Any,
    wu: Any,
    ww: Any,
    wz: Any,
    n: Any,
) -> Any:
    """Move n dimensions of a point through one map, and add them to the sums w.u, w.w, w.z of the next.

    Args:
        maps: (G, K, 2 D + 1).
        at: index of these dimensions' w in the map that ends.
        to: the same in the map that begins.
        dim: D, the distance from w to u.
        points: scratch.
        d: index of the dimensions in `points`.
        active: h of the map that ends, in every place of a vector.
        scale: its scale, likewise.
        wu: vector of sums.
        ww: vector of sums.
        wz: vector of sums.
        n: how many dimensions, at most a vector's width.
    """
    vector = width(maps)
    moved = fma(fma(scale, load(maps, at, n), load(maps, at + dim, n)), active, load(points, d, vector))
    store(points, d, vector, moved)
    w, u = load(maps, to, n), load(maps, to + dim, n)
    return fma(w, u, wu), fma(w, w, ww), fma(w, moved, wz)


@inlined
def _activate(scalars: Any) -> None:
    """Of LANES points: w.u becomes scale, w.z + b its tanh h, and |det| = h^2 + s (1 - h^2) is multiplied in."""
    zero, one = scalars.dtype.type(0), scalars.dtype.type(1)
    for j in range(LANES):
        wu, ww = scalars[_WU + j], scalars[_WW + j]
        s, active = softplus(wu), tanh(scalars[_A + j])
        scale = (s - one - wu) / ww
        s, scale = (one + wu if ww == zero else s), (zero if ww == zero else scale)
        square = active * active
        part, power = factor(square + s * (one - square))
        scalars[_FACTOR + j] *= part
        scalars[_POWER + j] += power
        scalars[_WU + j] = scale
        scalars[_A + j] = active


@compiled
def backward(z: Any, h: Any, maps: Any, grad: Any, grad_log: Any, to_z: Any, of_maps: Any, share: Any) -> None:
    """Gradients in z and maps; z_{k-1} = z_k - u_hat_k h_k is rebuilt going down.

    One loop takes a point and its gradient g down a map and takes the sums w.u, w.w, g.u and g.w of the map below. The
    first step writes gradients before it knows any sums; the second overwrites them.

    Args:
        z: z_K (G, D).
        h: activations (G K,), as `forward` wrote them.
        maps: (G, K, 2 D + 1).
        grad: gradient in z_K (G, D).
        grad_log: gradient in ln|det| (G,).
        to_z: gradient in z (G, D), written.
        of_maps: gradient in the maps (R, G, K, 2 D + 1), memory of `shares.combined`, written.
        share: which points.
    """
    _, group, groups, _, _ = share
    to_maps = own(of_maps, share)
    dim, depth, kind = z.shape[1], maps.shape[1], z.dtype.type
    row, vector = maps.shape[2], width(maps)
    whole, left = dim - dim % vector, dim % vector
    side = whole + min(left, 1) * vector
    scalars, zeros, sums = room(12 * LANES, z), spread(kind(0)), room(4 * LANES * vector, z)
    points, backs = room(LANES * side, z), room(LANES * side, z)
    for block in range(group - group % LANES, groups, LANES):
        first, size, offset, stride = intersect_block(block, share, z.shape[0], depth)
        take(points, side, z, first, size)
        take(backs, side, grad, first, size)
        scalars[:] = kind(0)
        scalars[_GRAD_LOG : _GRAD_LOG + size] = grad_log[first : first + size]
        for k in range(depth - 1, -2 if depth else -1, -1):
            (at, step, ahead, beginning), point = downward(first, k, depth, row), 0
            for j in range(size):
                to, constants = at + step, _constants_of(scalars, j)
                wu, ww, gu, gw = zeros, zeros, zeros, zeros
                for d in range(0, whole, vector):
                    back = _down(maps, at + d, dim, points, backs, point + d, to_maps, constants, vector)
                    wu, ww, gu, gw = _sums(maps, to + d, dim, back, wu, ww, gu, gw, vector)
                    fetch(maps, at + ahead + 2 * d)
                    claim(to_maps, to + 2 * d)
                if left:
                    back = _down(maps, at + whole, dim, points, backs, point + whole, to_maps, constants, left)
                    wu, ww, gu, gw = _sums(maps, to + whole, dim, back, wu, ww, gu, gw, left)
                    fetch(maps, at + ahead + 2 * whole)
                    claim(to_maps, to + 2 * whole)
                carry(scalars, _TO_A + j, to_maps, at + 2 * dim)
                store(sums, j * vector, vector, wu)
                store(sums, (LANES + j) * vector, vector, ww)
                store(sums, (2 * LANES + j) * vector, vector, gu)
                store(sums, (3 * LANES + j) * vector, vector, gw)
                at, point = at + depth * row, point + side
            for j in range(0, 4 * LANES, vector):
                store(scalars, _WU + j, vector, totals(sums, j * vector, zeros))
            recall(h, offset + beginning * stride, scalars, _H, size)
            _constants(scalars)
        give(backs, side, to_z, first, size)


@inlined
def _constants(scalars: Any) -> None:
    """Of LANES points, from the sums w.u, w.w, g.u and g.w: what every dimension needs on the way down a map.

    These are h, scale, their product, and the gradients in a = w.z + b, w.u and w.w; g is the gradient above the map.
    """
    zero, one = scalars.dtype.type(0), scalars.dtype.type(1)
    for j in range(LANES):
        wu, active, through, per_ww = scalars[_WU + j], scalars[_H + j], scalars[_GW + j], one / scalars[_WW + j]
        s, flat, singular = softplus(wu), one - active * active, scalars[_WW + j] == zero
        scale, s = (zero if singular else (s - one - wu) * per_ww), (one + wu if singular else s)
        share = scalars[_GRAD_LOG + j] / (active * active + s * flat) * flat
        scalars[_ACTIVE + j], scalars[_SCALE + j], scalars[_BOTH + j] = active, scale, scale * active
        scalars[_TO_A + j] = (scalars[_GU + j] + scale * through) * flat + (share + share) * active * (one - s)
        through = through * active * per_ww
        to_wu, to_ww = share * sigmoid(wu) - through * sigmoid(-wu), -(through + through) * scale
        scalars[_TO_WU + j], scalars[_TO_WW + j] = (share if singular else to_wu), (zero if singular else to_ww)


@inlined
def _constants_of(scalars: Any, j: Any) -> Any:
    """What `_constants` made for point j: h, scale, their product, and the gradients in a, w.u and w.w."""
    both = scalars[_BOTH + j]
    return scalars[_ACTIVE + j], scalars[_SCALE + j], both, scalars[_TO_A + j], scalars[_TO_WU + j], scalars[_TO_WW + j]


@inlined
def _down(maps: Any, at: Any, dim: Any, points: Any, backs: Any, d: Any, to_maps: Any, constants: Any, n: Any) -> Any:
    """Take n dimensions down a map: rebuild the point, write the gradients in w and u; returns the point's gradient."""
    active, scale, both, to_a, to_wu, to_ww = constants
    vector, zeros = width(maps), spread(maps.dtype.type(0))
    w, u, g = load(maps, at, n), load(maps, at + dim, n), load(backs, d, vector)
    before = fma(fma(spread(scale), w, u), spread(-active), load(points, d, vector))
    back = fma(spread(to_a), w, g)
    store(points, d, vector, before)
    store(backs, d, vector, back)
    mixed = fma(spread(to_ww), w, fma(spread(to_a), before, zeros))
    store(to_maps, at, n, fma(spread(both), g, fma(spread(to_wu), u, mixed)))
    store(to_maps, at + dim, n, fma(spread(active), g, fma(spread(to_wu), w, zeros)))
    return back


@inlined
def _sums(maps: Any, at: Any, dim: Any, back: Any, wu: Any, ww: Any, gu: Any, gw: Any, n: Any) -> Any:
    """Add n dimensions of a map and of the point's gradient g, `back`, to the sums w.u, w.w, g.u and g.w."""
    w, u = load(maps, at, n), load(maps, at + dim, n)
    return fma(w, u, wu), fma(w, w, ww), fma(back, u, gu), fma(back, w, gw)
