"""Integrals of a positive network on the CPU: memory and shares of the work for `integral_draws`."""

import torch
from torch import Tensor

from nfbench.kernels.cpu.memory import array, empty
from nfbench.kernels.cpu.shares import added, combined, parts, together
from nfbench.kernels.layers import integral_draws

_UNIT, _NODE = 1.0, 3.0  # nanoseconds of a unit at a node, and of the rest of a node, forward on one core


def forward(
    z: Tensor,
    embedding: Tensor,
    slopes: Tensor,
    biases: Tensor,
    weights: Tensor,
    shift: Tensor,
    points: Tensor,
    rule: Tensor,
) -> tuple[Tensor, Tensor]:
    """Integrate from 0 to z.

    Args:
        z: (G, E).
        embedding: (G, E, U).
        slopes: (G, U).
        biases: (G, U).
        weights: (G, U).
        shift: (G, 1).
        points: of the rule, followed by 1, (G, n + 1).
        rule: weights of the points (G, n).

    Returns:
        The integral and the network at z, (G, E) both.
    """
    arrays = [array(tensor) for tensor in (z, embedding, slopes, biases, weights, shift, points, rule)]
    kind = arrays[0].dtype
    area, height = empty(arrays[0].shape, kind), empty(arrays[0].shape, kind)
    shares = parts(z.shape[0], z.shape[1], _cost(embedding, points))
    together([(integral_draws.forward, (*arrays, area, height))], shares)
    return torch.from_numpy(area), torch.from_numpy(height)


def backward(
    z: Tensor,
    embedding: Tensor,
    slopes: Tensor,
    biases: Tensor,
    weights: Tensor,
    shift: Tensor,
    points: Tensor,
    rule: Tensor,
    grad: Tensor,
    grad_height: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients in all tensors.

    Args:
        z: as in `forward`.
        embedding: as in `forward`.
        slopes: as in `forward`.
        biases: as in `forward`.
        weights: as in `forward`.
        shift: as in `forward`.
        points: as in `forward`.
        rule: as in `forward`.
        grad: gradient in the integral (G, E).
        grad_height: gradient in the network at z (G, E).

    Returns:
        (G, E), (G, E, U), three times (G, U), and (G, 1).
    """
    arrays = [array(tensor) for tensor in (z, embedding, slopes, biases, weights, shift, points, rule)]
    kind, shares = arrays[0].dtype, parts(z.shape[0], z.shape[1], 3 * _cost(embedding, points))
    to_z, to_embedding = empty(arrays[0].shape, kind), empty(arrays[1].shape, kind)
    sums = [combined(shares, tuple(numbers.shape), kind) for numbers in (slopes, biases, weights, shift)]
    given = (*arrays, array(grad), array(grad_height), to_z, to_embedding, *sums)
    together([(integral_draws.backward, given)], shares)
    to_slopes, to_biases, to_weights, to_shift = (added(total) for total in sums)
    return torch.from_numpy(to_z), torch.from_numpy(to_embedding), to_slopes, to_biases, to_weights, to_shift


def _cost(embedding: Tensor, points: Tensor) -> float:
    """Nanoseconds that an element takes forward on one core, about."""
    return points.shape[1] * (_UNIT * embedding.shape[2] + _NODE)
