"""Noise and minibatches of the updates, for every seed from its own random streams."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from nfbench.foundation.randomness import stream

Observe = Callable[[Tensor, torch.Generator], Tensor]

_BLOCK = 2**18  # noise numbers drawn at once for a seed; independent of E, so that other seeds change no draw


class Noise:
    """Standard normal noise (E, S, B, N) of an update, drawn a block of updates at a time from each seed's stream.

    Args:
        seeds: E seeds.
        shape: (S, B, N): draws, data points, noise dimensions.
        device: device of the generator and of the noise.
        dtype: dtype of the noise.
    """

    def __init__(
        self, seeds: Sequence[int], shape: tuple[int, int, int], device: torch.device, dtype: torch.dtype
    ) -> None:
        self.seeds, self.shape, self.device, self.dtype = seeds, shape, device, dtype
        self.length = max(1, min(256, _BLOCK // max(1, shape[0] * shape[1] * shape[2])))
        self.block, self.values = -1, torch.empty(0)

    def __call__(self, step: int) -> Tensor:
        """The noise of update `step`, from 0."""
        block, offset = divmod(step, self.length)
        if block != self.block:
            self.block, self.values = block, torch.stack([self._draw(seed, block) for seed in self.seeds], 1)
        return self.values[offset]

    def _draw(self, seed: int, block: int) -> Tensor:
        generator = stream(seed, "noise", block, device=self.device)
        size = (self.length, *self.shape)
        return torch.randn(size, generator=generator, device=self.device, dtype=self.dtype)


class Minibatches:
    """Minibatches (E, B, ...) of an update: each seed shuffles the data points anew for every epoch.

    Args:
        seeds: E seeds.
        rows: stored data, one row for each data point, on the device.
        batch: B, data points of a minibatch; at most all of them are used.
        observe: draws observations from rows, such as binarised pixels, with a generator of each seed and update;
            None where rows are the observations.
        dtype: dtype of the observations.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        rows: Tensor,
        batch: int,
        observe: Observe | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.seeds, self.rows, self.observe, self.dtype = seeds, rows, observe, dtype
        self.batch = min(batch, len(rows))
        self.epoch, self.order = -1, torch.empty(0)

    def __call__(self, step: int) -> Tensor:
        """The minibatches of update `step`, from 0."""
        epoch, index = divmod(step, len(self.rows) // self.batch)
        if epoch != self.epoch:
            self.epoch, self.order = epoch, self._shuffle(epoch)
        chosen = self.order[:, index * self.batch : (index + 1) * self.batch]
        if self.observe is None:
            rows = self.rows.index_select(0, chosen.flatten())
            return rows.view(*chosen.shape, *self.rows.shape[1:]).to(self.dtype)
        parts = [self.observe(self.rows[own], self._generator(e, step)) for e, own in enumerate(chosen)]
        return torch.stack(parts).to(self.dtype)

    def _generator(self, e: int, step: int) -> torch.Generator:
        return stream(self.seeds[e], "observe", step, device=self.rows.device)

    def _shuffle(self, epoch: int) -> Tensor:
        num = len(self.rows)
        orders = [torch.randperm(num, generator=stream(seed, "order", epoch)) for seed in self.seeds]
        return torch.stack(orders).to(self.rows.device)
