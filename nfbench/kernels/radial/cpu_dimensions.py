"""The radial chain for groups of few draws; compiled. The inner loops run over dimensions.

With alpha and s the softplus of the raw numbers a map is z + q (z - c), q = (s - alpha) / (alpha + r), r = |z - c|.
Shapes: z (G, N, D); maps (G, K, D + 2) with rows (c, raw alpha, raw beta); the activations r (G, K, N).
"""

import math
from typing import Any

import numpy as np

from nfbench.kernels.compiler.decorators import compiled, inlined
from nfbench.kernels.cpu.team import own
from nfbench.kernels.radial.cpu_restart import begin, climb
from nfbench.kernels.radial.cpu_slopes import across, along, slopes_with_q
from nfbench.kernels.radial.reference import LIMIT
from nfbench.kernels.simd.arithmetic import ROUND, factor, logarithm, renormalise, sigmoid, softplus


@compiled
def forward(z: Any, maps: Any, out: Any, log_det: Any, r: Any, share: Any) -> None:
    """Push draws through the chain, map by map for all draws of a group: each map's numbers are read once.

    Args:
        z: (G, N, D).
        maps: (G, K, D + 2).
        out: z_K (G, N, D), written.
        log_det: ln|det| (G, N), written.
        r: activations (G, K, N), written.
        share: which groups and draws.
    """
    _, group, groups, _, _ = share
    dim, draws, kind = z.shape[2], z.shape[1], z.dtype.type
    f, e = np.empty((2, draws), z.dtype), np.empty((2, draws), z.dtype)
    for g in range(group, groups):
        out[g] = z[g]
        f[:], e[:] = kind(1), kind(0)
        for k in range(maps.shape[1]):
            centre, alpha, s = maps[g, k, :dim], softplus(maps[g, k, dim]), softplus(maps[g, k, dim + 1])
            for n in range(draws):
                point, square = out[g, n], kind(0)
                for d in range(dim):
                    offset = point[d] - centre[d]
                    square += offset * offset
                radius = math.sqrt(square)
                q = (s - alpha) / (alpha + radius)
                for d in range(dim):
                    point[d] += q * (point[d] - centre[d])
                r[g, k, n] = radius
                part, power = factor(across(radius, alpha, s))
                f[0, n] *= part
                e[0, n] += power
                part, power = factor(along(radius, alpha, s))
                f[1, n] *= part
                e[1, n] += power
            if k % ROUND == ROUND - 1:
                renormalise(f[0], e[0])
                renormalise(f[1], e[1])
        for n in range(draws):
            log_det[g, n] = kind(dim - 1) * logarithm(f[0, n], e[0, n]) + logarithm(f[1, n], e[1, n])


@compiled
def backward(
    z: Any, r: Any, maps: Any, grad: Any, grad_log: Any, to_z: Any, of_maps: Any, start: Any, share: Any
) -> None:
    """Gradients in z and maps; z_{k-1} = c + r (z_k - c) / |z_k - c| is rebuilt going down, from the saved r.

    Where a chain contracts, points are computed anew from z_0 (`cpu_restart`).

    Args:
        z: z_K (G, N, D).
        r: activations (G, K, N), as `forward` wrote them.
        maps: (G, K, D + 2).
        grad: gradient in z_K (G, N, D).
        grad_log: gradient in ln|det| (G, N).
        to_z: gradient in z (G, N, D), written.
        of_maps: gradient in the maps (R, G, K, D + 2), memory of `shares.combined`, written.
        start: what z_0 is made of, `cpu_restart`.
        share: which groups and draws.
    """
    _, group, groups, _, _ = share
    to_maps = own(of_maps, share)
    dim, draws, depth, kind = z.shape[2], z.shape[1], maps.shape[1], z.dtype.type
    zero, one, limit, count = kind(0), kind(1), kind(LIMIT), kind(dim - 1)
    points, grown = np.empty((draws, dim), z.dtype), np.empty(draws, z.dtype)
    path, climbed = np.empty((0, depth, dim), z.dtype), np.zeros(draws, np.bool_)
    for g in range(group, groups):
        to_z[g], points[:], grown[:], climbed[:] = grad[g], z[g], one, False
        for k in range(depth - 1, -1, -1):
            centre, to_centre = maps[g, k, :dim], to_maps[g, k, :dim]
            alpha, s = softplus(maps[g, k, dim]), softplus(maps[g, k, dim + 1])
            to_centre[:], total_a, total_s = zero, zero, zero
            for n in range(draws):
                point, back, radius, inner = points[n], to_z[g, n], r[g, k, n], zero
                for d in range(dim):
                    point[d] -= centre[d]
                square = _square(point)
                shrink = radius / math.sqrt(square) if square > zero else zero
                grown[n] = max(grown[n], one) * shrink
                if grown[n] > limit or (square == zero and radius > zero):
                    if not len(path):
                        path = np.empty((draws, depth, dim), z.dtype)
                    if not climbed[n]:
                        _climb(path[n], start, maps, r, g, n)
                        climbed[n] = True
                    grown[n] = one
                    for d in range(dim):
                        point[d] = path[n, k, d] - centre[d]
                    square = _square(point)
                    shrink = radius / math.sqrt(square) if square > zero else zero
                for d in range(dim):
                    point[d] *= shrink
                for d in range(dim):
                    inner += back[d] * point[d]
                to_r, by_a, by_s = slopes_with_q(radius, alpha, s, count, grad_log[g, n], inner)
                total_a += by_a
                total_s += by_s
                radial = to_r / radius if radius > zero else zero
                q = (s - alpha) / (alpha + radius)
                for d in range(dim):
                    share = q * back[d] + radial * point[d]
                    to_centre[d] -= share
                    back[d] += share
                    point[d] += centre[d]
            to_maps[g, k, dim] = total_a * sigmoid(maps[g, k, dim])
            to_maps[g, k, dim + 1] = total_s * sigmoid(maps[g, k, dim + 1])


@inlined
def _square(point: Any) -> Any:
    """The sum of the squares of (D,), in a loop that only reads: `decorators.FLAGS` says why."""
    square = point.dtype.type(0)
    for d in range(point.shape[0]):
        square += point[d] * point[d]
    return square


@inlined
def _climb(path: Any, start: Any, maps: Any, r: Any, g: Any, n: Any) -> None:
    """Write z before each map, (K, D), of draw n of group g."""
    dim = path.shape[1]
    begin(start, g, start[0][g, n], path[0])
    for k in range(path.shape[0] - 1):
        alpha, s = softplus(maps[g, k, dim]), softplus(maps[g, k, dim + 1])
        climb(path[k], path[k + 1], maps[g, k], alpha, s, r[g, k, n])
