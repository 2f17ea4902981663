"""Compiled chains on the CPU: which loops of a map run, and in how many threads. Contract: `operators.fused`."""

from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor

from nfbench.kernels.memory import array, empty
from nfbench.kernels.threads import FEW, Part, added, combined, parts, together

# Nanoseconds of a map and draw, and of each of its dimensions, forward on one core, as measured; backward takes twice.
# Where many draws share numbers, where few do, and where every draw has its own.
_TOGETHER, _FEW, _ALONE = (2.0, 0.1), (15.0, 0.7), (10.0, 0.5)
_PIECES = 4  # in which a thread's share of points comes

Forward = tuple[Tensor, Tensor, Tensor]
Backward = tuple[Tensor, Tensor]


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
        (groups, draws, dim), depth = z.shape, maps.shape[1]
        given = [array(z), array(maps)]
        found = [
            empty(shape, given[0].dtype) for shape in ((groups, draws, dim), (groups, draws), (groups, depth, draws))
        ]

        def work(index: int, part: Part) -> None:
            (z, maps), (out, log_det, kept) = given, found
            if draws == 1:
                self.points.forward(z[:, 0], maps, out[:, 0], log_det[:, 0], kept[..., 0], *part.groups)
            elif draws < FEW:
                self.dimensions.forward(z, maps, out, log_det, kept, *part.groups)
            else:
                self.draws.forward(z, maps, out, log_det, kept.reshape(-1), *part.groups, *part.draws)

        together(work, parts(groups, draws, _cost(draws, depth, dim), _pieces(draws)))
        out, log_det, kept = (torch.from_numpy(one) for one in found)
        return out, log_det, kept

    def backward(self, z: Tensor, kept: Tensor, maps: Tensor, grad_z: Tensor, grad_log_det: Tensor) -> Backward:
        """Gradients in z and maps from z_K and what was kept, with which z_{k-1} is rebuilt going down."""
        (groups, draws, dim), depth = z.shape, maps.shape[1]
        given = [array(one) for one in (z, kept, maps, grad_z, grad_log_det)]
        shares = parts(groups, draws, 2 * _cost(draws, depth, dim), _pieces(draws))
        to_z, to_maps = empty(given[0].shape, given[0].dtype), combined(shares, given[2])

        def work(index: int, part: Part) -> None:
            (z, kept, maps, grad_z, grad_log_det), own = given, to_maps[index % len(to_maps)]
            if draws == 1:
                single = z[:, 0], kept[..., 0], maps, grad_z[:, 0], grad_log_det[:, 0], to_z[:, 0], own
                self.points.backward(*single, *part.groups)
            elif draws < FEW:
                self.dimensions.backward(*given, to_z, own, *part.groups)
            else:
                flat = z, kept.reshape(-1), maps, grad_z, grad_log_det
                self.draws.backward(*flat, to_z, own, *part.groups, *part.draws)

        together(work, shares)
        return torch.from_numpy(to_z), added(to_maps)


def _cost(draws: int, depth: int, dim: int) -> float:
    """About how many nanoseconds a draw takes."""
    each, dimension = _TOGETHER if draws >= FEW else _FEW if draws > 1 else _ALONE
    return depth * (each + dimension * dim)


def _pieces(draws: int) -> int:
    return _PIECES if draws == 1 else 1
