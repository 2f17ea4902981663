"""The state of a training: the models' update, its position, its curves, and how they are stored and resumed."""

import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from nfbench.foundation.errors import first_line
from nfbench.specification.config import Training
from nfbench.targets.contract import LatentVariableModel
from nfbench.training import checkpoint
from nfbench.training.cuda_graph import Captured
from nfbench.training.objective import Inference
from nfbench.training.schedules import learning_rate
from nfbench.training.streams import Minibatches, Noise
from nfbench.training.update import PLAIN, Acceleration, Update

_CURVE_POINTS = 100


@dataclass
class Trained:
    """The outcome for E seeds: `models[e]`, one curve a seed, and where each seed diverged (None: it did not).

    `before` is the seconds that runs which were broken off had spent on it.
    """

    models: list[Inference]
    curves: list[dict[str, list[float | None]]]
    diverged: list[int | None]
    before: float = 0.0


class Program:
    """The state of a training: the models' update, its position, and the curves."""

    def __init__(
        self,
        models: Sequence[Inference],
        seeds: Sequence[int],
        config: Training,
        device: str = "cpu",
        acceleration: Acceleration = PLAIN,
    ) -> None:
        acceleration.check(device)
        self.config, self.seeds, self.acceleration = config, list(seeds), acceleration
        where, dtype = torch.device(device), getattr(torch, config.dtype)
        self.models = [model.to(device=where, dtype=dtype) for model in models]
        self.update = Update(self.models, config, acceleration)
        self.rate = learning_rate(config)
        self.batches = _batches(self.models[0], self.seeds, config, where, dtype)
        points = 1 if self.batches is None else self.batches.batch
        shape = config.draws, points, self.models[0].posterior.noise_dim
        self.noise = Noise(self.seeds, shape, where, dtype)
        self.step = 0
        self.points: list[tuple[int, float, float, list[float]]] = []  # update, beta, learning rate, F of each seed
        self.counted = 0  # updates since the last point
        self.diverged: list[int | None] = [None] * len(self.seeds)
        self.settled = True  # False while an update is half made: an interrupt there must not be stored
        self.captured: Captured | None = None
        self.before, self.began = 0.0, time.monotonic()  # seconds of earlier runs, and when this one began

    def run(self) -> Iterator[int]:
        """Run to the end, yielding the number of updates done after each stretch of the curve."""
        every = max(1, self.config.updates // _CURVE_POINTS)
        while True:
            if self.counted and (self.step % every == 0 or self.step == self.config.updates):
                self._mark()
                yield self.step
            if self.step == self.config.updates or all(at is not None for at in self.diverged):
                return
            self.advance()

    def advance(self) -> None:
        """Make one update."""
        given = self.noise(self.step), None if self.batches is None else self.batches(self.step)
        beta, rate = self.config.beta(self.step), self.rate(self.step)
        if self.acceleration.cuda_graph:
            self.settled = False
            self.captured = self.captured or self.update.captured(*given)
            self.captured(*given, beta, rate)
        else:
            found = self.update.gradient(*given, beta)
            self.settled = False
            self.update.apply(*found, rate)
        self.counted += 1
        self.step += 1
        self.settled = True

    def _mark(self) -> None:
        self.settled = False
        values = (self.update.total / self.counted).tolist()
        self.update.total.zero_()
        self.counted = 0
        for e, value in enumerate(values):
            if self.diverged[e] is None and not abs(value) < float("inf"):
                self.diverged[e] = self.step
        self.points.append((self.step, self.config.beta(self.step - 1), self.rate(self.step), values))
        self.settled = True

    def latest(self) -> float:
        """The mean over the seeds alive of the bound's last mean; NaN when none is."""
        alive = [value for value, at in zip(self.points[-1][3], self.diverged, strict=True) if at is None]
        return sum(alive) / len(alive) if alive else float("nan")

    def outcome(self) -> Trained:
        """The models with what they have learned."""
        self.update.deliver()
        curves = [self._curve(e) for e in range(len(self.models))]
        return Trained(self.models, curves, list(self.diverged), self.before)

    def _curve(self, e: int) -> dict[str, list[float | None]]:
        finite = [value[e] if abs(value[e]) < float("inf") else None for *_, value in self.points]
        return {
            "step": [float(step) for step, *_ in self.points],
            "free_energy": finite,
            "beta": [beta for _, beta, *_ in self.points],
            "learning_rate": [rate for *_, rate, _ in self.points],
        }

    def _state(self) -> dict[str, Any]:
        return {
            "training": {"seeds": self.seeds, **self.config.model_dump()},
            "update": self.update.state(),
            "step": self.step,
            "counted": self.counted,
            "points": self.points,
            "diverged": self.diverged,
            "seconds": self.before + time.monotonic() - self.began,
        }

    def save(self, file: Path) -> None:
        """Store the state."""
        checkpoint.write(file, self._state())

    def restore(self, file: Path) -> None:
        """Take up a stored state; a torn or foreign file is named in a warning and the training starts over."""
        try:
            state = checkpoint.read(file)
            if _form(state) != _form(self._state()):
                raise ValueError("it is of another training")
            if not 0 <= state["counted"] <= state["step"] <= self.config.updates:
                raise ValueError(f"it has made {state['step']} updates of {self.config.updates}")
        except Exception as error:
            reason = first_line(error)
            warnings.warn(f"checkpoint {file} cannot be read ({reason}); the training starts over", stacklevel=2)
            return
        self.update.restore(state["update"])
        self.step, self.counted = state["step"], state["counted"]
        self.points, self.diverged = state["points"], state["diverged"]
        self.before = state["seconds"]


def _batches(
    model: Inference, seeds: Sequence[int], config: Training, device: torch.device, dtype: torch.dtype
) -> Minibatches | None:
    """None for a target without data."""
    what = model.target
    if not isinstance(what, LatentVariableModel):
        return None
    observe = what.observe if what.redraws else None
    return Minibatches(seeds, what.splits().train.to(device), config.batch, observe, dtype)


def _form(state: dict[str, Any]) -> tuple[Any, ...]:
    """What two states of the same training have in common."""
    return set(state), state["training"], {name: value.shape for name, value in state["update"].items()}
