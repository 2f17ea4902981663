"""The planar chain where every draw has numbers of its own, compiled: one pass over the numbers forward, one backward.

LANES points go up or down together, so that what is scalar in a map fills vectors: softplus, tanh, ln|det| and their
gradients are those of all points at once. A map's numbers are read twice while they are near: one loop moves a point
through a map and takes the sums over dimensions that the next map begins with. Shapes: z (G, D), maps (G, K, 2 D + 1)
with rows (w, u, b), contiguous. What is kept, h (G K,), lies block after block of LANES points, each map by map.
"""

from typing import Any

from nfbench.kernels.cpu.point_lanes import AHEAD, LANES, keep, recall, take, within
from nfbench.kernels.cpu.team import own
from nfbench.kernels.cpu.tiles import room
from nfbench.kernels.simd.arithmetic import (
    ROUND,
    compiled,
    factor,
    inlined,
    logarithm,
    renormalise,
    sigmoid,
    softplus,
    tanh,
)
from nfbench.kernels.simd.prefetch import claim, fetch
from nfbench.kernels.simd.vector import carry, fma, narrow, store, totals

width, load, spread, _ = narrow

# Where the scalars of LANES points lie in one array: in arrays of their own the compiler would not see them apart.
_WU, _WW, _A, _FACTOR, _POWER = (LANES * place for place in range(5))
# Those of the way down: four sums, two that are given, and what they make.
_GU, _GW, _H, _GRAD_LOG, _ACTIVE, _SCALE, _BOTH, _TO_A, _TO_WU, _TO_WW = (LANES * place for place in range(2, 12))


@compiled
def forward(z: Any, maps: Any, out: Any, log_det: Any, h: Any, share: Any) -> None:
    """`z_k = z + (u + scale w) tanh(w.z + b)` with scale = (s - 1 - w.u) / w.w and s = softplus(w.u)."""
    _, group, groups, _, _ = share
    dim, depth, kind = z.shape[1], maps.shape[1], z.dtype.type
    row, vector = maps.shape[2], width(maps)
    whole, left = dim - dim % vector, dim % vector
    side = whole + min(left, 1) * vector
    by, nothing, one = room(5 * LANES, z), spread(kind(0)), spread(kind(1))
    sums, points = room(3 * LANES * vector, z), room(LANES * side, z)
    for block in range(group - group % LANES, groups, LANES):
        first, size, held, apart = within(block, share, z.shape[0], depth)
        take(points, side, z, first, size)
        by[:_FACTOR], by[_FACTOR:_POWER], by[_POWER:] = kind(0), kind(1), kind(0)
        for k in range(depth + 1 if depth else 0):  # through map k - 1, at first with h = 0, to the sums of map k
            now, then = max(k - 1, 0), min(k, depth - 1)
            at, point, ahead = (first * depth + now) * row, 0, k + AHEAD - now
            further = (ahead if k + AHEAD < depth else ahead + (LANES - 1) * depth) * row
            for j in range(size):
                to, active, scale = at + (then - now) * row, spread(by[_A + j]), spread(by[_WU + j])
                wu, ww, wz = nothing, nothing, nothing
                for d in range(0, whole, vector):
                    wu, ww, wz = _up(maps, at + d, to + d, dim, points, point + d, active, scale, wu, ww, wz, vector)
                    fetch(maps, at + further + 2 * d)
                if left:
                    d = whole
                    wu, ww, wz = _up(maps, at + d, to + d, dim, points, point + d, active, scale, wu, ww, wz, left)
                    fetch(maps, at + further + 2 * d)
                store(sums, j * vector, vector, wu)
                store(sums, (LANES + j) * vector, vector, ww)
                store(sums, (2 * LANES + j) * vector, vector, wz)
                carry(maps, to + 2 * dim, by, _A + j)
                at, point = at + depth * row, point + side
            if k < depth:
                for j in range(0, LANES, vector):
                    store(by, _WU + j, vector, totals(sums, j * vector, one))
                    store(by, _WW + j, vector, totals(sums, (LANES + j) * vector, one))
                    wz = totals(sums, (2 * LANES + j) * vector, one)
                    store(by, _A + j, vector, fma(one, wz, load(by, _A + j, vector)))
                _activate(by)
                keep(h, held + k * apart, by, _A, size)
                if k % ROUND == ROUND - 1:
                    renormalise(by[_FACTOR:_POWER], by[_POWER:])
        for j in range(size):
            out[first + j] = points[j * side : j * side + dim]
            log_det[first + j] = logarithm(by[_FACTOR + j], by[_POWER + j])


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
    """Take n dimensions of a point through the map at one place and into the sums of the one at another."""
    vector = width(maps)
    moved = fma(fma(scale, load(maps, at, n), load(maps, at + dim, n)), active, load(points, d, vector))
    store(points, d, vector, moved)
    w, u = load(maps, to, n), load(maps, to + dim, n)
    return fma(w, u, wu), fma(w, w, ww), fma(w, moved, wz)


@inlined
def _activate(by: Any) -> None:
    """`w.u` becomes scale, a becomes tanh(a), and h^2 + s (1 - h^2) goes into factor and power."""
    one = by.dtype.type(1)
    for j in range(LANES):
        wu = by[_WU + j]
        s, active = softplus(wu), tanh(by[_A + j])
        square = active * active
        part, power = factor(square + s * (one - square))
        by[_FACTOR + j] *= part
        by[_POWER + j] += power
        by[_WU + j] = (s - one - wu) / by[_WW + j]
        by[_A + j] = active


