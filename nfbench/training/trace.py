"""Sums of a training's iterates over blocks of updates: what windows of any length need, in constant memory."""

import torch
from torch import Tensor

BLOCKS = 32  # the most; when all are full, pairs are merged and blocks are twice as long
_SHORTEST = 25  # updates of a block at first


class Trace:
    """Sums and sums of squares of E rows of Q numbers over consecutive blocks of updates.

    Which updates make a block depends on their number alone, not on the values.

    Args:
        like: gives E, Q and the device; float64. Deviations are counted from the first values that are added.

    Attributes:
        complete: number of full blocks.
        length: updates of a block.
        filled: updates in the block that is not yet full.
    """

    def __init__(self, like: Tensor) -> None:
        self.first = torch.zeros_like(like)
        self.sums = like.new_zeros((BLOCKS, *like.shape))
        self.squares = torch.zeros_like(self.sums)
        self.complete, self.length, self.filled = 0, _SHORTEST, 0

    def add(self, values: Tensor) -> bool:
        """Add the values of an update.

        Args:
            values: (E, Q).

        Returns:
            Whether a block became full.
        """
        if not self.complete and not self.filled:
            self.first.copy_(values)
        deviation = values - self.first
        self.sums[self.complete] += deviation
        self.squares[self.complete].addcmul_(deviation, deviation)
        self.filled += 1
        if self.filled < self.length:
            return False
        self.complete, self.filled = self.complete + 1, 0
        if self.complete == BLOCKS:
            self._merge()
        return True

    def _merge(self) -> None:
        half = BLOCKS // 2
        for values in (self.sums, self.squares):
            values[:half] = values.view(half, 2, *values.shape[1:]).sum(1)
            values[half:] = 0.0
        self.complete, self.length = half, 2 * self.length

    def blocks_since(self, update: int) -> int:
        """How many full blocks have only updates from a given one on.

        Args:
            update: number of an update, from 0.

        Returns:
            A number from 0 to `complete`.
        """
        return max(0, self.complete - -(-update // self.length))

    def means(self, e: int, blocks: int, groups: int) -> tuple[Tensor, Tensor]:
        """Mean and variance of a row over groups of the last blocks.

        Args:
            e: the row.
            blocks: how many of the last full blocks, a multiple of `groups`.
            groups: G, parts of equal length.

        Returns:
            Means (G, Q), and variances over the updates of each group (G, Q).
        """
        own = slice(self.complete - blocks, self.complete)
        size = self.length * (blocks // groups)
        sums, squares = (
            values[own, e].view(groups, blocks // groups, -1).sum(1) / size for values in (self.sums, self.squares)
        )
        return self.first[e] + sums, (squares - sums.square()).clamp_min(0.0) * (size / (size - 1))

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps.

        Returns:
            Name -> tensor.
        """
        place = torch.tensor([self.complete, self.length, self.filled])
        return {"first": self.first, "sums": self.sums, "squares": self.squares, "place": place}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take a state up.

        Args:
            state: as `state` returned it.
        """
        for name in ("first", "sums", "squares"):
            getattr(self, name).copy_(state[name])
        self.complete, self.length, self.filled = (int(number) for number in state["place"])


def rhat(means: Tensor, variances: Tensor, num: int) -> Tensor:
    """The potential scale reduction of two halves of a window (Gelman et al. 2013, Bayesian Data Analysis, eq. 11.4).

    Args:
        means: of both halves, (2, Q).
        variances: within them, (2, Q).
        num: updates of a half.

    Returns:
        R-hat (Q,): near 1 where both halves have the same mean, as they have once the iterates are stationary; 1 where
        nothing varies.

    >>> rhat(torch.zeros(2, 1), torch.ones(2, 1), 100).item() < 1
    True
    """
    within = variances.mean(0)
    total = within * (num - 1) / num + (means[0] - means[1]).square() / 2
    return torch.where(total > 0, (total / within.clamp_min(torch.finfo(within.dtype).tiny)).sqrt(), 1.0)


def slope(means: Tensor, length: int) -> tuple[float, float]:
    """The slope of block means over updates, by least squares.

    Args:
        means: of consecutive blocks, (M,), at least 3.
        length: updates of a block.

    Returns:
        The slope a thousand updates, and its standard error by the residuals.

    >>> slope(torch.tensor([3.0, 2.0, 1.0, 0.0]), 500)[0]
    -2.0
    """
    place = torch.arange(len(means), dtype=means.dtype, device=means.device)
    centred = place - place.mean()
    spread = centred.square().sum()
    value = (centred * means).sum() / spread
    residual = means - means.mean() - value * centred
    error = (residual.square().sum() / (len(means) - 2) / spread).sqrt()
    per_block = 1000 / length
    return float(value) * per_block, float(error) * per_block
