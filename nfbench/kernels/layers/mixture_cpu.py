"""Draws of mixtures of Gaussians on the CPU: memory and shares of the work for `mixture_draws`."""

import torch
from torch import Tensor

from nfbench.kernels.cpu.memory import array, empty
from nfbench.kernels.cpu.shares import added, combined, parts, together
from nfbench.kernels.layers import mixture_draws

_COMPONENT = 400.0  # nanoseconds of a component in a search for a root, on one core


def forward(noise: Tensor, log_weights: Tensor, means: Tensor, log_scales: Tensor) -> tuple[Tensor, Tensor]:
    """Turn noise into draws.

    Args:
        noise: (G, N, D).
        log_weights: (G, C), normalised.
        means: (G, C, D).
        log_scales: (G, C, D).

    Returns:
        z (G, N, D) and ln q(z) (G, N).
    """
    arrays = [array(tensor) for tensor in (noise, log_weights, means, log_scales)]
    z, log_q = empty(arrays[0].shape, arrays[0].dtype), empty(arrays[0].shape[:2], arrays[0].dtype)
    shares = parts(noise.shape[0], noise.shape[1], _cost(means))
    together([(mixture_draws.forward, (*arrays, z, log_q))], shares)
    return torch.from_numpy(z), torch.from_numpy(log_q)


def backward(
    noise: Tensor,
    log_weights: Tensor,
    means: Tensor,
    log_scales: Tensor,
    z: Tensor,
    grad: Tensor,
    grad_log_q: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients in the noise, the ln weights, the means and the ln scales.

    Args:
        noise: as in `forward`.
        log_weights: as in `forward`.
        means: as in `forward`.
        log_scales: as in `forward`.
        z: the draws that `forward` gave.
        grad: gradient in z (G, N, D).
        grad_log_q: gradient in ln q(z) (G, N).

    Returns:
        (G, N, D), (G, C), (G, C, D) and (G, C, D).
    """
    arrays = [array(tensor) for tensor in (noise, log_weights, means, log_scales, z, grad, grad_log_q)]
    shares = parts(noise.shape[0], noise.shape[1], 0.5 * _cost(means))
    to_noise = empty(arrays[0].shape, arrays[0].dtype)
    sums = [combined(shares, tuple(numbers.shape), arrays[0].dtype) for numbers in (log_weights, means, log_scales)]
    together([(mixture_draws.backward, (*arrays, to_noise, *sums))], shares)
    to_weights, to_means, to_scales = (added(total) for total in sums)
    return torch.from_numpy(to_noise), to_weights, to_means, to_scales


def _cost(means: Tensor) -> float:
    """Nanoseconds that a draw takes forward on one core, about."""
    return _COMPONENT * means.shape[1] * means.shape[2]
