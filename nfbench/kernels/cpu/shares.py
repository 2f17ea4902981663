"""Threads of the fused CPU kernels: few, and only where the work is worth waking them.

They are torch's own. numba's pool would spin beside torch's: on two cores a kernel of 0.06 ms then takes 32 ms inside
a training step.
"""

import functools
import math
from collections.abc import Sequence

import numpy as np
import torch

from nfbench.kernels.cpu import team
from nfbench.kernels.cpu.memory import empty
from nfbench.kernels.cpu.team import Share, Shares, Step

TILE = 128  # draws that a kernel holds at once, one dimension after the other
FEW = 8  # with fewer draws a group than this, the inner loops run over dimensions instead
GRAIN = 100_000  # nanoseconds of work for which another thread is worth its waking, 30 us


def parts(groups: int, draws: int, each: float, pieces: int = 1) -> Shares:
    """Shares of G groups of N draws, where a draw takes about `each` nanoseconds.

    Groups are shared out if there are enough of them, else whole tiles of the draws of all groups. Long shares come in
    up to that many pieces: a thread whose core is slower, or that something else holds up, then takes fewer of them.
    """
    grains = int(groups * draws * each / GRAIN)
    threads = min(torch.get_num_threads(), grains)
    return _parts(groups, draws, threads, max(1, min(pieces, grains // max(1, 2 * threads))))


@functools.lru_cache
def _parts(groups: int, draws: int, threads: int, pieces: int) -> Shares:
    if threads <= 1 or (groups < threads and draws < 2 * TILE):
        return (Share(0, 0, groups, 0, draws),)
    if groups >= threads:
        return tuple(Share(at, *one, 0, draws) for at, one in enumerate(_ranges(groups, threads * pieces, 1)))
    return tuple(Share(at, 0, groups, *one) for at, one in enumerate(_ranges(draws, threads * pieces, TILE)))


def _ranges(size: int, number: int, multiple: int) -> list[tuple[int, int]]:
    step = multiple * max(1, math.ceil(size / (number * multiple)))
    return [(start, min(start + step, size)) for start in range(0, size, step)]


def combined(shares: Shares, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Room for a gradient of that shape: one for all where groups are shared out, else one for each share."""
    split = len(shares) > 1 and shares[1].group == 0
    return empty((len(shares) if split else 1, *shape), dtype)


def added(sums: np.ndarray) -> torch.Tensor:
    """What the shares found, as `combined` has room for it, added up."""
    return torch.from_numpy(np.add.reduce(sums) if len(sums) > 1 else sums[0])  # torch's sum wakes threads: 0.1 ms


def together(steps: Sequence[Step], shares: Shares) -> None:
    """Every step of every share, here and in threads: who has done one share takes the next."""
    team.run(steps, shares, min(len(shares), torch.get_num_threads()))
