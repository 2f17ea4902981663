"""Threads of the fused CPU kernels: few, sleeping between calls, and only where the work is worth waking them.

They are Python threads, as the kernels hold no lock while they run. numba's own pool would spin beside torch's: on two
cores a kernel of 0.06 ms then takes 32 ms inside a training step.
"""

import functools
import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch

from nfbench.kernels.memory import empty

TILE = 128  # draws that a kernel holds at once, one dimension after the other
FEW = 8  # with fewer draws a group than this, the inner loops run over dimensions instead
GRAIN = 100_000  # nanoseconds of work for which another thread is worth its waking, 30 us


class Part(NamedTuple):
    """A range of groups and a range of draws: one thread's share."""

    groups: tuple[int, int]
    draws: tuple[int, int]


def parts(groups: int, draws: int, each: float, pieces: int = 1) -> list[Part]:
    """Shares of G groups of N draws, where a draw takes about `each` nanoseconds.

    Groups are shared out if there are enough of them, else whole tiles of the draws of all groups. Long shares of
    groups come in up to that many pieces: a thread that something else holds up, torch's own before it sleeps, then
    takes fewer of them.
    """
    threads = min(torch.get_num_threads(), int(groups * draws * each / GRAIN))
    if threads <= 1 or (groups < threads and draws < 2 * TILE):
        return [Part((0, groups), (0, draws))]
    if groups >= threads:
        shares = threads * max(1, min(pieces, int(groups * draws * each / (2 * GRAIN * threads))))
        return [Part(one, (0, draws)) for one in _ranges(groups, shares, 1)]
    return [Part((0, groups), one) for one in _ranges(draws, threads, TILE)]


def _ranges(size: int, number: int, multiple: int) -> list[tuple[int, int]]:
    step = multiple * max(1, math.ceil(size / (number * multiple)))
    return [(start, min(start + step, size)) for start in range(0, size, step)]


def combined(shares: list[Part], like: np.ndarray) -> np.ndarray:
    """Room for the gradient of what is `like`: one for all where groups are shared out, else one for each share."""
    split = len(shares) > 1 and shares[0].groups == shares[1].groups
    return empty((len(shares) if split else 1, *like.shape), like.dtype)


def added(sums: np.ndarray) -> torch.Tensor:
    """What the shares found, as `combined` has room for it, added up."""
    found = torch.from_numpy(sums)
    return found.sum(0) if len(sums) > 1 else found[0]


def together(work: Callable[[int, Part], None], shares: list[Part]) -> None:
    """Call `work(index, part)` for every part, here and in threads: who has done one takes the next."""
    if len(shares) == 1:
        work(0, shares[0])
        return
    left, threads = iter(enumerate(shares)), min(len(shares), torch.get_num_threads())

    def some() -> None:
        for index, part in left:
            work(index, part)

    others = [_pool(threads - 1).submit(some) for _ in range(threads - 1)]
    try:
        some()
    finally:
        for other in others:  # they write into the caller's memory
            other.exception()
    for other in others:
        other.result()


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "nfbench")


os.register_at_fork(after_in_child=_pool.cache_clear)
