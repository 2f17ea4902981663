"""Rejection sampling: proposals until enough of them are accepted."""

from collections.abc import Callable

import torch
from torch import Tensor


def fill(propose: Callable[[int], Tensor], num: int) -> Tensor:
    """The first `num` accepted points, `-> (num, D)`.

    Args:
        propose: n -> the accepted ones of n independent proposals, `(at most n, D)`, each accepted by its own coin.
        num: how many points are wanted.
    """
    kept = [propose(num)]
    while (missing := num - sum(map(len, kept))) > 0:
        kept.append(propose(max(2 * missing, 64)))
    return torch.cat(kept)[:num]
