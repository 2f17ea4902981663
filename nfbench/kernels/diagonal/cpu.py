"""The diagonal Gaussian's draws on the CPU; compiled: one pass over the noise forward, one backward.

The loops run over S draws of each of B data points. Draw s of point b is row `s across + b apart` of an array of rows
of D numbers, so that draws may come first, (S, B, D), or points, (B, S, D).
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nfbench.kernels.compiler.decorators import compiled, inlined
from nfbench.kernels.cpu.memory import array, empty
from nfbench.kernels.cpu.shares import added, combined, parts, together
from nfbench.kernels.cpu.team import Shares, own
from nfbench.kernels.simd.arithmetic import decay
from nfbench.kernels.simd.vector import fma, narrow, store, total

width, load, spread, _ = narrow

_COST = 1.0  # nanoseconds a number on one core, about
_BLOCK = 64  # draws that are summed up before they are added to the sum of all draws, so that it keeps its digits
_SAFE = 80  # beyond about 86 `decay` is clipped in float32, where e^-x is below the normal numbers


def forward(noise: Tensor, base: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Draw z = mean + sigma noise, as `reference.Loops.forward` says.

    Args:
        noise: (S, B, D).
        base: (B or 1, 2 D), mean and ln sigma.

    Returns:
        z (S, B, D), ln q (S, B), and sigma (B or 1, D), which `backward` takes.
    """
    draws, points, dim = noise.shape
    noises, numbers = array(noise), array(base)
    z, log_q = empty((draws, points, dim), noises.dtype), empty((draws, points), noises.dtype)
    sigma = np.empty((len(base), dim), noises.dtype)
    together([(start, (noises, numbers, sigma, z, log_q, points, 1))], parts(points, draws, _COST * dim))
    return torch.from_numpy(z), torch.from_numpy(log_q), torch.from_numpy(sigma)


def backward(
    noise: Tensor, sigma: Tensor, grad_z: Tensor, grad_log_q: Tensor, *, to_noise: bool
) -> tuple[Tensor | None, Tensor]:
    """Gradients in the noise and in the base, as `reference.Loops.backward` says.

    Args:
        noise: (S, B, D).
        sigma: (B or 1, D).
        grad_z: (S, B, D).
        grad_log_q: (S, B).
        to_noise: whether the gradient in the noise is wanted.

    Returns:
        The gradient in the noise (S, B, D), or None, and that in the base (B or 1, 2 D).
    """
    draws, points, dim = noise.shape
    noises, sigmas, grads, grad_logs = array(noise), array(sigma), array(grad_z), array(grad_log_q)
    shares = parts(points, draws, _COST * dim)
    sums, back = sums_for(shares, sigmas), np.empty(noises.shape if to_noise else (0, 0, 0), noises.dtype)
    together([(finish, (noises, sigmas, grads, grad_logs, sums, back, points, 1))], shares)
    return torch.from_numpy(back) if to_noise else None, added(sums)


def sums_for(shares: Shares, sigma: np.ndarray) -> np.ndarray:
    """Memory for the gradient in the base.

    Args:
        shares: of the kernel that sums.
        sigma: (B or 1, D).

    Returns:
        (R, B or 1, 2 D): with one row of numbers R is the number of shares, else as in `shares.combined`.
    """
    rows, dim = sigma.shape
    if rows > 1:
        return combined(shares, (rows, 2 * dim), sigma.dtype)
    return empty((len(shares), 1, 2 * dim), sigma.dtype)


@compiled
def start(
    noise: Any,
    base: Any,
    sigma: Any,
    z: Any,
    log_q: Any,
    across: int,
    apart: int,
    share: Any,
) -> None:
    """Draw z = mean + sigma noise with ln q = -(|noise|^2 + D ln 2 pi) / 2 - sum ln sigma.

    Args:
        noise: contiguous, in the order of rows that `across` and `apart` say.
        base: (B or 1, 2 D).
        sigma: (B or 1, D), written.
        z: as noise, written.
        log_q: as noise without its last axis, written.
        across: rows from one draw of a point to its next.
        apart: rows from a point to the next one.
        share: which points and draws.
    """
    _, group, groups, first, last = share
    dim, kind, vector, flat = base.shape[1] // 2, noise.dtype.type, width(noise), log_q.reshape(log_q.size)
    whole, left, each = dim - dim % vector, dim % vector, sigma.shape[0] > 1
    scale, rest = np.empty(dim, noise.dtype), kind(0)
    for b in range(group, groups):
        row = b if each else 0
        if each or b == group:
            _exponential(base[row, dim:], scale)
            rest = kind(dim * 0.5 * math.log(2 * math.pi))
            for d in range(dim):
                rest += base[row, dim + d]
        if each or (b == 0 and first == 0):
            sigma[row] = scale
        for s in range(first, last):
            at, square = (s * across + b * apart) * dim, spread(kind(0))
            for d in range(0, whole, vector):
                square = _moved(noise, base, scale, z, at, 2 * row * dim, d, square, vector)
            if left:
                square = _moved(noise, base, scale, z, at, 2 * row * dim, whole, square, left)
            flat[s * across + b * apart] = -(kind(0.5) * total(square) + rest)


