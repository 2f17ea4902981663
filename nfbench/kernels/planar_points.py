"""The planar chain where every draw has numbers of its own, compiled: one pass over the numbers forward, one backward.

LANES points go up or down together, so that what is scalar in a map fills vectors: the sums over dimensions are taken
point by point, then softplus, tanh and ln|det| for all points at once. Shapes: z (G, D), maps (G, K, 2 D + 1) with
rows (w, u, b), h (G, K), all contiguous.
"""

from typing import Any

import numpy as np

from nfbench.kernels.arithmetic import ROUND, compiled, factor, inlined, logarithm, renormalise, sigmoid, softplus, tanh
from nfbench.kernels.prefetch import LINE, fetch
from nfbench.kernels.vector import fma, narrow, store, total

width, load, spread, _ = narrow

LANES = 8
# Where the scalars of LANES points lie in one array: in arrays of their own the compiler would not see them apart.
_WU, _WW, _A, _FACTOR, _POWER = (LANES * place for place in range(5))
MAPS = 64
_SCALE, _FLAT, _TO_A, _TO_WU, _WU_BY, _WW_BY = (MAPS * place for place in range(6))


@compiled
def forward(z: Any, maps: Any, out: Any, log_det: Any, h: Any, group: int, groups: int) -> None:
    """`z_k = z + (u + scale w) tanh(w.z + b)` with scale = (s - 1 - w.u) / w.w and s = softplus(w.u)."""
    dim, depth, kind = z.shape[1], maps.shape[1], z.dtype.type
    row, vector, line = maps.shape[2], width(maps), LINE // maps.itemsize
    whole, left = dim - dim % vector, dim % vector
    by = np.ones(5 * LANES, z.dtype)
    for first in range(group, groups, LANES):
        size = min(LANES, groups - first)
        out[first : first + size] = z[first : first + size]
        by[_FACTOR:_POWER], by[_POWER:] = kind(1), kind(0)
        for k in range(depth):
            for j in range(size):
                at, point = ((first + j) * depth + k) * row, (first + j) * dim
                wu, ww, wz = spread(kind(0)), spread(kind(0)), spread(kind(0))
                for d in range(0, whole, vector):
                    w, u = load(maps, at + d, vector), load(maps, at + dim + d, vector)
                    wu, ww, wz = fma(w, u, wu), fma(w, w, ww), fma(w, load(out, point + d, vector), wz)
                if left:
                    w, u = load(maps, at + whole, left), load(maps, at + dim + whole, left)
                    wu, ww, wz = fma(w, u, wu), fma(w, w, ww), fma(w, load(out, point + whole, left), wz)
                for d in range(0, row, line):  # the next map's
                    fetch(maps, at + row + d)
                by[_WU + j], by[_WW + j], by[_A + j] = total(wu), total(ww), total(wz) + maps[first + j, k, 2 * dim]
            _activate(by)
            for j in range(size):
                at, point = ((first + j) * depth + k) * row, (first + j) * dim
                h[first + j, k] = by[_A + j]
                active, scale = spread(by[_A + j]), spread(by[_WU + j])
                for d in range(0, whole, vector):
                    w, u = load(maps, at + d, vector), load(maps, at + dim + d, vector)
                    store(out, point + d, vector, fma(fma(scale, w, u), active, load(out, point + d, vector)))
                if left:
                    w, u = load(maps, at + whole, left), load(maps, at + dim + whole, left)
                    store(out, point + whole, left, fma(fma(scale, w, u), active, load(out, point + whole, left)))
            if k % ROUND == ROUND - 1:
                renormalise(by[_FACTOR:_POWER], by[_POWER:])
        for j in range(size):
            log_det[first + j] = logarithm(by[_FACTOR + j], by[_POWER + j])


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
def backward(
    z: Any, h: Any, maps: Any, grad: Any, grad_log: Any, to_z: Any, to_maps: Any, group: int, groups: int
) -> None:
    """Gradients in z and maps, point by point: what does not depend on the way down is made for many maps at once."""
    dim, depth, kind = z.shape[1], maps.shape[1], z.dtype.type
    row, vector = maps.shape[2], width(maps)
    whole, left = dim - dim % vector, dim % vector
    point, back = np.zeros(whole + vector, z.dtype), np.zeros(whole + vector, z.dtype)
    by, nothing, zero = np.empty(7 * MAPS, z.dtype), spread(kind(0)), kind(0)
    for g in range(group, groups):
        point[:dim], back[:dim] = z[g], grad[g]
        point[dim:], back[dim:] = zero, zero  # a point before that was NaN has left it here, too
        for last in range(depth, 0, -MAPS):
            first = max(0, last - MAPS)
            for k in range(first, last):
                at, wu, ww = (g * depth + k) * row, nothing, nothing
                for d in range(0, whole, vector):
                    wu, ww = _products(maps, at + d, dim, wu, ww, vector)
                if left:
                    wu, ww = _products(maps, at + whole, dim, wu, ww, left)
                by[_SCALE + k - first], by[_FLAT + k - first] = total(wu), total(ww)
            _constants(by, h[g, first:last], grad_log[g])
            for k in range(last - 1, first - 1, -1):
                at, gu, gw = (g * depth + k) * row, nothing, nothing
                for d in range(0, whole, vector):
                    gu, gw = _along(maps, at + d, dim, back, d, gu, gw, vector)
                if left:
                    gu, gw = _along(maps, at + whole, dim, back, whole, gu, gw, left)
                i, through = k - first, total(gw)
                active, scale = h[g, k], by[_SCALE + i]
                to_a = (total(gu) + scale * through) * by[_FLAT + i] + by[_TO_A + i]
                to_wu, to_ww = by[_TO_WU + i] - through * by[_WU_BY + i], -through * by[_WW_BY + i]
                for d in range(0, whole, vector):
                    _down(maps, at + d, dim, point, back, d, to_maps, active, scale, to_a, to_wu, to_ww, vector)
                if left:
                    _down(maps, at + whole, dim, point, back, whole, to_maps, active, scale, to_a, to_wu, to_ww, left)
                to_maps[g, k, 2 * dim] = to_a
        to_z[g] = back[:dim]


