"""One update of E models as one program: gradient, optimizer, and how the two are run."""

import contextlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state

from nfbench.foundation.errors import InputError, reason
from nfbench.foundation.inductor import forget_compiled
from nfbench.specification.config import Training
from nfbench.targets.contract import LatentVariableModel
from nfbench.training.acceleration import PLAIN, Acceleration
from nfbench.training.cuda_graph import Captured
from nfbench.training.objective import Inference, free_energy, weighted_bound
from nfbench.training.optimizers import OPTIMIZERS
from nfbench.training.traced_gradient import TracedGradient, traceable

_WORTH_TRACING = 1000  # updates: recording takes up to some seconds and saves half a millisecond or more of each
LARGE: float = 1_000_000  # parameters of a model: on a CPU its products take longer than all that models could share


class Update:
    """Parameters of E models, their gradient of the annealed free energy, and the optimizer.

    A single model is called directly; several are stacked along a first axis and called under `vmap`, or one by one:
    large ones on a CPU, and those of another library that `vmap` cannot follow.

    Args:
        models: E models of the same architecture, on the device; a single one is trained in place.
        config: the recipe.
        acceleration: how an update is run.

    Attributes:
        params: the parameters by name; those of several models are stacked, shape (E, ...).
        leaves: the same tensors, as a list.
        total: (E,) sum in nats of the updates' bounds since it was last set to zero.
        apart: whether several models are called one by one.
        one_by_one: why `vmap` cannot follow the models; None where it can, or was not tried.
        to_trace: whether the operations of the next gradient will be recorded.
        traced: those operations, once they are; None where models are called at every update.

    Raises:
        InputError: the path estimator, for a posterior without a density at points, or annealing of the divergence
            from the prior, for a target without data.
    """

    def __init__(self, models: Sequence[Inference], config: Training, acceleration: Acceleration = PLAIN) -> None:
        if config.estimator == "path" and not models[0].posterior.has_density:
            raise InputError("estimator 'path': the posterior has no density at points; expected another estimator")
        if config.anneal == "kl" and not isinstance(models[0].target, LatentVariableModel):
            raise InputError("anneal 'kl': the target has no data, and no prior beside a likelihood; expected joint")
        self.models, self.config = models, config
        self.params: dict[str, Tensor] = dict(models[0].named_parameters())
        self.buffers: dict[str, Tensor] = {}
        if len(models) > 1:
            self.params, self.buffers = stack_module_state(list(models))
        self.leaves = list(self.params.values())
        self.optimizer = OPTIMIZERS[config.optimizer](self.leaves, config.momentum, graph=acceleration.cuda_graph)
        self.total = torch.zeros(len(models), device=self.leaves[0].device, dtype=torch.float64)
        self.loss = self._plain = self._alone if len(models) == 1 else self._together
        self.apart = False
        self.one_by_one: str | None = None
        self.traced: TracedGradient | None = None
        self.compiled = acceleration.compile
        if _large(models) and not self.compiled:
            self._take_apart()
        self.to_trace = not (self.compiled or self.apart) and _worth_tracing(models, config)
        if self.compiled:
            forget_compiled()
            self.loss = torch.compile(self.loss, dynamic=False)

    def gradient(self, noise: Tensor, batch: Tensor | None, beta: float | Tensor) -> tuple[Tensor, list[Tensor]]:
        """The gradient of F^beta, and the bound F, each a mean over draws and data points.

        Args:
            noise: standard normal, shape (E, S, B, N).
            batch: observations, shape (E, B, ...); None for a target without data.
            beta: inverse temperature from 0 to 1.

        Returns:
            The bounds in nats, shape (E,), and one gradient for each of `leaves`, with its shape; where models are
            called one by one, for each model's part of the first of them, then of the second, and so on.
        """
        if self.compiled and not isinstance(beta, Tensor):
            beta = noise.new_full((), beta)  # a number would be compiled in
        if self.to_trace:
            self._trace(noise, batch)
        if self.traced is not None:
            return self.traced(noise, batch, beta)
        if self.apart:
            return self._gradients(noise, batch, beta)
        try:
            with self._precision():
                loss, bound = self.loss(noise, batch, beta)
        except Exception as error:
            if self.loss != self._together or isinstance(error, torch.OutOfMemoryError):
                raise
            self._take_apart()
            found = self._gradients(noise, batch, beta)  # where that fails too, its error is the one to show
            self._give_up_vmap(error)
            return found
        grads = torch.autograd.grad(loss, self.leaves, materialize_grads=True)
        return bound, [grad.contiguous() for grad in grads]

    def bound(self, noise: Tensor, batch: Tensor | None) -> Tensor:
        """F of each model, a mean over draws and data points, without a gradient.

        Args:
            noise: standard normal, shape (E, S, B, N).
            batch: observations, shape (E, B, ...); None for a target without data.

        Returns:
            In nats, shape (E,).
        """
        with torch.no_grad(), self._precision():
            if self.apart:
                return torch.stack([self._one(e, noise, batch, 1.0)[1] for e in range(len(self.models))])
            return self._plain(noise, batch, 1.0)[1]

    def apply(self, bound: Tensor, grads: Sequence[Tensor], rate: float | Tensor) -> Tensor:
        """Update the parameters in place and add the bounds to `total`.

        Args:
            bound: bounds of this update in nats, shape (E,).
            grads: of `gradient`.
            rate: learning rate.

        Returns:
            `total`, shape (E,).
        """
        self.optimizer.update(grads, rate)
        return self.total.add_(bound)

    def captured(self, noise: Tensor, batch: Tensor | None) -> Captured:
        """Capture a whole update, gradient and optimizer, as a CUDA graph.

        Args:
            noise: an update's noise, shape (E, S, B, N).
            batch: an update's minibatches, shape (E, B, ...); None for a target without data.

        Returns:
            The captured update, called with (noise, batch, beta, rate); it returns `total`.
        """

        def run(noise: Tensor, batch: Tensor | None, beta: Tensor, rate: Tensor) -> Tensor:
            return self.apply(*self.gradient(noise, batch, beta), rate)

        arguments = [noise, batch, noise.new_ones(()), self.optimizer.graph_rate()]
        return Captured(run, arguments, list(self.state().values()))

    def state(self) -> dict[str, Tensor]:
        """The tensors that updates change: parameters, the optimizer's state and `total`.

        Returns:
            Name -> tensor, not copied: values written into them are taken up.
        """
        moments = {f"optimizer.{index}": value for index, value in enumerate(self.optimizer.state())}
        return {name: value.detach() for name, value in self.params.items()} | moments | {"total": self.total}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Copy a state in.

        Args:
            state: as `state` of an update of the same models and recipe returned it.
        """
        for name, value in self.state().items():
            value.copy_(state[name])

    def deliver(self) -> None:
        """Write the stacked parameters back into the models; a single model has them already."""
        if len(self.models) > 1:
            numbers = self.params | self.buffers
            for e, model in enumerate(self.models):
                own = _numbers(model)
                with torch.no_grad():
                    for name, value in numbers.items():
                        if self.apart:  # they are views of the stacked numbers
                            own[name].data = value[e].detach().clone()
                        else:
                            own[name].copy_(value[e])

    def _precision(self) -> AbstractContextManager[None]:
        if not self.config.autocast:
            return nullcontext()
        return torch.autocast(self.leaves[0].device.type, torch.bfloat16)

    def _trace(self, noise: Tensor, batch: Tensor | None) -> None:
        """Record the gradient's operations; models that cannot be recorded are called at every update."""
        self.to_trace = False
        with self._precision(), contextlib.suppress(Exception):  # torch's tracer has many, and no base of its own
            self.traced = TracedGradient(self._stacked, self.params, self.buffers, noise, batch)

    def _alone(self, noise: Tensor, batch: Tensor | None, beta: float | Tensor) -> tuple[Tensor, Tensor]:
        loss, bound = self._one(0, noise, batch, beta)
        return loss, bound.unsqueeze(0)

    def _one(self, e: int, noise: Tensor, batch: Tensor | None, beta: float | Tensor) -> tuple[Tensor, Tensor]:
        return self._losses(self.models[e], noise[e], None if batch is None else batch[e], beta)

    def _give_up_vmap(self, error: Exception) -> None:
        """Keep the reason why the models are called one by one from now on, and warn of it."""
        self.one_by_one = reason(error)
        count = len(self.models)
        warnings.warn(f"{count} seeds train one by one, as vmap ends with {self.one_by_one}", stacklevel=3)

    def _take_apart(self) -> None:
        """Call the models one by one from now on, on numbers that are views of the stacked ones.

        They are the models' own: a library whose backward pass calls its module again (as zuko's quadrature does) finds
        the right numbers, where `functional_call` would have put the module's first ones back.
        """
        stacked = self.params | self.buffers
        for e, model in enumerate(self.models):
            for name, value in _numbers(model).items():
                value.data = stacked[name].detach()[e]
        self.optimizer.split()
        self.apart = True

    def _gradients(self, noise: Tensor, batch: Tensor | None, beta: float | Tensor) -> tuple[Tensor, list[Tensor]]:
        """The bounds (E,), and the gradients of one model after the other, ordered by parameter, then by model."""
        bounds, grads = [], []
        for e, model in enumerate(self.models):
            with self._precision():
                loss, bound = self._one(e, noise, batch, beta)
            grads.append(torch.autograd.grad(loss, list(model.parameters()), materialize_grads=True))
            bounds.append(bound)
        return torch.stack(bounds), [each.contiguous() for of_each in zip(*grads, strict=True) for each in of_each]

    def _together(self, noise: Tensor, batch: Tensor | None, beta: float | Tensor) -> tuple[Tensor, Tensor]:
        return self._stacked(self.params, self.buffers, noise, batch, beta)

    def _stacked(
        self,
        params: dict[str, Tensor],
        buffers: dict[str, Tensor],
        noise: Tensor,
        batch: Tensor | None,
        beta: float | Tensor,
    ) -> tuple[Tensor, Tensor]:
        def of_model(
            params: dict[str, Tensor], buffers: dict[str, Tensor], noise: Tensor, batch: Tensor | None = None
        ) -> tuple[Tensor, Tensor]:
            def model(*arguments: Tensor | None, **options: bool) -> tuple[Tensor, Tensor]:
                log_q, log_p = functional_call(self.models[0], (params, buffers), arguments, options)
                return log_q, log_p

            return self._losses(model, noise, batch, beta)

        arguments = (noise,) if batch is None else (noise, batch)
        loss, bound = torch.vmap(of_model)(params, buffers, *arguments)
        return loss.sum(), bound

    def _losses(
        self, model: Callable[..., tuple[Tensor, Tensor]], noise: Tensor, batch: Tensor | None, beta: float | Tensor
    ) -> tuple[Tensor, Tensor]:
        """What is minimised, the annealed free energy or bound, and F, each a mean over draws and data points."""
        options = {"path": True} if self.config.estimator == "path" else {}
        options |= {"split": True} if self.config.anneal == "kl" else {}
        log_q, log_p = model(noise, batch, **options)
        bound = free_energy(log_q.detach(), log_p.detach()).mean()
        if self.config.estimator == "importance-weighted" and torch.is_grad_enabled():
            bounds = weighted_bound(log_q, log_p, beta, self.config.weighted_draws, anneal=self.config.anneal)
            return bounds.mean(), bound
        return free_energy(log_q, log_p, beta, anneal=self.config.anneal).mean(), bound


def _large(models: Sequence[Inference]) -> bool:
    """Whether several models are on the CPU and have so many parameters that they are better called one by one."""
    return _several_on_cpu(models) and sum(value.numel() for value in models[0].parameters()) >= LARGE


def _worth_tracing(models: Sequence[Inference], config: Training) -> bool:
    """Whether a gradient of several models on the CPU is asked for often enough, and can be recorded."""
    return _several_on_cpu(models) and config.updates >= _WORTH_TRACING and traceable(models[0])


def _several_on_cpu(models: Sequence[Inference]) -> bool:
    return len(models) > 1 and all(value.device.type == "cpu" for value in models[0].parameters())


def _numbers(model: Inference) -> dict[str, Tensor]:
    """All parameters and buffers of a model by name; its `state_dict` lacks some buffers."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}
