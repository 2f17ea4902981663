"""The state of a training: the models' update, its position, its curves, and how they are stored and resumed."""

import contextlib
import dataclasses
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nfbench.foundation.errors import first_line
from nfbench.foundation.interrupts import deferred
from nfbench.specification.config import Training
from nfbench.targets.contract import LatentVariableModel
from nfbench.training import checkpoint
from nfbench.training.acceleration import PLAIN, Acceleration
from nfbench.training.cuda_graph import Captured
from nfbench.training.evidence import Evidence
from nfbench.training.objective import Inference
from nfbench.training.schedules import annealing, learning_rate
from nfbench.training.stopping import Stopping
from nfbench.training.streams import Minibatches, Noise
from nfbench.training.update import Update
from nfbench.training.validation import PARTS, Validation

_CURVE_POINTS = 100

# A row of the curves: update, beta, learning rate, F of each seed, and part of the data -> F of each seed.
Point = tuple[int, float, float, list[float], dict[str, list[float]]]


@dataclass
class Trained:
    """The outcome of a training of E seeds.

    Attributes:
        models: the trained models, one for each seed.
        curves: one for each seed: columns step, free_energy (nats; None where it is not finite), beta and
            learning_rate, with the same number of rows.
        diverged: for each seed the number of updates after which its bound was found not finite; None if it stayed so.
        earlier_seconds: seconds spent in interrupted runs of this training.
        best: for each seed the parameters by name with the lowest F on validation data, and the number of updates at
            which that was; None where the recipe does not ask for them.
        evidence: for each seed why its training ended; None where the recipe does not stop on evidence.
        one_by_one: why the seeds were not trained as one program; None where they were.
    """

    models: list[Inference]
    curves: list[dict[str, list[float | None]]]
    diverged: list[int | None]
    earlier_seconds: float = 0.0
    best: list[tuple[dict[str, Tensor], int]] | None = None
    evidence: list[Evidence] | None = None
    one_by_one: str | None = None


