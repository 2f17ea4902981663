"""The constraint of planar maps, u -> u_hat (Rezende & Mohamed 2015, App. A.1), and its gradient; compiled.

Shapes: maps (K, 2 D + 1) with rows (w, u, b); constants (3, K), the rows of which are s, w.u and w.w. Where w.w = 0,
u_hat = u and s = 1 + w.u, as `planar.reference.constrain` says; elsewhere s = softplus(w.u).
"""

from typing import Any

import numpy as np

from nfbench.kernels.compiler.decorators import inlined
from nfbench.kernels.simd.arithmetic import sigmoid, softplus
from nfbench.kernels.simd.vector import fma, narrow, store

width, load, spread, _ = narrow

S, WU, WW = 0, 1, 2


@inlined
def constrain_all(maps: Any, u_hat: Any, constants: Any) -> None:
    """Constrain all maps of a chain: u_hat = u + (s - 1 - w.u) w / w.w, as `planar.reference.constrain`.

    Args:
        maps: (K, 2 D + 1).
        u_hat: (K or more, D), written.
        constants: (3, K), written.
    """
    depth, dim, one = maps.shape[0], u_hat.shape[1], maps.dtype.type(1)
    for k in range(depth):
        wu, ww = maps[k, 0] * maps[k, dim], maps[k, 0] * maps[k, 0]
        for d in range(1, dim):
            wu += maps[k, d] * maps[k, dim + d]
            ww += maps[k, d] * maps[k, d]
        constants[WU, k], constants[WW, k] = wu, ww
    for k in range(depth):
        constants[S, k] = softplus(constants[WU, k])
    for k in range(depth):
        scale = (constants[S, k] - one - constants[WU, k]) / constants[WW, k]
        for d in range(dim):
            u_hat[k, d] = maps[k, dim + d] + scale * maps[k, d]
    for k in range(depth):  # a loop of its own: within the others it would change how LLVM rounds all maps
        if constants[WW, k] == 0:
            constants[S, k] = one + constants[WU, k]
            for d in range(dim):
                u_hat[k, d] = maps[k, dim + d]


@inlined
def unconstrain_all(maps: Any, constants: Any, to_s: Any, grads: Any) -> None:
    """Turn gradients in w and u_hat into gradients in w and u, in place.

    Args:
        maps: (K, 2 D + 1).
        constants: (3, K), as `constrain_all` wrote them.
        to_s: (K,), the gradient in s from elsewhere.
        grads: (K, 2 D + 1), in w, u_hat and b; changed to those in w, u and b.
    """
    depth, dim, vector = maps.shape[0], maps.shape[1] // 2, width(maps)
    through, factors = np.empty(depth, maps.dtype), np.empty((3, depth), maps.dtype)
    for k in range(depth):
        product = maps[k, 0] * grads[k, dim]
        for d in range(1, dim):
            product += maps[k, d] * grads[k, dim + d]
        through[k] = product
    for k in range(depth):
        wu, per_ww = constants[WU, k], 1 / constants[WW, k]
        scale = (constants[S, k] - 1 - wu) * per_ww
        factors[0, k] = scale
        factors[1, k] = to_s[k] * sigmoid(wu) - through[k] * sigmoid(-wu) * per_ww
        factors[2, k] = -2 * through[k] * scale * per_ww
    for k in range(depth):
        if constants[WW, k] == 0:
            factors[0, k], factors[1, k], factors[2, k] = 0, to_s[k], 0
    row, numbers, gradients = maps.shape[1], maps.reshape(maps.size), grads.reshape(grads.size)
    for k in range(depth):
        scale, to_wu, to_ww = spread(factors[0, k]), spread(factors[1, k]), spread(factors[2, k])
        for at in range(k * row, k * row + dim, vector):
            count = min(vector, k * row + dim - at)
            w, u = load(numbers, at, count), load(numbers, at + dim, count)
            to_w, to_u = load(gradients, at, count), load(gradients, at + dim, count)
            store(gradients, at, count, fma(scale, to_u, fma(to_wu, u, fma(to_ww, w, to_w))))
            store(gradients, at + dim, count, fma(to_wu, w, to_u))