@compiled
def backward(z: Any, h: Any, maps: Any, grad: Any, grad_log: Any, to_z: Any, of_maps: Any, share: Any) -> None:
    """Gradients in z and maps: one loop goes down a map and takes the sums, w.u, w.w, g.u and g.w, of the one below.

    What the first round writes, before it knows any sums, the second overwrites.
    """
    _, group, groups, _, _ = share
    to_maps = own(of_maps, share)
    dim, depth, kind = z.shape[1], maps.shape[1], z.dtype.type
    row, vector = maps.shape[2], width(maps)
    whole, left = dim - dim % vector, dim % vector
    side = whole + min(left, 1) * vector
    by, nothing, sums = room(12 * LANES, z), spread(kind(0)), room(4 * LANES * vector, z)
    points, backs = room(LANES * side, z), room(LANES * side, z)
    for block in range(group - group % LANES, groups, LANES):
        first, size, held, apart = within(block, share, z.shape[0], depth)
        take(points, side, z, first, size)
        take(backs, side, grad, first, size)
        by[:] = kind(0)
        by[_GRAD_LOG : _GRAD_LOG + size] = grad_log[first : first + size]
        for k in range(depth - 1, -2 if depth else -1, -1):  # down map k + 1, at first by nothing, to the sums of k
            now, then = min(k + 1, depth - 1), max(k, 0)
            at, point, ahead = (first * depth + now) * row, 0, k - AHEAD - now
            further = (ahead if k >= AHEAD else ahead + (LANES + 1) * depth) * row
            for j in range(size):
                to, given = at + (then - now) * row, _given(by, j)
                wu, ww, gu, gw = nothing, nothing, nothing, nothing
                for d in range(0, whole, vector):
                    back = _down(maps, at + d, dim, points, backs, point + d, to_maps, given, vector)
                    wu, ww, gu, gw = _sums(maps, to + d, dim, back, wu, ww, gu, gw, vector)
                    fetch(maps, at + further + 2 * d)
                    claim(to_maps, to + 2 * d)
                if left:
                    back = _down(maps, at + whole, dim, points, backs, point + whole, to_maps, given, left)
                    wu, ww, gu, gw = _sums(maps, to + whole, dim, back, wu, ww, gu, gw, left)
                    fetch(maps, at + further + 2 * whole)
                    claim(to_maps, to + 2 * whole)
                carry(by, _TO_A + j, to_maps, at + 2 * dim)
                store(sums, j * vector, vector, wu)
                store(sums, (LANES + j) * vector, vector, ww)
                store(sums, (2 * LANES + j) * vector, vector, gu)
                store(sums, (3 * LANES + j) * vector, vector, gw)
                at, point = at + depth * row, point + side
            for j in range(0, 4 * LANES, vector):
                store(by, _WU + j, vector, totals(sums, j * vector, nothing))
            recall(h, held + then * apart, by, _H, size)
            _constants(by)
        for j in range(size):
            to_z[first + j] = backs[j * side : j * side + dim]


@inlined
def _constants(by: Any) -> None:
    """From w.u, w.w, g.u and g.w, with g the gradient above the map, what all dimensions take on the way down it."""
    one = by.dtype.type(1)
    for j in range(LANES):
        wu, active, through, per_ww = by[_WU + j], by[_H + j], by[_GW + j], one / by[_WW + j]
        s, flat = softplus(wu), one - active * active
        scale, share = (s - one - wu) * per_ww, by[_GRAD_LOG + j] / (active * active + s * flat) * flat
        by[_ACTIVE + j], by[_SCALE + j], by[_BOTH + j] = active, scale, scale * active
        by[_TO_A + j] = (by[_GU + j] + scale * through) * flat + (share + share) * active * (one - s)
        through = through * active * per_ww
        by[_TO_WU + j] = share * sigmoid(wu) - through * sigmoid(-wu)
        by[_TO_WW + j] = -(through + through) * scale


@inlined
def _given(by: Any, j: Any) -> Any:
    both = by[_BOTH + j]
    return by[_ACTIVE + j], by[_SCALE + j], both, by[_TO_A + j], by[_TO_WU + j], by[_TO_WW + j]


@inlined
def _down(maps: Any, at: Any, dim: Any, points: Any, backs: Any, d: Any, to_maps: Any, given: Any, n: Any) -> Any:
    """Go down n dimensions: rebuild the point, write the map's gradient, take the point's gradient through it."""
    active, scale, both, to_a, to_wu, to_ww = given
    vector, nothing = width(maps), spread(maps.dtype.type(0))
    w, u, g = load(maps, at, n), load(maps, at + dim, n), load(backs, d, vector)
    before = fma(fma(spread(scale), w, u), spread(-active), load(points, d, vector))
    back = fma(spread(to_a), w, g)
    store(points, d, vector, before)
    store(backs, d, vector, back)
    mixed = fma(spread(to_ww), w, fma(spread(to_a), before, nothing))
    store(to_maps, at, n, fma(spread(both), g, fma(spread(to_wu), u, mixed)))
    store(to_maps, at + dim, n, fma(spread(active), g, fma(spread(to_wu), w, nothing)))
    return back


@inlined
def _sums(maps: Any, at: Any, dim: Any, back: Any, wu: Any, ww: Any, gu: Any, gw: Any, n: Any) -> Any:
    w, u = load(maps, at, n), load(maps, at + dim, n)
    return fma(w, u, wu), fma(w, w, ww), fma(back, u, gu), fma(back, w, gw)
