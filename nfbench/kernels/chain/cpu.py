"""Compiled chains on the CPU: which loops of a map run, and in how many threads. Contract: `operators.fused`."""

from types import ModuleType
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nfbench.kernels.cpu.memory import array, empty
from nfbench.kernels.cpu.shares import FEW, added, combined, parts, together
from nfbench.kernels.cpu.team import Shares, Step
from nfbench.kernels.diagonal import cpu

# Nanoseconds of a map and draw, and of each of its dimensions, forward on one core, as measured; backward takes twice.
# Where many draws share numbers, where few do, and where every draw has its own.
_TOGETHER, _FEW, _ALONE = (2.0, 0.1), (15.0, 0.7), (10.0, 0.5)
_PIECES = 4  # in which a thread's share comes

Array = np.ndarray
Forward = tuple[Tensor, Tensor, Tensor]
Backward = tuple[Tensor, Tensor]
Undrawn = tuple[Tensor | None, Tensor, Tensor]


class Kept(NamedTuple):
    """What the way back of base and chain takes: arrays, as it would take a tensor's memory again otherwise.

    Attributes:
        noise: (G, N, D).
        sigma: (G, D).
        z: z_K (G, N, D).
        scalars: what the loops of the map keep.
        maps: (G, K, R).
    """

    noise: Array
    sigma: Array
    z: Array
    scalars: Array
    maps: Array


Drawn = tuple[Tensor, Tensor, Kept]


class Chain(NamedTuple):
    """The compiled loops of a map: modules with a ``forward`` and a ``backward`` each.

    Attributes:
        draws: over the many draws of a group; they order what is kept as suits them.
        dimensions: over dimensions, where a group has few draws.
        points: where every draw has numbers of its own: without the axis of draws.
    """

    draws: ModuleType
    dimensions: ModuleType
    points: ModuleType

    def forward(self, z: Tensor, maps: Tensor) -> Forward:
        """`z (G, N, D), maps (G, K, R) -> z_K (G, N, D), ln|det| (G, N), kept (G, K, N)`, its order the loops' own."""
        given, numbers = array(z), array(maps)
        found = _rooms(given, numbers)
        together([self._up(given, numbers, *found)], _shares(given, numbers))
        out, log_det, kept = (torch.from_numpy(one) for one in found)
        return out, log_det, kept

    def backward(self, z: Tensor, kept: Tensor, maps: Tensor, grad_z: Tensor, grad_log_det: Tensor) -> Backward:
        """Gradients in z and maps from z_K and what was kept, with which z_{k-1} is rebuilt going down."""
        points, scalars, numbers = array(z), array(kept), array(maps)
        given = points, scalars, numbers, array(grad_z), array(grad_log_det)
        shares = _shares(points, numbers, back=True)
        to_z, to_maps = empty(points.shape, points.dtype), combined(shares, numbers.shape, numbers.dtype)
        together([self._down(*given, to_z, to_maps)], shares)
        return torch.from_numpy(to_z), added(to_maps)

    def draw(self, noise: Tensor, base: Tensor, theta: Tensor, row: int) -> Drawn:
        """The same of the base's draws: `noise (S, B, D), base (B or 1, 2 D) -> z_K (S, B, D), ln q (S, B)`, kept.

        Theta (B or 1, K R) are the maps' numbers, R = `row` of each.
        """
        numbers, rows = array(theta), array(base)
        numbers = numbers.reshape(len(numbers), -1, row)
        given = _grouped(array(noise), len(rows))
        z, log_det, scalars = _rooms(given, numbers)
        log_q, sigma = empty(log_det.shape, given.dtype), np.empty((len(rows), given.shape[2]), given.dtype)
        start = cpu.start, (given, rows, sigma, z, log_q, 1, given.shape[1])
        together([start, self._up(z, numbers, z, log_det, scalars)], _shares(given, numbers))
        np.subtract(log_q, log_det, log_q)
        return _ungrouped(noise.shape, z), _ungrouped(noise.shape, log_q), Kept(given, sigma, z, scalars, numbers)

    def undraw(self, kept: Kept, grad_z: Tensor, grad_log_q: Tensor, *, to_noise: bool) -> Undrawn:
        """Gradients in the noise (S, B, D), where they are asked for, in the base and in theta (B or 1, K R)."""
        noise, sigma, z, scalars, maps = kept
        grads, grad_log = (_grouped(array(one), len(sigma)) for one in (grad_z, grad_log_q))
        shares = _shares(z, maps, back=True)
        to_z, to_maps = empty(z.shape, z.dtype), combined(shares, maps.shape, maps.dtype)
        to_base = cpu.sums_for(shares, sigma)
        back = np.empty(z.shape if to_noise else (0, 0, 0), z.dtype)
        chain = self._down(z, scalars, maps, grads, np.negative(grad_log), to_z, to_maps)
        finish = cpu.finish, (noise, sigma, to_z, grad_log, to_base, back, 1, z.shape[1])
        together([chain, finish], shares)
        to_theta = added(to_maps.reshape(len(to_maps), len(maps), -1))
        return _ungrouped(grad_z.shape, back) if to_noise else None, added(to_base), to_theta

    def _up(self, z: Array, maps: Array, out: Array, log_det: Array, kept: Array) -> Step:
        """The way up; `out` may be `z`."""
        if z.shape[1] == 1:
            return self.points.forward, (z[:, 0], maps, out[:, 0], log_det[:, 0], kept.reshape(-1))
        if z.shape[1] < FEW:
            return self.dimensions.forward, (z, maps, out, log_det, kept)
        return self.draws.forward, (z, maps, out, log_det, kept.reshape(-1))

    def _down(
        self, z: Array, kept: Array, maps: Array, grad_z: Array, grad_log_det: Array, to_z: Array, to_maps: Array
    ) -> Step:
        """The way back; of `to_maps` there is one for each share, or for all."""
        if z.shape[1] == 1:
            single = z[:, 0], kept.reshape(-1), maps, grad_z[:, 0], grad_log_det[:, 0], to_z[:, 0]
            return self.points.backward, (*single, to_maps)
        if z.shape[1] < FEW:
            return self.dimensions.backward, (z, kept, maps, grad_z, grad_log_det, to_z, to_maps)
        return self.draws.backward, (z, kept.reshape(-1), maps, grad_z, grad_log_det, to_z, to_maps)


