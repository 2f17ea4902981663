"""The log-likelihood of binary pixels on the CPU, one pass over them; compiled.

With y = (1 - 2 x) l, softplus(y) = max(y, 0) + ln(1 + t), t = e^-|y|. The sum of the logarithms of many pixels is the
logarithm of the product of their 1 + t. The loops hold this product less 1, p, so that a small t is not rounded away:
(1 + p)(1 + t) - 1 = p + t (1 + p).
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nfbench.kernels.compiler.decorators import compiled, inlined
from nfbench.kernels.cpu.memory import array, empty
from nfbench.kernels.cpu.shares import parts, together
from nfbench.kernels.layers.bernoulli_simd import multiply_in
from nfbench.kernels.simd.vector import fma, store, total, wide

width, load, spread = wide[:3]

_COST = 0.7  # nanoseconds of a pixel on one core, about
_ROUNDS = 15  # factors of a lane, at most 2 each: float32 holds the product of 4 lanes, float64 that of all 64


def log_prob(logits: Tensor, x: Tensor, *, learned: bool) -> tuple[Tensor, Tensor]:
    """The log-likelihood and, where logits are learned, its derivatives.

    Args:
        logits: (S, B, I).
        x: (B, I) of 0 and 1.
        learned: whether derivatives are wanted.

    Returns:
        ln p(x) (S, B), and its derivatives in the logits (S, B, I), or (0, 0, 0) if they are not wanted.
    """
    draws, points, pixels = logits.shape
    numbers, observed = array(logits), array(x)
    log_p = empty((draws, points), numbers.dtype)
    slopes = empty((draws, points, pixels) if learned else (0, 0, 0), numbers.dtype)
    together([(_log_prob, (numbers, observed, log_p, slopes))], parts(points, draws, _COST * pixels))
    return torch.from_numpy(log_p), torch.from_numpy(slopes)


@compiled
def _log_prob(logits: Any, x: Any, log_p: Any, slopes: Any, share: Any) -> None:
    """Write ln p(x) and, unless `slopes` is empty, its derivatives in the logits.

    Args:
        logits: (S, B, I).
        x: (B, I).
        log_p: (S, B), written.
        slopes: (S, B, I), written, or empty.
        share: which points and draws.
    """
    _, group, groups, start, stop = share
    points, pixels, kind, step = logits.shape[1], logits.shape[2], logits.dtype.type, 4 * width(logits)
    lanes, ones = np.empty(width(logits), logits.dtype), np.ones(step, logits.dtype)
    zeros, whole, learned = _four(spread(kind(0))), _four(spread(kind(1))), slopes.size > 0
    for s in range(start, stop):
        for b in range(group, groups):
            row, image, so_far = (s * points + b) * pixels, b * pixels, 0.0
            for first in range(0, pixels, _ROUNDS * step):
                product, positive = zeros, zeros
                last = min(first + _ROUNDS * step, pixels)
                left = (last - first) % step
                for i in range(first, last - left, step):
                    of_x = _loaded(x, image + i, step)
                    product, positive, slope = multiply_in(
                        product, positive, _loaded(logits, row + i, step), of_x, whole
                    )
                    if learned:
                        _stored(slopes, row + i, step, slope)
                if left:
                    i = last - left
                    of_x, there = _loaded(x, image + i, left), _loaded(ones, 0, left)
                    product, positive, slope = multiply_in(
                        product, positive, _loaded(logits, row + i, left), of_x, there
                    )
                    if learned:
                        _stored(slopes, row + i, left, slope)
                so_far += _closed(product, positive, lanes)
            log_p[s, b] = -so_far


@inlined
def _closed(product: Any, positive: Any, lanes: Any) -> Any:
    """The sum of softplus(y) of many pixels, from four vectors of products less 1 and four of sums of max(y, 0)."""
    one = spread(lanes.dtype.type(1))
    left, right = _times(product[0], product[1], one), _times(product[2], product[3], one)
    store(lanes, 0, lanes.shape[0], _times(left, right, one))
    rest = 0.0
    for lane in lanes:
        rest += np.float64(lane) * (1.0 + rest)
    sums = fma(positive[0], one, positive[1]), fma(positive[2], one, positive[3])
    return np.float64(total(fma(sums[0], one, sums[1]))) + math.log1p(rest)


@inlined
def _times(p: Any, t: Any, one: Any) -> Any:
    """The vector (1 + p)(1 + t) - 1."""
    return fma(t, fma(p, one, one), p)


@inlined
def _four(vector: Any) -> Any:
    """The same vector four times."""
    return vector, vector, vector, vector


@inlined
def _loaded(source: Any, at: Any, count: Any) -> Any:
    """Load four vectors with the `count` numbers from `source.flat[at]` on, filled up with zeros."""
    n = width(source)
    first, second = load(source, at, count), load(source, at + n, count - n)
    return first, second, load(source, at + 2 * n, count - 2 * n), load(source, at + 3 * n, count - 3 * n)


@inlined
def _stored(target: Any, at: Any, count: Any, four: Any) -> None:
    """Store the first `count` numbers of four vectors from `target.flat[at]` on."""
    n = width(target)
    store(target, at, count, four[0])
    store(target, at + n, count - n, four[1])
    store(target, at + 2 * n, count - 2 * n, four[2])
    store(target, at + 3 * n, count - 3 * n, four[3])
