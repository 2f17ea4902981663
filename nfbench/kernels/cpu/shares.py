"""How a CPU kernel's work is cut into shares for threads: only where the work is worth waking them.

The threads are torch's own. Numba's pool would spin beside torch's: on two cores a kernel of 0.06 ms then takes 32 ms
inside a training step.
"""

import functools
import math
from collections.abc import Sequence

import numpy as np
import torch

from nfbench.kernels.cpu import team
from nfbench.kernels.cpu.memory import empty
from nfbench.kernels.cpu.team import Share, Shares, Step

TILE = 128  # draws that a kernel holds in the cache at once, dimension by dimension
FEW = 8  # with fewer draws a group, a kernel's inner loops run over dimensions instead of draws
GRAIN = 100_000  # nanoseconds of work that make a further thread worth waking, which takes 30,000


def parts(groups: int, draws: int, cost: float, pieces: int = 1) -> Shares:
    """Cut G groups of N draws into shares.

    Groups are divided if there are at least as many as threads, else the draws of all groups, in whole tiles.

    Args:
        groups: G.
        draws: N.
        cost: nanoseconds that a draw takes on one core, about.
        pieces: into how many shares a thread's part of long work is cut at most: a thread whose core is slower, or
            busy with something else, then takes fewer of them.

    Returns:
        One share if a single thread should do all the work.
    """
    grains = int(groups * draws * cost / GRAIN)
    threads = min(torch.get_num_threads(), grains)
    return _parts(groups, draws, threads, max(1, min(pieces, grains // max(1, 2 * threads))))


@functools.lru_cache
def _parts(groups: int, draws: int, threads: int, pieces: int) -> Shares:
    if threads <= 1 or (groups < threads and draws < 2 * TILE):
        return (Share(0, 0, groups, 0, draws),)
    if groups >= threads:
        return tuple(Share(at, *part, 0, draws) for at, part in enumerate(_ranges(groups, threads * pieces, 1)))
    return tuple(Share(at, 0, groups, *part) for at, part in enumerate(_ranges(draws, threads * pieces, TILE)))


def _ranges(size: int, number: int, multiple: int) -> list[tuple[int, int]]:
    """At most `number` ranges that cover 0 to `size`, all but the last as long as a multiple of `multiple`."""
    step = multiple * max(1, math.ceil(size / (number * multiple)))
    return [(start, min(start + step, size)) for start in range(0, size, step)]


def combined(shares: Shares, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Memory for a gradient that is summed over draws.

    Args:
        shares: of the kernel that sums.
        shape: of the gradient, groups first.
        dtype: of the gradient.

    Returns:
        (R, *shape): R = 1 where shares have groups of their own, else a row for each share, so that no two threads
        add to the same number.
    """
    split = len(shares) > 1 and shares[1].group == 0
    return empty((len(shares) if split else 1, *shape), dtype)


def added(sums: np.ndarray) -> torch.Tensor:
    """Sum up a gradient over the shares that added to it.

    Args:
        sums: memory of `combined`, (R, *shape).

    Returns:
        The gradient, of that shape.
    """
    return torch.from_numpy(np.add.reduce(sums) if len(sums) > 1 else sums[0])  # torch's sum wakes threads: 0.1 ms


def together(steps: Sequence[Step], shares: Shares) -> None:
    """Run every step of every share, in this thread and in as many others as torch may use.

    Args:
        steps: kernels with their arguments, done one after the other for a share.
        shares: a thread that has finished one takes the next.
    """
    team.run(steps, shares, min(len(shares), torch.get_num_threads()))
