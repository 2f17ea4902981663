"""Draws of mixtures of Gaussians, coordinate by coordinate, and their gradients; compiled. Used by `mixture_cpu`.

Shapes: noise (G, N, D); G groups of C components, whose numbers the N draws of a group share. After d coordinates
`log_joint` of component k is ln w_k + sum_(j<=d) ln N_k(z_j). Its softmax has the weights of the next coordinate, and
the difference of two following totals is ln f of the coordinate between them.
"""

import math
from typing import Any

import numpy as np

from nfbench.foundation.numerics import LOG_2PI
from nfbench.kernels.compiler.decorators import compiled, inlined
from nfbench.kernels.cpu.team import own
from nfbench.kernels.layers.mixture_reference import LOG_LARGEST

_STEPS = 100  # bound on a search: scales from e^-20 to e^20 take 80 bisections
_CLOSE = 1e-6  # of a component's scale: the error of a step of Halley's is about the third power of its length
_RESOLUTION = 4 * float(np.finfo(np.float64).eps)
_FAR = -30.0  # below it erfc nears underflow, and a series has the logarithm to 1e-16


@compiled
def forward(noise: Any, log_weights: Any, means: Any, log_scales: Any, z: Any, log_q: Any, share: Any) -> None:
    """Write draws and their log-densities.

    Args:
        noise: (G, N, D).
        log_weights: (G, C), normalised.
        means: (G, C, D).
        log_scales: (G, C, D).
        z: (G, N, D), written.
        log_q: (G, N), written.
        share: which groups and draws.
    """
    _, group, groups, start, stop = share
    dim, components = noise.shape[2], log_weights.shape[1]
    mean, log_rate, rate = np.empty((dim, components)), np.empty((dim, components)), np.empty((dim, components))
    log_joint, conditional, tails = np.empty(components), np.empty(components), np.empty(components)
    for g in range(group, groups):
        _turn(means[g], log_scales[g], mean, log_rate, rate)
        for n in range(start, stop):
            log_joint[:] = log_weights[g]
            total = _log_sum(log_joint)
            for d in range(dim):
                for k in range(components):
                    conditional[k] = log_joint[k] - total
                value = _root(noise[g, n, d], conditional, mean[d], log_rate[d], rate[d], tails)
                z[g, n, d] = value
                for k in range(components):
                    t = (value - mean[d, k]) * rate[d, k]
                    log_joint[k] += log_rate[d, k] - 0.5 * (t * t + LOG_2PI)
                total = _log_sum(log_joint)
            log_q[g, n] = total


@compiled
def backward(
    noise: Any,
    log_weights: Any,
    means: Any,
    log_scales: Any,
    z: Any,
    grad: Any,
    grad_log_q: Any,
    to_noise: Any,
    of_weights: Any,
    of_means: Any,
    of_scales: Any,
    share: Any,
) -> None:
    """Gradients in the noise and in all numbers, by the implicit function theorem.

    As F(z) = Phi(eps), a number a moves z by -(dF/da) / f: a mean by its component's part r of the density, the
    logarithm of a scale by r (z - mean), a `log_joint` by -w (F_k - F) / f.

    Args:
        noise: (G, N, D).
        log_weights: (G, C).
        means: (G, C, D).
        log_scales: (G, C, D).
        z: what `forward` wrote.
        grad: gradient in z (G, N, D).
        grad_log_q: gradient in ln q (G, N).
        to_noise: (G, N, D), written.
        of_weights: gradient in the ln weights, (shares or 1, G, C), memory of `shares.combined`, written.
        of_means: gradient in the means, likewise.
        of_scales: gradient in the ln scales, likewise.
        share: which groups and draws.
    """
    _, group, groups, start, stop = share
    to_weights, to_means, to_scales = own(of_weights, share), own(of_means, share), own(of_scales, share)
    dim, components = noise.shape[2], log_weights.shape[1]
    mean, log_rate, rate = np.empty((dim, components)), np.empty((dim, components)), np.empty((dim, components))
    log_joint, totals, to_joint = np.empty((dim + 1, components)), np.empty(dim + 1), np.empty(components)
    for g in range(group, groups):
        _turn(means[g], log_scales[g], mean, log_rate, rate)
        to_weights[g], to_means[g], to_scales[g] = 0.0, 0.0, 0.0
        for n in range(start, stop):
            log_joint[0] = log_weights[g]
            totals[0] = _log_sum(log_joint[0])
            for d in range(dim):
                for k in range(components):
                    t = (z[g, n, d] - mean[d, k]) * rate[d, k]
                    log_joint[d + 1, k] = log_joint[d, k] + log_rate[d, k] - 0.5 * (t * t + LOG_2PI)
                totals[d + 1] = _log_sum(log_joint[d + 1])
            for k in range(components):
                to_joint[k] = grad_log_q[g, n] * math.exp(log_joint[dim, k] - totals[dim])
            for d in range(dim - 1, -1, -1):
                eps, to_z = noise[g, n, d], grad[g, n, d]
                side = -1.0 if eps > 0 else 1.0
                tail = _log_tail(side * eps)
                log_over = tail - (totals[d + 1] - totals[d])
                over = math.exp(min(log_over, LOG_LARGEST))
                cut = math.exp(min(0.0, LOG_LARGEST - log_over))  # 1 where F / f is within its bound
                for k in range(components):
                    to_z -= to_joint[k] * (z[g, n, d] - mean[d, k]) * rate[d, k] * rate[d, k]
                to_noise[g, n, d] = to_z * over * math.exp(-0.5 * (eps * eps + LOG_2PI) - tail)
                for k in range(components):
                    apart = z[g, n, d] - mean[d, k]
                    t = apart * rate[d, k]
                    part = to_z * cut * math.exp(log_joint[d + 1, k] - totals[d + 1])
                    to_means[g, k, d] += to_joint[k] * t * rate[d, k] + part
                    to_scales[g, k, d] += to_joint[k] * (t * t - 1.0) + part * apart
                    log_weight = log_joint[d, k] - totals[d]
                    beyond = math.exp(log_weight + _log_tail(side * t) - tail) - math.exp(log_weight)
                    to_joint[k] -= to_z * side * over * beyond
            for k in range(components):
                to_weights[g, k] += to_joint[k]


