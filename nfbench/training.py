"""One standardized training: E seeds of one model as one program, by `stack_module_state` and `vmap`."""

import io
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state

from nfbench.config import Training
from nfbench.numerics import stream
from nfbench.objectives import Inference, free_energy
from nfbench.records import replace
from nfbench.targets.base import LatentVariableModel

CHECKPOINT_SECONDS = 60.0
_CURVE_POINTS = 100
_NOISE_BLOCK = 2**18  # noise numbers drawn at once for a seed; independent of E, so that company changes no draw

Report = Callable[[int, float], None]


@dataclass
class Trained:
    """The outcome for E seeds: `models[e]`, one curve a seed, and where each seed diverged (None: it did not)."""

    models: list[Inference]
    curves: list[dict[str, list[float | None]]]
    diverged: list[int | None]


def train(
    models: Sequence[Inference],
    seeds: Sequence[int],
    config: Training,
    *,
    device: str = "cpu",
    checkpoint: Path | None = None,
    report: Report | None = None,
) -> Trained:
    """Minimise the annealed free energy of every model, all in one program.

    Noise and minibatch order come from each seed's own streams, so a seed's numbers do not depend, beyond float
    rounding, on which others run beside it. A seed whose bound is no longer finite is marked and left alone.

    Args:
        models: one for each seed, alike but for their numbers; they are moved, cast and trained in place.
        seeds: E of them.
        config: the recipe.
        device: where to run.
        checkpoint: file that keeps the state of an unfinished training; resumed from if it is there.
        report: called with (updates done, mean bound of the seeds alive) about 100 times.
    """
    program = _Program(models, seeds, config, device)
    if checkpoint is not None and checkpoint.exists():
        program.restore(checkpoint)
    saved = time.monotonic()
    try:
        for done in program.run():
            if report is not None:
                report(done, program.latest())
            if checkpoint is not None and time.monotonic() - saved > CHECKPOINT_SECONDS:
                program.save(checkpoint)
                saved = time.monotonic()
    except KeyboardInterrupt:
        if checkpoint is not None and program.settled:
            program.save(checkpoint)
        raise
    return program.outcome(models)


