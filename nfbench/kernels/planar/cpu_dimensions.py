"""The planar chain for groups of few draws; compiled. The inner loops run over dimensions.

Shapes: z (G, N, D); maps (G, K, 2 D + 1) with rows (w, u, b), u before the constraint of App. A.1; u_hat and s are made
here, once a group. The activations h = tanh(w.z + b) are (G, K, N).
"""

from typing import Any

import numpy as np

from nfbench.kernels.compiler.decorators import compiled
from nfbench.kernels.cpu.team import own
from nfbench.kernels.planar.cpu_constraint import S, constrain_all, unconstrain_all
from nfbench.kernels.simd.arithmetic import ROUND, factor, logarithm, renormalise, tanh


@compiled
def forward(z: Any, maps: Any, out: Any, log_det: Any, h: Any, share: Any) -> None:
    """Push draws through the chain, map by map for all draws of a group: each map's numbers are read once.

    Args:
        z: (G, N, D).
        maps: (G, K, 2 D + 1).
        out: z_K (G, N, D), written.
        log_det: ln|det| (G, N), written.
        h: activations (G, K, N), written.
        share: which groups and draws.
    """
    _, group, groups, _, _ = share
    dim, draws, depth, kind = z.shape[2], z.shape[1], maps.shape[1], z.dtype.type
    u_hat, constants = np.empty((depth, dim), z.dtype), np.empty((3, depth), z.dtype)
    f, e = np.empty(draws, z.dtype), np.empty(draws, z.dtype)
    for g in range(group, groups):
        constrain_all(maps[g], u_hat, constants)
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
                part, power = factor(square + constants[S, k] * (kind(1) - square))
                f[n] *= part
                e[n] += power
            if k % ROUND == ROUND - 1:
                renormalise(f, e)
        for n in range(draws):
            log_det[g, n] = logarithm(f[n], e[n])


@compiled
def backward(z: Any, h: Any, maps: Any, grad: Any, grad_log: Any, to_z: Any, of_maps: Any, share: Any) -> None:
    """Gradients in z and maps; z_{k-1} = z_k - u_hat_k h_k is rebuilt going down.

    Args:
        z: z_K (G, N, D).
        h: activations (G, K, N), as `forward` wrote them.
        maps: (G, K, 2 D + 1).
        grad: gradient in z_K (G, N, D).
        grad_log: gradient in ln|det| (G, N).
        to_z: gradient in z (G, N, D), written.
        of_maps: gradient in the maps (R, G, K, 2 D + 1), memory of `shares.combined`, written.
        share: which groups and draws.
    """
    _, group, groups, _, _ = share
    to_maps = own(of_maps, share)
    dim, draws, depth, one = z.shape[2], z.shape[1], maps.shape[1], z.dtype.type(1)
    u_hat, constants = np.empty((depth, dim), z.dtype), np.empty((3, depth), z.dtype)
    points, to_s = np.empty((draws, dim), z.dtype), np.empty(depth, z.dtype)
    for g in range(group, groups):
        constrain_all(maps[g], u_hat, constants)
        to_z[g], points[:] = grad[g], z[g]
        to_maps[g], to_s[:] = one - one, one - one
        for k in range(depth - 1, -1, -1):
            row, to_row, s = maps[g, k], to_maps[g, k], constants[S, k]
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
        unconstrain_all(maps[g], constants, to_s, to_maps[g])
