"""The planar chain for a group of few draws, compiled: the inner loops run over dimensions.

Shapes: z (G, N, D), maps (G, K, 2 D + 1) with rows (w, u, b), h (G, K, N). `u` is the raw parameter; u_hat and s are
made here, for all maps of a group.
"""

from typing import Any

import numpy as np

from nfbench.kernels.cpu.team import own
from nfbench.kernels.planar.cpu_constraint import S, constrain_all, unconstrain_all
from nfbench.kernels.simd.arithmetic import ROUND, compiled, factor, logarithm, renormalise, tanh


@compiled
def forward(z: Any, maps: Any, out: Any, log_det: Any, h: Any, share: Any) -> None:
    """Map by map for the few draws of a group, D numbers side by side: each map's numbers are read once."""
    _, group, groups, _, _ = share
    dim, draws, depth, kind = z.shape[2], z.shape[1], maps.shape[1], z.dtype.type
    u_hat, scalars = np.empty((depth, dim), z.dtype), np.empty((3, depth), z.dtype)
    f, e = np.empty(draws, z.dtype), np.empty(draws, z.dtype)
    for g in range(group, groups):
        constrain_all(maps[g], u_hat, scalars)
        out[g] = z[g]
        f[:], e[:] = kind(1), kind(0)
        for k in range(depth):
            for n in range(draws):
                a = maps[g, k, 2 * dim]
                for d in range(dim):
                    a += maps[g, k, d] * out[g, n, d]
                active = tanh(a)
                h[g, k, n] = active
                for d in range(dim):
                    out[g, n, d] += u_hat[k, d] * active
                square = active * active
                part, power = factor(square + scalars[S, k] * (kind(1) - square))
                f[n] *= part
                e[n] += power
            if k % ROUND == ROUND - 1:
                renormalise(f, e)
        for n in range(draws):
            log_det[g, n] = logarithm(f[n], e[n])


@compiled
def backward(z: Any, h: Any, maps: Any, grad: Any, grad_log: Any, to_z: Any, of_maps: Any, share: Any) -> None:
    """Rebuild z_{k-1} = z_k - u_hat_k h_k going down, map by map for the few draws of a group."""
    _, group, groups, _, _ = share
    to_maps = own(of_maps, share)
    dim, draws, depth, one = z.shape[2], z.shape[1], maps.shape[1], z.dtype.type(1)
    u_hat, scalars = np.empty((depth, dim), z.dtype), np.empty((3, depth), z.dtype)
    points, to_s = np.empty((draws, dim), z.dtype), np.empty(depth, z.dtype)
    for g in range(group, groups):
        constrain_all(maps[g], u_hat, scalars)
        to_z[g], points[:] = grad[g], z[g]
        to_maps[g], to_s[:] = one - one, one - one
        for k in range(depth - 1, -1, -1):
            row, to_row, s = maps[g, k], to_maps[g, k], scalars[S, k]
            for n in range(draws):
                active, back, point = h[g, k, n], to_z[g, n], points[n]
                flat = one - active * active
                share = grad_log[g, n] / (active * active + s * flat)
                to_s[k] += share * flat
                a = (share + share) * active * (one - s)
                for d in range(dim):
                    a += back[d] * u_hat[k, d]
                a *= flat
                to_row[2 * dim] += a
                for d in range(dim):
                    to_row[dim + d] += back[d] * active
                    point[d] -= u_hat[k, d] * active
                    to_row[d] += a * point[d]
                    back[d] += row[d] * a
        unconstrain_all(maps[g], scalars, to_s, to_maps[g])