@inlined
def _turn(means: Any, log_scales: Any, mean: Any, log_rate: Any, rate: Any) -> None:
    """Write a group's means, -ln scales and inverse scales (C, D) as (D, C)."""
    for k in range(means.shape[0]):
        for d in range(means.shape[1]):
            mean[d, k] = means[k, d]
            log_rate[d, k] = -log_scales[k, d]
            rate[d, k] = math.exp(-log_scales[k, d])


@inlined
def _log_sum(logs: Any) -> Any:
    """The logarithm of a sum of exponentials (C,)."""
    top = logs[0]
    for k in range(1, logs.shape[0]):
        top = max(top, logs[k])
    total = 0.0
    for k in range(logs.shape[0]):
        total += math.exp(logs[k] - top)
    return top + math.log(total)


@inlined
def _log_tail(x: Any) -> Any:
    """Ln Phi(x)."""
    if x > _FAR:
        return math.log(0.5 * math.erfc(-x * math.sqrt(0.5)))
    u = 1.0 / (x * x)  # Phi(x) = phi(x) / |x| (1 - u + 3 u^2 - 15 u^3 + 105 u^4 - ...)
    series = -u * (1.0 - 3.0 * u * (1.0 - 5.0 * u * (1.0 - 7.0 * u)))
    return -0.5 * (x * x + LOG_2PI) - math.log(-x) + math.log1p(series)


@inlined
def _root(eps: Any, log_weights: Any, mean: Any, log_rate: Any, rate: Any, tails: Any) -> Any:
    """The z with F(z) = Phi(eps), by Halley's steps within a bracket, and bisection where they leave it or are slow.

    The equation is r(z) = ln F(z) - ln Phi(eps) = 0 for the smaller tail, with r' = f / F.

    Args:
        eps: a number of noise.
        log_weights: (C,), normalised.
        mean: (C,).
        log_rate: minus ln scales (C,).
        rate: inverse scales (C,).
        tails: (C,), memory.

    Returns:
        The root, to the resolution of float64.
    """
    components, side = mean.shape[0], -1.0 if eps > 0 else 1.0
    target, z, lower, upper, narrowest = _log_tail(side * eps), 0.0, math.inf, -math.inf, 0.0
    for k in range(components):
        end = mean[k] + eps / rate[k]
        lower, upper, narrowest = min(lower, end), max(upper, end), max(narrowest, rate[k])
        z += math.exp(log_weights[k]) * end
    last = upper - lower
    for _ in range(_STEPS):
        for k in range(components):
            tails[k] = log_weights[k] + _log_tail(side * (z - mean[k]) * rate[k])
        tail, top = _log_sum(tails), -math.inf
        for k in range(components):
            t = (z - mean[k]) * rate[k]
            tails[k] = log_weights[k] + log_rate[k] - 0.5 * t * t
            top = max(top, tails[k])
        density, slope = 0.0, 0.0
        for k in range(components):
            part = math.exp(tails[k] - top)
            density += part
            slope -= part * (z - mean[k]) * rate[k] * rate[k]
        over = math.exp(tail + 0.5 * LOG_2PI - top) / density  # F / f
        value = side * (tail - target)
        if value < 0.0:
            lower = z
        else:
            upper = z
        newton = value * over
        bend = 1.0 - 0.5 * newton * (slope / density - side / over)  # 1 - r r'' / (2 r'^2)
        step = newton / bend if 0.5 < bend < 2.0 else newton
        resolution = _RESOLUTION * (1.0 + abs(z))
        moved = z - step
        close = abs(step) <= max(resolution, _CLOSE / narrowest)
        taken = lower <= moved <= upper and (2.0 * abs(step) <= last or close)
        if not taken:
            moved = 0.5 * (lower + upper)
        last, z = abs(moved - z), moved
        if last <= resolution or (taken and close):
            break
    return z
