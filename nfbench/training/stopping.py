"""Stopping on evidence within a program: what is done around each update of E seeds that train together."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from nfbench.foundation.randomness import stream
from nfbench.specification.config import Training
from nfbench.training.evidence import Evidence
from nfbench.training.update import Update
from nfbench.training.watch import Watch

_DRAWS = 256  # at least, of an F that averages are compared by

Batches = Callable[[int], Tensor]


class Stopping:
    """Scales the steps of seeds whose rate was halved or that have ended, and feeds the watch.

    The watch begins once beta has reached 1. What happens to a seed depends on its own numbers and on how many updates
    were made, not on the seeds beside it.

    Args:
        update: of the E models.
        seeds: E seeds.
        config: the recipe.
        dim: D.
        shape: (S, B, N) of an update's noise.
        batches: update's number -> minibatches (E, B, ...); None for a target without data.

    Attributes:
        watch: what is known of each seed.
    """

    def __init__(
        self,
        update: Update,
        seeds: Sequence[int],
        config: Training,
        dim: int,
        shape: tuple[int, int, int],
        batches: Batches | None,
    ) -> None:
        self.update, self.seeds, self.batches = update, list(seeds), batches
        draws = config.draws if batches is not None else max(config.draws, _DRAWS)
        self.shape = (draws, *shape[1:])
        self.begin = math.ceil(config.anneal_updates * (1 - config.anneal_start))
        self.watch = Watch(self._params(), dim, self._cost)
        self._total = update.total.clone()
        self._leaves: list[Tensor] = []

    @property
    def finished(self) -> list[bool]:
        """Which seeds have ended."""
        return [at is not None for at in self.watch.ended]

    def before(self) -> None:
        """Remember what an update changes."""
        self._total.copy_(self.update.total)
        scaled = any(scale != 1.0 for scale in self.watch.scale)
        self._leaves = [leaf.detach().clone() for leaf in self.update.leaves] if scaled else []

    def after(self, step: int, alive: Sequence[bool]) -> None:
        """Scale the steps that an update made, and show the new parameters to the watch.

        Args:
            step: number of updates made, this one included.
            alive: which seeds have not diverged.
        """
        if self._leaves:
            self._scale()
        if step > self.begin:
            bounds = self.update.total - self._total
            self._write(self.watch.add(self._params(), bounds, step, alive))

    def _scale(self) -> None:
        single, first = len(self.seeds) == 1, self.update.leaves[0]
        scale = torch.tensor(self.watch.scale, dtype=first.dtype, device=first.device)  # all leaves are of one kind
        for old, leaf in zip(self._leaves, self.update.leaves, strict=True):
            by_seed = scale[0] if single else scale.view(-1, *[1] * (leaf.dim() - 1))
            with torch.no_grad():
                scaled = torch.where(by_seed == 0, old, old + by_seed * (leaf - old))
                leaf.copy_(torch.where(by_seed == 1, leaf, scaled))

    def _params(self) -> Tensor:
        """The parameters (E, P), float64."""
        seeds = len(self.seeds)
        return torch.cat([leaf.detach().reshape(seeds, -1).double() for leaf in self.update.leaves], 1)

    def _set(self, params: Tensor) -> None:
        """Write parameters (E, P) into the leaves."""
        parts = torch.split(params, [leaf.numel() // len(self.seeds) for leaf in self.update.leaves], 1)
        with torch.no_grad():
            for leaf, part in zip(self.update.leaves, parts, strict=True):
                leaf.copy_(part.reshape(leaf.shape))

    def _write(self, rows: dict[int, Tensor]) -> None:
        """Give some seeds other parameters (P,)."""
        if rows:
            params = self._params()
            for e, row in rows.items():
                params[e] = row
            self._set(params)

    def _cost(self, params: Tensor, step: int) -> Tensor:
        """F of each seed at parameters (E, P), by draws that depend on the seed and the number of the update."""
        leaf = self.update.leaves[0]
        streams = [stream(seed, "evidence", step, device=leaf.device) for seed in self.seeds]
        draws = [torch.randn(self.shape, generator=own, device=leaf.device, dtype=leaf.dtype) for own in streams]
        own = self._params()
        self._set(params)
        value = self.update.bound(torch.stack(draws), None if self.batches is None else self.batches(step))
        self._set(own)
        return value.double()

    def own(self, curve: dict[str, list[float | None]], e: int) -> dict[str, list[float | None]]:
        """A seed's part of the curves of all: its own rate, and nothing after its end.

        Args:
            curve: columns with `step` and `learning_rate`.
            e: the seed's place.

        Returns:
            The columns with the rows up to the first one that shows the seed as it ended.
        """
        halved, ended = self.watch.halved[e], self.watch.ended[e]
        steps = [step or 0.0 for step in curve["step"]]
        rates = [
            rate / 2 if rate is not None and halved is not None and step > halved else rate
            for step, rate in zip(steps, curve["learning_rate"], strict=True)
        ]
        num = len(steps) if ended is None else sum(step < ended for step in steps) + 1
        return {name: values[:num] for name, values in (curve | {"learning_rate": rates}).items()}

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps.

        Returns:
            Name -> tensor.
        """
        return self.watch.state()

    def conclude(self, step: int, diverged: Sequence[int | None]) -> list[Evidence]:
        """Give every seed the parameters that it delivers.

        Args:
            step: number of updates made.
            diverged: for each seed the update at which it diverged; None for those that did not.

        Returns:
            Why each ended.
        """
        outcomes = [self.watch.conclude(e, step, diverged=at is not None) for e, at in enumerate(diverged)]
        self._write({e: params for e, (_, params) in enumerate(outcomes) if params is not None})
        return [evidence for evidence, _ in outcomes]
