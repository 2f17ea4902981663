"""The planar chain as matrix products, for many draws of many dimensions.

Within a block of maps, w_j.z_{j-1} = w_j.z + sum_{i<j} (w_j.u_i) h_i with z where the block begins: what the maps do to
each other is a triangular recursion on scalars, and all work on vectors is products over the whole block. Going down,
the gradient of h_j in a block is u_j.g + sum_{i>j} a_i (w_i.u_j), with g the gradient of z where the block ends.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nfbench.kernels.arithmetic import ROUND, compiled, logarithm, renormalise
from nfbench.kernels.planar_loops import activate, constrain, deactivate, unconstrain
from nfbench.kernels.threads import Part

BLOCK = 40  # maps; the recursion costs BLOCK / 2 numbers a map and draw, the products D
CHUNK = 8192  # draws; fewer and larger products, as each takes and gives back the interpreter's lock
TILE = 256  # draws of one row of the recursion


@torch.no_grad()
def forward(z: Tensor, maps: Tensor, out: Tensor, log_det: Tensor, h: Tensor, part: Part) -> None:
    """A part of `planar_cpu.forward`, into `out`, `log_det` and `h`."""
    for g in range(*part.groups):
        w, u, s = _constrained(maps[g])
        gram = w @ u.mT
        for first, last in _ranges(*part.draws, CHUNK):
            point = out[g, first:last].copy_(z[g, first:last])
            f, e = np.ones(last - first, s.dtype), np.zeros(last - first, s.dtype)
            for low, high in _ranges(0, len(w), BLOCK):
                block = h[g, low:high, first:last]
                torch.mm(w[low:high], point.mT, out=block)
                _rise(h.numpy(), maps.numpy(), gram.numpy(), s, f, e, g, low, high, first, last)
                point.addmm_(block.mT, u[low:high])
            _logarithms(f, e, log_det.numpy()[g, first:last])


@torch.no_grad()
def backward(given: Sequence[Tensor], to_z: Tensor, to_maps: Tensor, part: Part) -> None:
    """A part of `planar_cpu.backward` of `given`, into `to_z` and `to_maps (G, K, 2 D + 1)`."""
    z, h, maps, grad, grad_log = given
    dim = z.shape[2]
    for g in range(*part.groups):
        w, u, s = _constrained(maps[g])
        gram, mixed = w @ u.mT, w.new_zeros(len(w), BLOCK)
        to_s, to_w, to_u = np.zeros_like(s), to_maps[g].zero_()[:, :dim], to_maps[g, :, dim : 2 * dim]
        for first, last in _ranges(*part.draws, CHUNK):
            point, back = z[g, first:last].clone(), to_z[g, first:last].copy_(grad[g, first:last])
            buffer = w.new_empty(BLOCK, last - first)
            views = [one.numpy() for one in (h, gram, grad_log, buffer, to_maps)]
            for low, high in reversed(_ranges(0, len(w), BLOCK)):
                block, a = h[g, low:high, first:last], buffer[: high - low]
                torch.mm(u[low:high], back.mT, out=a)
                _fall(*views, s, to_s, g, low, high, first, last)
                to_u[low:high].addmm_(block, back)
                point.addmm_(block.mT, u[low:high], alpha=-1)
                to_w[low:high].addmm_(a, point)
                mixed[low:high, : high - low].addmm_(block, a.mT)
                back.addmm_(a.mT, w[low:high])
        for low, high in _ranges(0, len(w), BLOCK):
            later = mixed[low:high, : high - low].triu(1)
            to_u[low:high].addmm_(later, w[low:high])
            to_w[low:high].addmm_(later.mT, u[low:high])
        _unconstrain(maps[g].numpy(), s, to_s, to_maps[g].numpy())


def _ranges(start: int, stop: int, step: int) -> list[tuple[int, int]]:
    return [(first, min(first + step, stop)) for first in range(start, stop, step)]


def _constrained(maps: Tensor) -> tuple[Tensor, Tensor, np.ndarray[Any, Any]]:
    """`maps (K, 2 D + 1) -> w (K, D), u_hat (K, D), s (K,)`."""
    dim = maps.shape[1] // 2
    u = maps.new_empty(len(maps), dim)
    s = np.empty(len(maps), u.numpy().dtype)
    _constrain(maps.numpy(), u.numpy(), s)
    return maps[:, :dim], u, s


@compiled
def _constrain(maps: Any, u_hat: Any, s: Any) -> None:
    for k in range(maps.shape[0]):
        s[k], _, _ = constrain(maps[k], u_hat.shape[1], u_hat[k])


@compiled
def _unconstrain(maps: Any, s: Any, to_s: Any, to_maps: Any) -> None:
    dim = maps.shape[1] // 2
    scratch = np.empty(dim, maps.dtype)
    for k in range(maps.shape[0]):
        _, wu, ww = constrain(maps[k], dim, scratch)
        unconstrain(maps[k], dim, s[k], wu, ww, to_s[k], to_maps[k])


@compiled
def _rise(
    h: Any, maps: Any, gram: Any, s: Any, f: Any, e: Any, g: int, low: int, high: int, first: int, last: int
) -> None:
    """`h[g, low:high, first:last]`, w.z at the block's begin, becomes tanh(w.z + b) of each map in turn."""
    bias = maps.shape[2] - 1
    a = np.empty(TILE, h.dtype)
    for start in range(first, last, TILE):
        stop = min(start + TILE, last)
        part, power = f[start - first : stop - first], e[start - first : stop - first]
        for k in range(low, high):
            row = h[g, k, start:stop]
            for n in range(stop - start):
                a[n] = row[n]
            _add_rows(h[g], gram[k], low, k, start, stop, a)
            activate(a, maps[g, k, bias], s[k], row, part, power)
            if k % ROUND == ROUND - 1:
                renormalise(part, power)


