"""F of training, validation and test data while a model of data trains, and the parameters that were best.

With a fixed training set the bound on other data can rise again while that on the training data still falls. Curves of
all three show it, and the parameters with the lowest F on the validation data are kept beside the last ones.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from nfbench.foundation.interrupts import deferred
from nfbench.foundation.randomness import stream
from nfbench.foundation.tensors import evenly_spaced
from nfbench.targets.contract import LatentVariableModel

Bound = Callable[[Tensor, Tensor], Tensor]

PARTS = ("train", "valid", "test")
_MOST = 10_000  # data points of a part, evenly spaced
_CHUNK = {"cpu": 500, "cuda": 10_000}  # data points at once: on a CPU as many as its caches hold


class Validation:
    """The bound F of E models on parts of the data, with the same noise every time.

    Args:
        target: the model of data.
        seeds: E seeds, whose streams give the noise.
        noise_dim: N.
        params: the parameters that are trained, by name, each of several models stacked along a first axis.
        dtype: of noise and observations.

    Attributes:
        best: (E,) lowest F of the validation data so far, in nats.
        best_step: (E,) number of updates at which it was found.
        best_params: copies of the parameters at that time, of the shapes of `params`.
    """

    def __init__(
        self,
        target: LatentVariableModel,
        seeds: Sequence[int],
        noise_dim: int,
        params: Mapping[str, Tensor],
        dtype: torch.dtype,
    ) -> None:
        self.params, self.seeds, self.noise_dim = params, list(seeds), noise_dim
        self.device = next(iter(params.values())).device
        splits = target.splits()
        data = {part: rows[evenly_spaced(_MOST, len(rows))] for part, rows in splits._asdict().items()}
        data["train"] = target.observe(data["train"], stream(0, "validation"))
        self.data = {part: rows.to(self.device, dtype) for part, rows in data.items()}
        self.best = torch.full((len(seeds),), float("inf"), device=self.device, dtype=torch.float64)
        self.best_step = torch.zeros(len(seeds), device=self.device, dtype=torch.float64)
        self.best_params = {name: value.detach().clone() for name, value in params.items()}

    def __call__(self, bound: Bound, step: int) -> dict[str, list[float]]:
        """Evaluate all parts, and keep the parameters of the models that are better than ever before.

        Args:
            bound: noise (E, S, B, N) and observations (E, B, ...) -> mean F of each model (E,), in nats.
            step: number of updates done.

        Returns:
            Part -> F of each model, in nats.
        """
        values = {part: self._mean(bound, part) for part in PARTS}
        with deferred():
            better = values["valid"] < self.best  # never where it is not a number
            self.best = torch.where(better, values["valid"], self.best)
            self.best_step = torch.where(better, float(step), self.best_step)
            for name, value in self.params.items():
                chosen = better.view(-1, *[1] * (value.dim() - 1)) if len(self.seeds) > 1 else better
                self.best_params[name] = torch.where(chosen, value.detach(), self.best_params[name])
        return {part: value.tolist() for part, value in values.items()}

    def best_of(self, e: int) -> tuple[dict[str, Tensor], int]:
        """The best parameters of one model.

        Args:
            e: the model's place among the E.

        Returns:
            The parameters by name, and the number of updates at which they were found.
        """
        alone = len(self.seeds) == 1
        params = {name: value if alone else value[e] for name, value in self.best_params.items()}
        return params, int(self.best_step[e])

    def _mean(self, bound: Bound, part: str) -> Tensor:
        """(E,) F over the data points of a part, one draw each."""
        rows, length = self.data[part], _CHUNK[self.device.type]
        size = (1, len(rows), self.noise_dim)
        streams = [stream(seed, "validation", part, device=self.device) for seed in self.seeds]
        noise = torch.stack([
            torch.randn(size, generator=own, device=self.device, dtype=rows.dtype) for own in streams
        ])  # fmt: skip
        total = torch.zeros_like(self.best)
        for draws, x in zip(torch.split(noise, length, 2), torch.split(rows, length), strict=True):
            total += len(x) * bound(draws, x.expand(len(self.seeds), *x.shape)).double()
        return total / len(rows)

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps.

        Returns:
            Name -> tensor.
        """
        best = {f"best.{name}": value for name, value in self.best_params.items()}
        return best | {"best": self.best, "best_step": self.best_step}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take a state up.

        Args:
            state: as `state` returned it.
        """
        own = {name: state[name].to(value.device) for name, value in self.state().items()}
        self.best, self.best_step = own.pop("best"), own.pop("best_step")
        self.best_params = {name.removeprefix("best."): value for name, value in own.items()}