class _Program:
    """The state of a training: stacked parameters, optimizer, schedule, position, curves."""

    def __init__(self, models: Sequence[Inference], seeds: Sequence[int], config: Training, device: str) -> None:
        self.config, self.seeds, self.device = config, list(seeds), torch.device(device)
        dtype = getattr(torch, config.dtype)
        placed = [model.to(device=self.device, dtype=dtype) for model in models]
        self.params, self.buffers = stack_module_state(placed)
        self.template = placed[0]
        self.noise_dim = placed[0].posterior.noise_dim
        target = placed[0].target
        self.observations: Tensor | None = None
        if isinstance(target, LatentVariableModel):
            self.observations = target.splits().train.to(self.device, dtype)
        self.optimizer = _optimizer(config, list(self.params.values()))
        self.schedule = _schedule(config, self.optimizer)
        self.step = 0
        self.points: list[tuple[int, float, float, list[float]]] = []  # update, beta, learning rate, F of each seed
        self.window = torch.zeros(len(self.seeds), device=self.device, dtype=torch.float64)
        self.counted = 0
        self.diverged: list[int | None] = [None] * len(self.seeds)
        self.settled = True  # False while an update is half made: an interrupt there must not be stored

    def run(self) -> Iterator[int]:
        """Run to the end, yielding the number of updates done after each stretch of the curve."""
        every = max(1, self.config.updates // _CURVE_POINTS)
        source = _Noise(self)
        order = _Order(self)
        while self.step < self.config.updates and not all(at is not None for at in self.diverged):
            bound = self._gradient(source(self.step), order(self.step))
            self.settled = False
            self._update(bound)
            marks = self.step % every == 0 or self.step == self.config.updates
            if marks:
                self._mark()
            self.settled = True
            if marks:
                yield self.step

    def _gradient(self, noise: Tensor, batch: Tensor | None) -> Tensor:
        """Give every parameter its gradient of the annealed free energy, and return the bound of each seed, (E,)."""

        def one(params: dict[str, Tensor], buffers: dict[str, Tensor], *given: Tensor) -> tuple[Tensor, Tensor]:
            log_q, log_p = functional_call(self.template, (params, buffers), given)
            beta = self.config.beta(self.step)
            return free_energy(log_q, log_p, beta).mean(), free_energy(log_q, log_p).mean().detach()

        given = (noise,) if batch is None else (noise, batch)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.autocast):
            loss, bound = torch.vmap(one)(self.params, self.buffers, *given)
        self.optimizer.zero_grad(set_to_none=True)
        loss.sum().backward()  # type: ignore[no-untyped-call]
        return bound

    def _update(self, bound: Tensor) -> None:
        self.optimizer.step()
        self.schedule.step()
        self.window += bound
        self.counted += 1
        self.step += 1

    def _mark(self) -> None:
        values = (self.window / self.counted).tolist()
        self.window.zero_()
        self.counted = 0
        for e, value in enumerate(values):
            if self.diverged[e] is None and not abs(value) < float("inf"):
                self.diverged[e] = self.step
        rate = float(self.optimizer.param_groups[0]["lr"])
        self.points.append((self.step, self.config.beta(self.step - 1), rate, values))

    def latest(self) -> float:
        """The mean over the seeds alive of the bound's last mean; NaN when none is."""
        alive = [value for value, at in zip(self.points[-1][3], self.diverged, strict=True) if at is None]
        return sum(alive) / len(alive) if alive else float("nan")

    def outcome(self, models: Sequence[Inference]) -> Trained:
        trained, curves = [], []
        state = {**self.params, **self.buffers}
        for e, model in enumerate(models):
            model.load_state_dict({name: value[e].detach() for name, value in state.items()})
            trained.append(model)
            curves.append(self._curve(e))
        return Trained(trained, curves, list(self.diverged))

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
            "params": {name: value.detach() for name, value in self.params.items()},
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "step": self.step,
            "window": (self.window, self.counted),
            "points": self.points,
            "diverged": self.diverged,
        }

    def save(self, file: Path) -> None:
        """Store the state."""
        buffer = io.BytesIO()
        torch.save(self._state(), buffer)
        replace(file, buffer.getvalue())

    def restore(self, file: Path) -> None:
        """Take up a stored state; a torn or foreign file is named in a warning and the training starts over."""
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
            if _form(state) != _form(self._state()):
                raise ValueError("it is of another training")
        except Exception as error:
            reason = str(error).splitlines()[0]
            warnings.warn(f"checkpoint {file} cannot be read ({reason}); the training starts over", stacklevel=2)
            return
        with torch.no_grad():
            for name, value in self.params.items():
                value.copy_(state["params"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.step, self.points, self.diverged = state["step"], state["points"], state["diverged"]
        window, self.counted = state["window"]
        self.window.copy_(window)


def _form(state: dict[str, Any]) -> tuple[Any, ...]:
    """What two states of the same training have in common."""
    shapes = {name: value.shape for name, value in state["params"].items()}
    return set(state), state["training"], shapes


class _Noise:
    """Standard normal noise (E, S, B, N) of an update, drawn a block of updates at a time from each seed's stream."""

    def __init__(self, program: _Program) -> None:
        self.program = program
        batch = 1 if program.observations is None else min(program.config.batch, len(program.observations))
        self.shape = (program.config.draws, batch, program.noise_dim)
        self.length = max(1, min(256, _NOISE_BLOCK // max(1, self.shape[0] * batch * program.noise_dim)))
        self.block, self.values = -1, torch.empty(0)

    def __call__(self, step: int) -> Tensor:
        block, offset = divmod(step, self.length)
        if block != self.block:
            self.block = block
            device, dtype = self.program.device, getattr(torch, self.program.config.dtype)
            draws = [
                torch.randn(
                    (self.length, *self.shape),
                    generator=stream(seed, "noise", block, device=device),
                    device=device,
                    dtype=dtype,
                )
                for seed in self.program.seeds
            ]
            self.values = torch.stack(draws, 1)
        return self.values[offset]


class _Order:
    """Minibatches (E, B, ...) of an update: each seed shuffles the data anew for every epoch."""

    def __init__(self, program: _Program) -> None:
        self.program = program
        self.epoch, self.order = -1, torch.empty(0)

    def __call__(self, step: int) -> Tensor | None:
        data = self.program.observations
        if data is None:
            return None
        batch = min(self.program.config.batch, len(data))
        epoch, index = divmod(step, len(data) // batch)
        if epoch != self.epoch:
            self.epoch = epoch
            orders = [torch.randperm(len(data), generator=stream(seed, "order", epoch)) for seed in self.program.seeds]
            self.order = torch.stack(orders).to(data.device)
        return data[self.order[:, index * batch : (index + 1) * batch]]


def _optimizer(config: Training, params: list[Tensor]) -> torch.optim.Optimizer:
    if config.optimizer == "adam":
        return torch.optim.Adam(params, lr=config.learning_rate, betas=(config.momentum, 0.999), foreach=True)
    return torch.optim.RMSprop(params, lr=config.learning_rate, momentum=config.momentum, foreach=True)


def _schedule(config: Training, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
    if config.schedule == "one-cycle":
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer, config.learning_rate, total_steps=config.updates + 1, cycle_momentum=False
        )
    return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
