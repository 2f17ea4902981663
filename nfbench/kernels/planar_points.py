"""The planar chain where every draw has numbers of its own, compiled: one pass over the numbers forward, one backward.

LANES points go up or down together, so that what is scalar in a map fills a vector: the sums over dimensions are done
point by point, then softplus, tanh and ln|det| for all of them at once. Shapes: z (G, D), maps (G, K, 2 D + 1) with
rows (w, u, b), h (G, K).
"""

from typing import Any

import numpy as np

from nfbench.kernels.arithmetic import ROUND, compiled, factor, inlined, logarithm, renormalise, sigmoid, softplus, tanh
from nfbench.kernels.prefetch import LINE, fetch

LANES = 4


@compiled
def forward(z: Any, maps: Any, out: Any, log_det: Any, h: Any, group: int, groups: int) -> None:
    """`z_k = z + (u + scale w) tanh(w.z + b)` with scale = (s - 1 - w.u) / w.w and s = softplus(w.u)."""
    dim, kind = z.shape[1], z.dtype.type
    sums, f, e = np.empty((3, LANES), z.dtype), np.empty(LANES, z.dtype), np.empty(LANES, z.dtype)
    for first in range(group, groups, LANES):
        size = min(LANES, groups - first)
        out[first : first + size] = z[first : first + size]
        f[:], e[:] = kind(1), kind(0)
        for k in range(maps.shape[1]):
            for j in range(size):
                row, point = maps[first + j, k], out[first + j]
                wu, ww, wz = kind(0), kind(0), kind(0)
                for d in range(dim):
                    wu += row[d] * row[dim + d]
                    ww += row[d] * row[d]
                    wz += row[d] * point[d]
                sums[0, j], sums[1, j], sums[2, j] = wu, ww, wz + row[2 * dim]
            for j in range(size):
                s, active = softplus(sums[0, j]), tanh(sums[2, j])
                square = active * active
                part, power = factor(square + s * (kind(1) - square))
                f[j] *= part
                e[j] += power
                sums[0, j], sums[2, j] = (s - kind(1) - sums[0, j]) / sums[1, j], active
            for j in range(size):
                row, point, scale, active = maps[first + j, k], out[first + j], sums[0, j], sums[2, j]
                h[first + j, k] = active
                for d in range(dim):
                    point[d] += (row[dim + d] + scale * row[d]) * active
            if k % ROUND == ROUND - 1:
                renormalise(f, e)
        for j in range(size):
            log_det[first + j] = logarithm(f[j], e[j])


@compiled
def backward(
    z: Any, h: Any, maps: Any, grad: Any, grad_log: Any, to_z: Any, to_maps: Any, group: int, groups: int
) -> None:
    """Gradients in z and maps: all scalars of a map follow from four sums, so that its numbers are read once."""
    dim, dtype = z.shape[1], z.dtype
    points, sums, by = np.empty((LANES, dim), dtype), np.empty((4, LANES), dtype), np.empty((5, LANES), dtype)
    for first in range(group, groups, LANES):
        last = min(first + LANES, groups)
        points[: last - first], to_z[first:last] = z[first:last], grad[first:last]
        for k in range(maps.shape[1] - 1, -1, -1):
            _sums(maps[first:last], to_z[first:last], k, to_maps[first:last], sums)
            _scalars(h[first:last], grad_log[first:last], k, sums, by)
            _down(maps[first:last], k, by, points, to_z[first:last], to_maps[first:last])


@inlined
def _sums(maps: Any, back: Any, k: int, to_maps: Any, sums: Any) -> None:
    """w.u, w.w, and the gradient of z times u and w; asks for what the next map needs, as it lies backwards."""
    dim, zero, row, step = back.shape[1], back.dtype.type(0), maps.shape[2], LINE // maps.itemsize
    for j in range(maps.shape[0]):
        next_row = (j * maps.shape[1] + max(0, k - 1)) * row
        for d in range(0, row + step, step):
            fetch(maps, next_row + d)
            fetch(to_maps, next_row + d)
        wu, ww, gu, gw = zero, zero, zero, zero
        for d in range(dim):
            wu += maps[j, k, d] * maps[j, k, dim + d]
            ww += maps[j, k, d] * maps[j, k, d]
            gu += back[j, d] * maps[j, k, dim + d]
            gw += back[j, d] * maps[j, k, d]
        sums[0, j], sums[1, j], sums[2, j], sums[3, j] = wu, ww, gu, gw


@inlined
def _scalars(h: Any, grad_log: Any, k: int, sums: Any, by: Any) -> None:
    """u_hat's scale, h, and the gradients in w.z + b, w.u and w.w."""
    one = h.dtype.type(1)
    for j in range(h.shape[0]):
        wu, ww, active = sums[0, j], sums[1, j], h[j, k]
        s, flat, per_ww = softplus(wu), one - active * active, one / ww
        scale, share = (s - one - wu) * per_ww, grad_log[j] / (active * active + s * flat)
        gw = active * sums[3, j]  # w . the gradient in u_hat
        by[0, j], by[1, j] = scale, active
        by[2, j] = (sums[2, j] + scale * sums[3, j] + (share + share) * active * (one - s)) * flat
        by[3, j] = share * flat * sigmoid(wu) - gw * sigmoid(-wu) * per_ww
        by[4, j] = -(gw + gw) * scale * per_ww


@inlined
def _down(maps: Any, k: int, by: Any, points: Any, back: Any, to_maps: Any) -> None:
    """Rebuild the points before the map, write its gradient, and take the points' gradient through it."""
    dim = back.shape[1]
    for j in range(maps.shape[0]):
        w, u, point, grad = maps[j, k, :dim], maps[j, k, dim : 2 * dim], points[j], back[j]
        to_w, to_u = to_maps[j, k, :dim], to_maps[j, k, dim : 2 * dim]
        scale, active, a, to_wu, to_ww = by[0, j], by[1, j], by[2, j], by[3, j], by[4, j]
        for d in range(dim):  # one loop for each result: LLVM vectorises only what touches few arrays
            point[d] -= (u[d] + scale * w[d]) * active
        for d in range(dim):
            to_u[d] = grad[d] * active + to_wu * w[d]
        for d in range(dim):
            to_w[d] = a * point[d] + scale * active * grad[d] + to_wu * u[d] + to_ww * w[d]
        for d in range(dim):
            grad[d] += a * w[d]
        to_maps[j, k, 2 * dim] = a
