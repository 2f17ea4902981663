"""The planar chain for a group of few draws, compiled: the inner loops run over dimensions.

Shapes: z (G, N, D), maps (G, K, 2 D + 1) with rows (w, u, b), h (G, K, N). `u` is the raw parameter; u_hat and s are
made here, in the pass that reads w and u.
"""

import math
from typing import Any

import numpy as np

from nfbench.kernels.arithmetic import ROUND, compiled, factor, inlined, logarithm, renormalise, softplus, tanh


@inlined
def constrain(row: Any, dim: int, u_hat: Any) -> Any:
    """`row (2 D + 1,) -> u_hat (D,)`, as `planar.constrain`; returns s and the sums w.u and w.w."""
    wu, ww = row[0] * row[dim], row[0] * row[0]
    for d in range(1, dim):
        wu += row[d] * row[dim + d]
        ww += row[d] * row[d]
    s = softplus(wu)
    scale = (s - 1 - wu) / ww
    for d in range(dim):
        u_hat[d] = row[dim + d] + scale * row[d]
    return s, wu, ww


@inlined
def unconstrain(row: Any, dim: int, s: Any, wu: Any, ww: Any, grad_s: Any, grad: Any) -> None:
    """Gradients in w and u_hat, `grad (2 D + 1,)`, become those in w and u, with what comes through s."""
    gw = row[0] * grad[dim]
    for d in range(1, dim):
        gw += row[d] * grad[dim + d]
    slope = -math.expm1(-s)  # of softplus, from its value
    scale = (s - 1 - wu) / ww
    to_wu = grad_s * slope + gw * (slope - 1) / ww
    to_ww = -2 * gw * scale / ww
    for d in range(dim):
        grad[d] += scale * grad[dim + d] + to_wu * row[dim + d] + to_ww * row[d]
        grad[dim + d] += to_wu * row[d]


@compiled
def forward(z: Any, maps: Any, out: Any, log_det: Any, h: Any, group: int, groups: int) -> None:
    """Map by map for the few draws of a group, D numbers side by side: each map's numbers are read once."""
    dim, draws, kind = z.shape[2], z.shape[1], z.dtype.type
    u_hat, f, e = np.empty(dim, z.dtype), np.empty(draws, z.dtype), np.empty(draws, z.dtype)
    for g in range(group, groups):
        out[g] = z[g]
        f[:], e[:] = kind(1), kind(0)
        for k in range(maps.shape[1]):
            row = maps[g, k]
            s, _, _ = constrain(row, dim, u_hat)
            for n in range(draws):
                a = row[2 * dim]
                for d in range(dim):
                    a += row[d] * out[g, n, d]
                active = tanh(a)
                h[g, k, n] = active
                for d in range(dim):
                    out[g, n, d] += u_hat[d] * active
                square = active * active
                part, power = factor(square + s * (kind(1) - square))
                f[n] *= part
                e[n] += power
            if k % ROUND == ROUND - 1:
                renormalise(f, e)
        for n in range(draws):
            log_det[g, n] = logarithm(f[n], e[n])


@compiled
def backward(
    z: Any, h: Any, maps: Any, grad: Any, grad_log: Any, to_z: Any, to_maps: Any, group: int, groups: int
) -> None:
    """Rebuild z_{k-1} = z_k - u_hat_k h_k going down, map by map for the few draws of a group."""
    dim, draws, one = z.shape[2], z.shape[1], z.dtype.type(1)
    u_hat, points = np.empty(dim, z.dtype), np.empty((draws, dim), z.dtype)
    for g in range(group, groups):
        to_z[g], points[:] = grad[g], z[g]
        for k in range(maps.shape[1] - 1, -1, -1):
            row, to_row, to_s = maps[g, k], to_maps[g, k], one - one
            to_row[:] = one - one
            s, wu, ww = constrain(row, dim, u_hat)
            for n in range(draws):
                active, back, point = h[g, k, n], to_z[g, n], points[n]
                flat = one - active * active
                share = grad_log[g, n] / (active * active + s * flat)
                to_s += share * flat
                a = (share + share) * active * (one - s)
                for d in range(dim):
                    a += back[d] * u_hat[d]
                a *= flat
                to_row[2 * dim] += a
                for d in range(dim):
                    to_row[dim + d] += back[d] * active
                    point[d] -= u_hat[d] * active
                    to_row[d] += a * point[d]
                    back[d] += row[d] * a
            unconstrain(row, dim, s, wu, ww, to_s, to_row)