class Program:
    """The state of a training: the models' update, its position, and the curves.

    Args:
        models: one for each seed, of the same architecture; they are moved, cast and trained in place.
        seeds: E distinct seeds of noise and minibatch order.
        config: the recipe.
        device: torch device.
        acceleration: how updates are run.

    Attributes:
        update: parameters, gradient and optimizer.
        noise: update's number -> noise (E, S, B, N).
        batches: update's number -> minibatches (E, B, ...); None for a target without data.
        rate: update's number -> learning rate.
        step: number of updates done.
        settled: False where an error came in the middle of an update, so that the state must not be stored.

    Raises:
        InputError: `acceleration` asks for something that the device does not have.
    """

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
        torch_device, dtype = torch.device(device), getattr(torch, config.dtype)
        self.models = [model.to(device=torch_device, dtype=dtype) for model in models]
        self.update = Update(self.models, config, acceleration)
        self.rate, self.beta = learning_rate(config), annealing(config)
        self.batches = _batches(self.models[0], self.seeds, config, torch_device, dtype)
        points = 1 if self.batches is None else self.batches.batch
        shape = config.draws, points, self.models[0].posterior.noise_dim
        self.noise = Noise(self.seeds, shape, torch_device, dtype)
        target, noise_dim = self.models[0].target, self.models[0].posterior.noise_dim
        self.validation = (
            Validation(target, self.seeds, noise_dim, self.update.params, dtype)
            if config.validate_bound and isinstance(target, LatentVariableModel)
            else None
        )
        self.stopping = (
            Stopping(self.update, self.seeds, config, target.dim, shape, self.batches)
            if config.stop == "evidence"
            else None
        )
        self.step = 0
        self.points: list[Point] = []
        self.counted = 0  # updates since the last point
        self.diverged: list[int | None] = [None] * len(self.seeds)
        self.settled = True
        self.captured: Captured | None = None
        self.earlier_seconds, self.began = 0.0, time.monotonic()

    def run(self) -> Iterator[int]:
        """Make all updates that are left, or stop when every seed has diverged.

        Yields:
            The number of updates done, whenever the curves have a new row: about 100 times.
        """
        every = max(1, self.config.updates // _CURVE_POINTS)
        while True:
            last = self.step == self.config.updates or self._finished()
            if self.counted and (self.step % every == 0 or last):
                self._mark()
                yield self.step
                last = last or self._finished()
            if last:
                return
            self.advance()

    @property
    def _ended(self) -> list[bool]:
        """Which seeds had the evidence to stop, whose bounds are only computed because others go on."""
        return [False] * len(self.seeds) if self.stopping is None else self.stopping.finished

    def _finished(self) -> bool:
        """Whether every seed has diverged, or has the evidence to stop."""
        return all(done or at is not None for done, at in zip(self._ended, self.diverged, strict=True))

    def advance(self) -> None:
        """Make one update."""
        inputs = self.noise(self.step), None if self.batches is None else self.batches(self.step)
        beta, rate = self.beta(self.step), self.rate(self.step)
        if self.acceleration.cuda_graph and self.captured is None:
            self._capture(inputs)
        gradient = None if self.captured is not None else self.update.gradient(*inputs, beta)
        with self._writing():
            if self.stopping is not None:
                self.stopping.before()
            if self.captured is not None:
                self.captured(*inputs, beta, rate)
            elif gradient is not None:
                self.update.apply(*gradient, rate)
            self.counted += 1
            self.step += 1
            if self.stopping is not None:
                self.stopping.after(self.step, [at is None for at in self.diverged])

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Around what changes the state: a signal interrupts after it, an error within it leaves it unsettled."""
        with deferred():
            self.settled = False
            yield
            self.settled = True

    def _capture(self, inputs: tuple[Tensor, Tensor | None]) -> None:
        """Capture an update; one that cannot be captured runs as it is, which a warning tells."""
        with self._writing():
            try:
                self.captured = self.update.captured(*inputs)
            except RuntimeError as error:  # also out of memory: a graph keeps its own
                reason = first_line(error)
                warnings.warn(f"an update cannot be a CUDA graph ({reason}): it runs without, slower", stacklevel=2)
                self.acceleration = dataclasses.replace(self.acceleration, cuda_graph=False)

    def _mark(self) -> None:
        """Add a row to the curves: the mean bound since the row before, and which seeds it shows to have diverged."""
        validated = {} if self.validation is None else self.validation(self.update.bound, self.step)
        with self._writing():
            values = (self.update.total / self.counted).tolist()
            self.update.total.zero_()
            self.counted = 0
            for e, (value, ended) in enumerate(zip(values, self._ended, strict=True)):
                if self.diverged[e] is None and not ended and not abs(value) < float("inf"):
                    self.diverged[e] = self.step
            self.points.append((self.step, self.beta(self.step - 1), self.rate(self.step), values, validated))

    def latest(self) -> float:
        """The last row of the curves, as one number.

        Returns:
            The bound in nats, mean over the seeds that have not diverged; NaN when all have.
        """
        alive = [value for value, at in zip(self.points[-1][3], self.diverged, strict=True) if at is None]
        return sum(alive) / len(alive) if alive else float("nan")

    def outcome(self) -> Trained:
        """Write the learned parameters into the models.

        Returns:
            The models, their curves and the divergences so far.
        """
        evidence = None if self.stopping is None else self.stopping.conclude(self.step, self.diverged)
        self.update.deliver()
        curves = [self._curve(e) for e in range(len(self.models))]
        best = None if self.validation is None else [self.validation.best_of(e) for e in range(len(self.models))]
        together = self.update.one_by_one
        return Trained(self.models, curves, list(self.diverged), self.earlier_seconds, best, evidence, together)

    def _curve(self, e: int) -> dict[str, list[float | None]]:
        curve: dict[str, list[float | None]] = {
            "step": [float(point[0]) for point in self.points],
            "free_energy": [_finite(point[3][e]) for point in self.points],
            "beta": [point[1] for point in self.points],
            "learning_rate": [point[2] for point in self.points],
        }
        parts = [] if self.validation is None else PARTS
        curve |= {f"free_energy_{part}": [_finite(point[4][part][e]) for point in self.points] for part in parts}
        return curve if self.stopping is None else self.stopping.own(curve, e)

    def _tensors(self) -> dict[str, Tensor]:
        """All tensors of the state, by name."""
        parts = [each.state() for each in (self.update, self.validation, self.stopping) if each is not None]
        return {name: value for part in parts for name, value in part.items()}

    def _state(self) -> dict[str, Any]:
        return {
            "training": {"seeds": self.seeds, **self.config.model_dump()},
            "update": self._tensors(),
            "step": self.step,
            "counted": self.counted,
            "points": self.points,
            "diverged": self.diverged,
            "seconds": self.earlier_seconds + time.monotonic() - self.began,
        }

    def save(self, file: Path) -> None:
        """Store the state.

        Args:
            file: path of the checkpoint.
        """
        checkpoint.write(file, self._state())

    def _read(self, file: Path) -> dict[str, Any]:
        """Read a state; an error if it is damaged or of another training."""
        state = checkpoint.read(file)
        if _form(state) != _form(self._state()):
            raise ValueError("it is of another training")
        if not 0 <= state["counted"] <= state["step"] <= self.config.updates:
            raise ValueError(f"it has made {state['step']} updates of {self.config.updates}")
        return state

    def restore(self, file: Path) -> None:
        """Resume from a stored state; a damaged or foreign file is named in a warning and the training starts over.

        Args:
            file: path of the checkpoint.
        """
        try:
            state = self._read(file)
        except Exception as error:
            reason = first_line(error)
            warnings.warn(f"checkpoint {file} cannot be read ({reason}); the training starts over", stacklevel=2)
            return
        self.update.restore(state["update"])
        if self.validation is not None:
            self.validation.restore(state["update"])
        if self.stopping is not None:
            self.stopping.watch.restore(state["update"])
        self.step, self.counted = state["step"], state["counted"]
        self.points, self.diverged = state["points"], state["diverged"]
        self.earlier_seconds = state["seconds"]


def _batches(
    model: Inference, seeds: Sequence[int], config: Training, device: torch.device, dtype: torch.dtype
) -> Minibatches | None:
    """The minibatches of the training data; None for a target without data."""
    target = model.target
    if not isinstance(target, LatentVariableModel):
        return None
    observe = target.observe if target.redraws else None
    return Minibatches(seeds, target.splits().train.to(device), config.batch, observe, dtype)


def _finite(value: float) -> float | None:
    return value if abs(value) < float("inf") else None


def _form(state: dict[str, Any]) -> tuple[Any, ...]:
    """Keys, recipe and tensor shapes of a state: equal for all states of one training."""
    return set(state), state["training"], {name: value.shape for name, value in state["update"].items()}