@compiled
def _add_rows(rows: Any, weight: Any, low: int, high: int, start: int, stop: int, a: Any) -> None:
    """Add `sum of weight[i] rows[i, start:stop]` over low <= i < high to `a`, four rows at a time."""
    i, size = low, stop - start
    while i + 4 <= high:
        r0, r1, r2, r3 = rows[i, start:stop], rows[i + 1, start:stop], rows[i + 2, start:stop], rows[i + 3, start:stop]
        w0, w1, w2, w3 = weight[i], weight[i + 1], weight[i + 2], weight[i + 3]
        for n in range(size):
            a[n] += w0 * r0[n] + w1 * r1[n] + w2 * r2[n] + w3 * r3[n]
        i += 4
    while i < high:
        row, w0 = rows[i, start:stop], weight[i]
        for n in range(size):
            a[n] += w0 * row[n]
        i += 1


@compiled
def _fall(
    h: Any,
    gram: Any,
    grad_log: Any,
    buffer: Any,
    to_maps: Any,
    s: Any,
    to_s: Any,
    g: int,
    low: int,
    high: int,
    first: int,
    last: int,
) -> None:
    """`buffer`, u_hat.g at the block's end, becomes the gradient in w.z + b of each map in turn, from the last down."""
    bias, weight = to_maps.shape[2] - 1, np.empty(buffer.shape[0], h.dtype)
    for start in range(first, last, TILE):
        stop = min(start + TILE, last)
        for k in range(high - 1, low - 1, -1):
            for i in range(k + 1, high):
                weight[i - low] = gram[i, k]
            row = buffer[k - low, start - first : stop - first]
            _add_rows(buffer, weight, k + 1 - low, high - low, start - first, stop - first, row)
            by_s, by_b = deactivate(h[g, k, start:stop], s[k], grad_log[g, start:stop], row)
            to_s[k] += by_s
            to_maps[g, k, bias] += by_b


@compiled
def _logarithms(f: Any, e: Any, out: Any) -> None:
    for n in range(f.shape[0]):
        out[n] = logarithm(f[n], e[n])
