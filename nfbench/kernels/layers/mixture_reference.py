"""Mixtures of Gaussians in plain PyTorch: densities, tails, quantiles and draws that are differentiable in all numbers.

Shapes in one dimension: a point or a noise (S, B); means and ln scales (B or 1, C) of C components; ln weights
([S,] B or 1, C), which may differ for each draw.
"""

import math
from typing import Any

import torch
from torch import Tensor

from nfbench.foundation.numerics import LOG_2PI, bracketed_root, log_normal_cdf
from nfbench.kernels.dispatch import differentiated, transformed

# Bound on ln(F / f) in a gradient: of the draws about e^-30 for each unit of width fall where a tail is so much more
# than the density. Coordinates multiply such factors, and float32 holds e^88.
LOG_LARGEST = 30.0


def draw(noise: Tensor, log_weights: Tensor, means: Tensor, log_scales: Tensor) -> tuple[Tensor, Tensor]:
    """Draw from mixtures in D dimensions, coordinate by coordinate.

    Args:
        noise: (S, B, D), in float64.
        log_weights: (B or 1, C), normalised.
        means: (B or 1, C, D).
        log_scales: (B or 1, C, D).

    Returns:
        z (S, B, D) and ln q(z) (S, B).
    """
    log_joint, columns = log_weights, []
    for eps, mean, log_scale in zip(noise.unbind(-1), means.unbind(-1), log_scales.unbind(-1), strict=True):
        z = quantile(eps, log_joint - log_joint.logsumexp(-1, keepdim=True), mean, log_scale)
        log_joint = log_joint + log_normal(z, mean, log_scale)
        columns.append(z)
    return torch.stack(columns, -1), log_joint.logsumexp(-1)


def log_normal(z: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """The log-density of each component.

    Args:
        z: (S, B).
        mean: (B or 1, C).
        log_scale: (B or 1, C).

    Returns:
        ln N(z; mean, scale^2) (S, B, C), in nats.
    """
    return -0.5 * (((z.unsqueeze(-1) - mean) * (-log_scale).exp()).square() + LOG_2PI) - log_scale


def log_tail(z: Tensor, side: Tensor | float, log_weights: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Logarithm of the mass on one side of a point.

    Args:
        z: (S, B).
        side: (S, B) or a number: 1 for the mass below z, -1 for that above.
        log_weights: ([S,] B or 1, C), normalised.
        mean: (B or 1, C).
        log_scale: (B or 1, C).

    Returns:
        (S, B), in nats.
    """
    t = (z.unsqueeze(-1) - mean) * (-log_scale).exp()
    sign = side.unsqueeze(-1) if isinstance(side, Tensor) else side
    return (log_weights + log_normal_cdf(sign * t)).logsumexp(-1)


def quantile(eps: Tensor, log_weights: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """The z whose distribution function is that of the noise, F(z) = Phi(eps), differentiable twice in everything.

    The root lies between the least and the largest mean + scale eps. The equation is r(z) = ln F(z) - ln Phi(eps) = 0
    for the smaller tail, so that neither tail is rounded away. Then z - (r(z) - stop(r(z))) stop(F / f) has the value
    of z and the root's first derivatives, as dr/dz = f / F; the same once more makes the second derivatives right.

    Args:
        eps: (S, B), in float64.
        log_weights: ([S,] B or 1, C), normalised.
        mean: (B or 1, C).
        log_scale: (B or 1, C).

    Returns:
        z (S, B).
    """
    side = torch.where(eps > 0, -1.0, 1.0).to(eps.dtype)
    target = log_normal_cdf(side * eps)
    with torch.no_grad():  # forward-mode differentiation only stops at `detach`
        parts = [part.detach() for part in (eps, side, target, log_weights, mean, log_scale)]
        z, over = _root_operator(*parts) if transformed() and not differentiated() else _root(*parts)
    for _ in range(2):
        value = side * (log_tail(z, side, log_weights, mean, log_scale) - target)
        z = z - (value - value.detach()) * over
    return z


def _root(
    eps: Tensor, side: Tensor, target: Tensor, log_weights: Tensor, mean: Tensor, log_scale: Tensor
) -> tuple[Tensor, Tensor]:
    """The root z (S, B) of `quantile`'s equation, and F / f there (S, B); `target` is ln Phi(side eps)."""
    # Torch's own is three times as fast; vmap has no rule for it, and its gradient is infinite far out.
    plain = not transformed()
    log_cdf = torch.special.log_ndtr if plain else log_normal_cdf
    constant, signs, rates = log_weights - log_scale - 0.5 * LOG_2PI, side.unsqueeze(-1), (-log_scale).exp()

    def logs(z: Tensor) -> Tensor:
        """The ln tail and ln density, (2, S, B)."""
        t = (z.unsqueeze(-1) - mean) * rates
        return torch.stack([log_weights + log_cdf(signs * t), constant - 0.5 * t.square()]).logsumexp(-1)

    def newton(z: Tensor) -> tuple[Tensor, Tensor]:
        tail, density = logs(z)
        value = side * (tail - target)
        return value, value * (tail - density).exp()

    ends = mean + log_scale.exp() * eps.unsqueeze(-1)
    start = (log_weights.exp() * ends).sum(-1)
    steps = 100 if plain else 40  # scales from e^-20 to e^20 take 80 bisections; without a stop all steps are made
    z = bracketed_root(newton, start, ends.amin(-1), ends.amax(-1), steps=steps, stops=plain)
    tail, density = logs(z)
    return z, (tail - density).exp().clamp_max(math.exp(LOG_LARGEST))


@torch.library.custom_op("nfbench::mixture_root", mutates_args=())
def _root_operator(
    eps: Tensor, side: Tensor, target: Tensor, log_weights: Tensor, mean: Tensor, log_scale: Tensor
) -> tuple[Tensor, Tensor]:
    """`_root` as an operator, which sees plain tensors: so the search ends where all seeds have their roots."""
    return _root(eps, side, target, log_weights, mean, log_scale)


@_root_operator.register_fake
def _shapes(eps: Tensor, *_: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(eps), torch.empty_like(eps)


@_root_operator.register_vmap
def _folded(
    info: Any, in_dims: tuple[int | None, ...], *parts: Tensor
) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
    """Seeds become data points: (E, S, B) -> (S, E B), and numbers (E, [S,] B or 1, C) -> ([S,] E B, C)."""
    E = info.batch_size
    each = [
        part.unsqueeze(0).expand(E, *part.shape) if axis is None else part.movedim(axis, 0)
        for part, axis in zip(parts, in_dims, strict=True)
    ]
    S, B = each[0].shape[1:]
    points = [part.transpose(0, 1).reshape(S, E * B) for part in each[:3]]
    numbers = []
    for part in each[3:]:
        rows = part.expand(*part.shape[:-2], B, part.shape[-1])
        drawn = rows.dim() == 4  # ln weights that differ for each draw
        numbers.append(rows.transpose(0, 1).reshape(S, E * B, -1) if drawn else rows.reshape(E * B, -1))
    return tuple(part.reshape(S, E, B) for part in _root_operator(*points, *numbers)), (1, 1)
