"""Rejection sampling: propose points until enough of them are accepted."""

from collections.abc import Callable

import torch
from torch import Tensor


def fill(propose: Callable[[int], Tensor], num: int) -> Tensor:
    """Collect accepted points.

    Args:
        propose: a function of n that makes n independent proposals and returns the accepted ones, (at most n, D).
        num: how many points are wanted.

    Returns:
        The first `num` accepted points (num, D).
    """
    accepted = [propose(num)]
    while (missing := num - sum(map(len, accepted))) > 0:
        accepted.append(propose(max(2 * missing, 64)))
    return torch.cat(accepted)[:num]
