"""The constraint of planar maps (Rezende & Mohamed 2015, App. A.1) for all maps of a chain, and the way back; compiled.

Shapes: maps (K, 2 D + 1) with rows (w, u, b); scalars (3, K): s = softplus(w.u), w.u and w.w.
"""

from typing import Any

import numpy as np

from nfbench.kernels.simd.arithmetic import inlined, sigmoid, softplus
from nfbench.kernels.simd.vector import fma, narrow, store

width, load, spread, _ = narrow

S, WU, WW = 0, 1, 2


@inlined
def constrain_all(maps: Any, u_hat: Any, scalars: Any) -> None:
    """`u_hat (>= K, D) = u + (s - 1 - w.u) w / w.w`, as `planar.constrain`."""
    depth, dim, one = maps.shape[0], u_hat.shape[1], maps.dtype.type(1)
    for k in range(depth):
        wu, ww = maps[k, 0] * maps[k, dim], maps[k, 0] * maps[k, 0]
        for d in range(1, dim):
            wu += maps[k, d] * maps[k, dim + d]
            ww += maps[k, d] * maps[k, d]
        scalars[WU, k], scalars[WW, k] = wu, ww
    for k in range(depth):
        scalars[S, k] = softplus(scalars[WU, k])
    for k in range(depth):
        scale = (scalars[S, k] - one - scalars[WU, k]) / scalars[WW, k]
        for d in range(dim):
            u_hat[k, d] = maps[k, dim + d] + scale * maps[k, d]


@inlined
def unconstrain_all(maps: Any, scalars: Any, to_s: Any, grads: Any) -> None:
    """`grads (K, 2 D + 1)` in w and u_hat become those in w and u, with what comes through s, `to_s (K,)`."""
    depth, dim, vector = maps.shape[0], maps.shape[1] // 2, width(maps)
    through, by = np.empty(depth, maps.dtype), np.empty((3, depth), maps.dtype)
    for k in range(depth):
        found = maps[k, 0] * grads[k, dim]
        for d in range(1, dim):
            found += maps[k, d] * grads[k, dim + d]
        through[k] = found
    for k in range(depth):
        wu, per_ww = scalars[WU, k], 1 / scalars[WW, k]
        scale = (scalars[S, k] - 1 - wu) * per_ww
        by[0, k] = scale
        by[1, k] = to_s[k] * sigmoid(wu) - through[k] * sigmoid(-wu) * per_ww
        by[2, k] = -2 * through[k] * scale * per_ww
    row, numbers, found = maps.shape[1], maps.reshape(maps.size), grads.reshape(grads.size)
    for k in range(depth):
        scale, to_wu, to_ww = spread(by[0, k]), spread(by[1, k]), spread(by[2, k])
        for at in range(k * row, k * row + dim, vector):
            count = min(vector, k * row + dim - at)
            w, u = load(numbers, at, count), load(numbers, at + dim, count)
            to_w, to_u = load(found, at, count), load(found, at + dim, count)
            store(found, at, count, fma(scale, to_u, fma(to_wu, u, fma(to_ww, w, to_w))))
            store(found, at + dim, count, fma(to_wu, w, to_u))
