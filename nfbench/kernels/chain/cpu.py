"""Compiled chains on the CPU: which loops of a map run on which sizes, in how many threads, and in what memory.

`operators.fused` says what a module of kernels offers; `Chain` makes that of a map's compiled loops.
"""

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from nfbench.kernels.chain.groups import grouped_array, ungrouped_array
from nfbench.kernels.cpu.memory import array, empty
from nfbench.kernels.cpu.shares import FEW, added, combined, parts, together
from nfbench.kernels.cpu.team import Shares, Step
from nfbench.kernels.diagonal import cpu

# Measured nanoseconds of one map for one draw, and more for each dimension, forward on one core; backward takes twice.
# Where many draws share the maps' numbers, where few do, and where every draw has its own.
_MANY, _FEW, _SINGLE = (2.0, 0.1), (15.0, 0.7), (10.0, 0.5)
_PIECES = 4  # shares into which a thread's part of long work is cut

Array = np.ndarray
Forward = tuple[Tensor, Tensor, Tensor]
Backward = tuple[Tensor, Tensor]
DrawBackward = tuple[Tensor | None, Tensor, Tensor]


class Saved(NamedTuple):
    """What `Chain.draw_backward` needs of `Chain.draw`, as arrays: from tensors they would have to be made again.

    Attributes:
        noise: (G, N, D).
        base: (G, 2 D), mean and ln sigma.
        sigma: (G, D).
        z: z_K (G, N, D).
        activations: (G, K, N), in the order of the map's loops.
        maps: (G, K, R).
    """

    noise: Array
    base: Array
    sigma: Array
    z: Array
    activations: Array
    maps: Array


DrawForward = tuple[Tensor, Tensor, Saved]