def _grouped(numbers: Array, rows: int) -> Array:
    """`(S, B, ...) -> (G, N, ...)`: one group of all draws where one row serves all, else a group for each point."""
    if rows == 1:
        return numbers.reshape(1, numbers.shape[0] * numbers.shape[1], *numbers.shape[2:])
    return np.ascontiguousarray(numbers.swapaxes(0, 1))


def _ungrouped(shape: torch.Size, numbers: Array) -> Tensor:
    """`(G, N, ...) -> (S, B, ...)`, with `shape` starting (S, B)."""
    return torch.from_numpy(numbers.reshape(shape[: numbers.ndim]) if len(numbers) == 1 else numbers.swapaxes(0, 1))


def _rooms(z: Array, maps: Array) -> tuple[Array, Array, Array]:
    """For z_K (G, N, D), ln|det| (G, N) and what is kept (G, K, N)."""
    (groups, draws, _), depth = z.shape, maps.shape[1]
    return empty(z.shape, z.dtype), empty((groups, draws), z.dtype), empty((groups, depth, draws), z.dtype)


def _shares(z: Array, maps: Array, *, back: bool = False) -> Shares:
    groups, draws, dim = z.shape
    cost = _cost(draws, maps.shape[1], dim)
    return parts(groups, draws, 2 * cost if back else cost, _PIECES)


def _cost(draws: int, depth: int, dim: int) -> float:
    """About how many nanoseconds a draw takes."""
    each, dimension = _TOGETHER if draws >= FEW else _FEW if draws > 1 else _ALONE
    return depth * (each + dimension * dim)