@inlined
def _products(maps: Any, at: Any, dim: Any, wu: Any, ww: Any, n: Any) -> Any:
    w, u = load(maps, at, n), load(maps, at + dim, n)
    return fma(w, u, wu), fma(w, w, ww)


@inlined
def _along(maps: Any, at: Any, dim: Any, back: Any, d: Any, gu: Any, gw: Any, n: Any) -> Any:
    w, u, g = load(maps, at, n), load(maps, at + dim, n), load(back, d, width(back))
    return fma(g, u, gu), fma(g, w, gw)


@inlined
def _constants(by: Any, h: Any, grad_log: Any) -> None:
    """From w.u and w.w: u_hat's scale, then what the gradients in w.z + b, w.u and w.w have besides the sums."""
    one = by.dtype.type(1)
    for k in range(h.shape[0]):
        wu, active = by[_SCALE + k], h[k]
        s, flat, per_ww = softplus(wu), one - active * active, one / by[_FLAT + k]
        scale, share = (s - one - wu) * per_ww, grad_log / (active * active + s * flat) * flat
        by[_SCALE + k], by[_FLAT + k] = scale, flat
        by[_TO_A + k] = (share + share) * active * (one - s)
        by[_TO_WU + k] = share * sigmoid(wu)
        by[_WU_BY + k] = active * sigmoid(-wu) * per_ww
        by[_WW_BY + k] = (active + active) * scale * per_ww


@inlined
def _down(
    maps: Any,
    at: Any,
    dim: Any,
    point: Any,
    back: Any,
    d: Any,
    to_maps: Any,
    active: Any,
    scale: Any,
    to_a: Any,
    to_wu: Any,
    to_ww: Any,
    n: Any,
) -> None:
    """Go down n dimensions: rebuild the point, write the map's gradient, take the point's gradient through it."""
    vector = width(maps)
    w, u, g = load(maps, at, n), load(maps, at + dim, n), load(back, d, vector)
    before = fma(fma(spread(scale), w, u), spread(-active), load(point, d, vector))
    store(point, d, vector, before)
    store(back, d, vector, fma(spread(to_a), w, g))
    nothing = spread(scale - scale)
    mixed = fma(spread(to_ww), w, fma(spread(to_a), before, nothing))
    store(to_maps, at, n, fma(spread(scale * active), g, fma(spread(to_wu), u, mixed)))
    store(to_maps, at + dim, n, fma(spread(active), g, fma(spread(to_wu), w, nothing)))