@inlined
def _exponential(x: Any, out: Any) -> None:
    """Write e^x of `x (D,)` to `out (D,)`."""
    one, safe = x.dtype.type(1), True
    for d in range(x.shape[0]):
        safe &= abs(x[d]) < _SAFE
        t = decay(x[d])
        out[d] = one / t if x[d] > 0 else t
    if not safe:
        for d in range(x.shape[0]):
            out[d] = math.exp(x[d])


@inlined
def _moved(noise: Any, base: Any, scale: Any, z: Any, at: Any, mean: Any, d: Any, square: Any, n: Any) -> Any:
    """Write n dimensions of z = mean + sigma noise from index `at + d` on; returns `square` + noise^2."""
    x = load(noise, at + d, n)
    store(z, at + d, n, fma(load(scale, d, n), x, load(base, mean + d, n)))
    return fma(x, x, square)


@compiled
def finish(
    noise: Any,
    sigma: Any,
    grad: Any,
    grad_log: Any,
    of_base: Any,
    back: Any,
    across: int,
    apart: int,
    share: Any,
) -> None:
    """Gradients in the base and, unless `back` is empty, in the noise.

    Args:
        noise: as in `start`.
        sigma: (B or 1, D).
        grad: gradient in z, in the order of noise.
        grad_log: gradient in ln q, likewise.
        of_base: gradient in the base (R, B or 1, 2 D), memory of `sums_for`, written.
        back: gradient in the noise, in its order, written; or empty.
        across: as in `start`.
        apart: as in `start`.
        share: which points and draws.
    """
    _, group, groups, first, last = share
    sums = own(of_base, share)
    dim, kind, vector, logs = sigma.shape[1], noise.dtype.type, width(noise), grad_log.reshape(grad_log.size)
    whole, left, each = dim - dim % vector, dim % vector, sigma.shape[0] > 1
    noises, gradients, to_noise = noise.reshape(noise.size), grad.reshape(grad.size), back.reshape(back.size)
    block = np.empty(2 * (dim + vector), noise.dtype)
    if not each:
        sums[:] = kind(0)
    for b in range(group, groups):
        row, to_log = (b if each else 0), kind(0)
        if each:
            sums[row] = kind(0)
        for near in range(first, last, _BLOCK):
            block[:], of_block = kind(0), kind(0)
            for s in range(near, min(near + _BLOCK, last)):
                at = s * across + b * apart
                of_block += logs[at]
                for d in range(0, whole, vector):
                    _summed(noise, grad, block, at * dim, dim, d, vector)
                if left:
                    _summed(noise, grad, block, at * dim, dim, whole, left)
            to_log += of_block
            for d in range(dim):
                sums[row, d] += block[d]
                sums[row, dim + d] += block[dim + vector + d] * sigma[row, d]
        for d in range(dim):
            sums[row, dim + d] -= to_log
        if back.size:
            for s in range(first, last):
                at = s * across + b * apart
                for d in range(at * dim, at * dim + dim):
                    to_noise[d] = gradients[d] * sigma[row, d - at * dim] - logs[at] * noises[d]


@inlined
def _summed(noise: Any, grad: Any, block: Any, at: Any, dim: Any, d: Any, n: Any) -> None:
    """Add n dimensions of the gradient in z, and of its product with the noise, to the sums of a block of draws."""
    vector, one = width(noise), spread(noise.dtype.type(1))
    g, by_sigma = load(grad, at + d, n), dim + vector + d
    store(block, d, vector, fma(one, g, load(block, d, vector)))
    store(block, by_sigma, vector, fma(g, load(noise, at + d, n), load(block, by_sigma, vector)))