class Chain(NamedTuple):
    """A map's compiled loops: three modules, each with a ``forward`` and a ``backward``.

    Attributes:
        draws: for groups of many draws; activations are (G K N,), in an order of the loops' own.
        dimensions: for groups of few draws; activations are (G, K, N).
        points: for groups of one draw: arrays are without the axis of draws, activations (G K,) in an order of their
            own.
        restarts: whether each ``backward`` takes what z_0 is made of, a triple of arrays, as its last argument but the
            share: x (G, N, D), base (G, 2 D) and sigma (G, D) with z_0 = mean + sigma x, or x = z_0 and no rows else.
    """

    draws: ModuleType
    dimensions: ModuleType
    points: ModuleType
    restarts: bool = False

    def forward(self, z: Tensor, maps: Tensor) -> Forward:
        """Push draws through the chain.

        Args:
            z: (G, N, D).
            maps: (G, K, R).

        Returns:
            z_K (G, N, D), ln|det| (G, N), and the activations (G, K, N) in an order of the loops' own.
        """
        points, numbers = array(z), array(maps)
        results = _results(points, numbers)
        together([self._forward_step(points, numbers, *results)], _shares(points, numbers))
        z_k, log_det, activations = (torch.from_numpy(result) for result in results)
        return z_k, log_det, activations

    def backward(
        self,
        z: Tensor,
        activations: Tensor,
        maps: Tensor,
        grad_z: Tensor,
        grad_log_det: Tensor,
        z_0: Tensor | None = None,
    ) -> Backward:
        """Gradients in z and the maps; z before each map is rebuilt from z_K and the activations.

        Args:
            z: z_K (G, N, D).
            activations: (G, K, N), of `forward`.
            maps: (G, K, R).
            grad_z: gradient in z_K (G, N, D).
            grad_log_det: gradient in ln|det| (G, N).
            z_0: what `forward` was called with, (G, N, D); for maps that restart from it.

        Returns:
            (G, N, D) and (G, K, R).
        """
        points, numbers = array(z), array(maps)
        shares = _shares(points, numbers, back=True)
        to_z, to_maps = empty(points.shape, points.dtype), combined(shares, numbers.shape, numbers.dtype)
        grads, nothing = (array(grad_z), array(grad_log_det)), np.empty((0, 0), points.dtype)
        start = None if z_0 is None else (array(z_0), nothing, nothing)
        together([self._backward_step(points, array(activations), numbers, *grads, to_z, to_maps, start)], shares)
        return torch.from_numpy(to_z), added(to_maps)

    def draw(self, noise: Tensor, base: Tensor, theta: Tensor, row: int) -> DrawForward:
        """Draw from the base and push the draws through the chain.

        Args:
            noise: (S, B, D).
            base: (B or 1, 2 D), mean and ln sigma.
            theta: (B or 1, K R), with as many rows as the base.
            row: R, how many numbers a map has.

        Returns:
            z_K (S, B, D), ln q(z_K) (S, B), and what `draw_backward` needs.
        """
        numbers, rows = array(theta), array(base)
        numbers = numbers.reshape(len(numbers), -1, row)
        noises = grouped_array(array(noise), len(rows))
        z, log_det, activations = _results(noises, numbers)
        log_q, sigma = empty(log_det.shape, noises.dtype), np.empty((len(rows), noises.shape[2]), noises.dtype)
        start = cpu.start, (noises, rows, sigma, z, log_q, 1, noises.shape[1])
        together([start, self._forward_step(z, numbers, z, log_det, activations)], _shares(noises, numbers))
        np.subtract(log_q, log_det, log_q)
        saved = Saved(noises, rows, sigma, z, activations, numbers)
        return ungrouped_array(z, noise.shape), ungrouped_array(log_q, noise.shape), saved

    def draw_backward(self, saved: Saved, grad_z: Tensor, grad_log_q: Tensor, *, to_noise: bool) -> DrawBackward:
        """The gradients of `draw`.

        Args:
            saved: by `draw`.
            grad_z: gradient in z_K (S, B, D).
            grad_log_q: gradient in ln q(z_K) (S, B).
            to_noise: whether the gradient in the noise is wanted.

        Returns:
            The gradient in the noise (S, B, D), or None; in the base (B or 1, 2 D); and in theta (B or 1, K R).
        """
        noise, base, sigma, z, activations, maps = saved
        grads, grad_log = (grouped_array(array(grad), len(sigma)) for grad in (grad_z, grad_log_q))
        shares = _shares(z, maps, back=True)
        to_z, to_maps = empty(z.shape, z.dtype), combined(shares, maps.shape, maps.dtype)
        to_base = cpu.sums_for(shares, sigma)
        back = np.empty(z.shape if to_noise else (0, 0, 0), z.dtype)
        chain = self._backward_step(
            z, activations, maps, grads, np.negative(grad_log), to_z, to_maps, (noise, base, sigma)
        )
        finish = cpu.finish, (noise, sigma, to_z, grad_log, to_base, back, 1, z.shape[1])
        together([chain, finish], shares)
        to_theta = added(to_maps.reshape(len(to_maps), len(maps), -1))
        return ungrouped_array(back, grad_z.shape) if to_noise else None, added(to_base), to_theta

    def _forward_step(self, z: Array, maps: Array, out: Array, log_det: Array, activations: Array) -> Step:
        """The loops and their arguments for z (G, N, D), forward; `out`, for z_K, may be `z`."""
        if z.shape[1] == 1:
            return self.points.forward, (z[:, 0], maps, out[:, 0], log_det[:, 0], activations.reshape(-1))
        if z.shape[1] < FEW:
            return self.dimensions.forward, (z, maps, out, log_det, activations)
        return self.draws.forward, (z, maps, out, log_det, activations.reshape(-1))

    def _backward_step(
        self,
        z: Array,
        activations: Array,
        maps: Array,
        grad_z: Array,
        grad_log_det: Array,
        to_z: Array,
        to_maps: Array,
        start: tuple[Array, Array, Array] | None,
    ) -> Step:
        """The loops and their arguments for z_K (G, N, D), backward.

        `to_maps` is memory of `shares.combined`; `start` what z_0 is made of, for maps that restart from it.
        """
        last: tuple[Any, ...] = (to_maps,)
        if self.restarts and start is not None:
            x, base, sigma = start
            last = to_maps, (x[:, 0] if z.shape[1] == 1 else x, base, sigma)
        if z.shape[1] == 1:
            single = z[:, 0], activations.reshape(-1), maps, grad_z[:, 0], grad_log_det[:, 0], to_z[:, 0]
            return self.points.backward, (*single, *last)
        if z.shape[1] < FEW:
            return self.dimensions.backward, (z, activations, maps, grad_z, grad_log_det, to_z, *last)
        return self.draws.backward, (z, activations.reshape(-1), maps, grad_z, grad_log_det, to_z, *last)


def _results(z: Array, maps: Array) -> tuple[Array, Array, Array]:
    """Memory for z_K (G, N, D), ln|det| (G, N) and activations (G, K, N)."""
    (groups, draws, _), depth = z.shape, maps.shape[1]
    return empty(z.shape, z.dtype), empty((groups, draws), z.dtype), empty((groups, depth, draws), z.dtype)


def _shares(z: Array, maps: Array, *, back: bool = False) -> Shares:
    """Shares of the work on z (G, N, D) with maps (G, K, R), forward or `back`."""
    groups, draws, dim = z.shape
    cost = _cost(draws, maps.shape[1], dim)
    return parts(groups, draws, 2 * cost if back else cost, _PIECES)


def _cost(draws: int, depth: int, dim: int) -> float:
    """Nanoseconds that a draw of N in a group takes forward on one core, about."""
    each, dimension = _MANY if draws >= FEW else _FEW if draws > 1 else _SINGLE
    return depth * (each + dimension * dim)
