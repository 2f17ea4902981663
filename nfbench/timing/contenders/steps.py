"""Timed training steps: nfbench's program beside the loop that is written from the textbook.

A step of nfbench is all that `train` does for an update: noise, minibatches, gradient, optimizer, schedule, sums. The
textbook trains one model, eagerly, with torch's own optimizer as it comes. Both start from the same parameters; what
is compared is the bound of model 0 there, and its gradient at beta = 0.5, for the inputs' noise.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from nfbench.foundation.errors import InputError
from nfbench.foundation.randomness import stream
from nfbench.posteriors.flow_posterior import FlowPosterior
from nfbench.records.timings import Case
from nfbench.specification.config import Training
from nfbench.specification.registry import posteriors
from nfbench.targets.contract import LatentVariableModel
from nfbench.timing.contenders import autoencoder, form
from nfbench.timing.contenders.contract import Inputs, Work
from nfbench.timing.contenders.form import Setting
from nfbench.timing.contenders.own import with_reference
from nfbench.timing.contenders.textbook import FORMS
from nfbench.training.objective import Inference, initial_model
from nfbench.training.program import Program
from nfbench.training.schedules import annealing

_BETA = 0.5
_UPDATES = 10**6  # more than anybody times: the schedule must not end
_RATE = 1e-5

Loss = Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor]]  # noise, images -> ln q, ln p
Gradients = Callable[[tuple[Tensor, ...]], dict[str, Tensor]]


def program(case: Case, inputs: Inputs) -> Work:
    """One update of the case's E models as `train` makes it.

    Args:
        case: of mode ``step``.
        inputs: of which the noise is used.

    Returns:
        What the clock runs and what is compared.
    """
    running, fresh = _program(case), _program(case)

    def outcome() -> dict[str, Tensor]:
        noise, batch = _given(case, inputs, fresh.models[0])
        size = (case.seeds, *noise.shape)
        fed = noise.expand(size), None if batch is None else batch.expand(case.seeds, *batch.shape)
        bound, grads = fresh.update.gradient(*fed, _BETA)
        firsts = grads if case.seeds == 1 else [grad[0] for grad in grads]
        named = zip(fresh.update.params, firsts, strict=True)
        return {"loss": bound[:1]} | {f"grad.{name}": grad for name, grad in named}

    return Work(running.advance, outcome, case.seeds)


def reference(case: Case, inputs: Inputs) -> Work:
    """`program` with every chain in plain PyTorch.

    Args:
        case: of mode ``step``.
        inputs: of which the noise is used.

    Returns:
        What the clock runs and what is compared.
    """
    work = program(case, inputs)
    return work._replace(run=with_reference(work.run), outcome=with_reference(work.outcome))


def textbook(case: Case, inputs: Inputs) -> Work | None:
    """One update of one model, in an eager loop; None where the model has no textbook form here.

    Args:
        case: of mode ``step``.
        inputs: of which the noise is used.

    Returns:
        What the clock runs and what is compared.
    """
    model = _model(case, 0)
    written = _energy(case, model) or _images(case, model)
    if written is None:
        return None
    loss, learned, back = written
    config = _recipe(case)
    optimizer = torch.optim.Adam(learned, lr=config.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=_UPDATES, cycle_momentum=False
    )
    noise, _ = _given(case, inputs, model)
    batches, steps, beta = _minibatches(case, model), iter(range(_UPDATES)), annealing(config)

    def run() -> None:
        log_q, log_p = loss(torch.randn_like(noise), next(batches))
        optimizer.zero_grad()
        (log_q - beta(next(steps)) * log_p).mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()

    start = _model(case, 0)
    fresh = _energy(case, start) or _images(case, start) or written

    def outcome() -> dict[str, Tensor]:
        log_q, log_p = fresh[0](*_given(case, inputs, model))
        grads = torch.autograd.grad((log_q - _BETA * log_p).mean(), fresh[1])
        return {"loss": (log_q - log_p).mean().detach().unsqueeze(0)} | back(grads)

    return Work(run, outcome)


def bare(case: Case, inputs: Inputs) -> Work | None:
    """The matrix products and the optimizer pass of a step, which no program for it can do without.

    It computes nothing that could be compared, so no ratio is formed with it: its time stands beside the others.

    Args:
        case: of mode ``step``.
        inputs: not used.

    Returns:
        None where there is more than one model, or more than one draw, or another model.
    """
    if case.seeds != 1 or case.draws != 1:
        return None
    run = autoencoder.bare(_model(case, 0), case.batch)
    return run and Work(run, dict)


def _recipe(case: Case) -> Training:
    return Training(
        learning_rate=_RATE,
        schedule="one-cycle",
        updates=_UPDATES,
        draws=case.draws,
        batch=case.batch,
        anneal_updates=_UPDATES // 2,
        dtype=case.dtype,
    )


def _model(case: Case, seed: int) -> Inference:
    """A model at its start, on the case's device."""
    if case.target is None:
        raise InputError("a timed step needs a target, got none; expected e.g. u1")
    model = initial_model(case.posterior, case.target, seed)
    if not isinstance(model.target, LatentVariableModel) and case.batch != 1:
        raise InputError(f"a step on {case.target} with batch={case.batch}: expected 1, as the target has no data")
    return model.to(device=case.device, dtype=getattr(torch, case.dtype))


def _program(case: Case) -> Program:
    seeds = range(case.seeds)
    return Program([_model(case, seed) for seed in seeds], seeds, _recipe(case), case.device)


def _given(case: Case, inputs: Inputs, model: Inference) -> tuple[Tensor, Tensor | None]:
    """The inputs' noise (S, B, N) and the first B training images, on the case's device."""
    place = {"device": case.device, "dtype": getattr(torch, case.dtype)}
    noise = inputs.noise.to(**place)
    if not isinstance(model.target, LatentVariableModel):
        return noise, None
    rows = model.target.splits().train[: case.batch].to(case.device)
    return noise, model.target.observe(rows, stream(0, "observe", device=case.device)).to(**place)


def _minibatches(case: Case, model: Inference) -> Iterator[Tensor | None]:
    """Without end: shuffled anew for every epoch."""
    if not isinstance(model.target, LatentVariableModel):
        while True:
            yield None
    target, dtype = model.target, getattr(torch, case.dtype)
    rows, generator = target.splits().train.to(case.device), stream(0, "observe", device=case.device)
    if not target.redraws:
        rows = rows.to(dtype)
    size = min(case.batch, len(rows))
    while True:
        order = torch.randperm(len(rows), device=rows.device)
        whole = (chosen for chosen in torch.split(order, size) if len(chosen) == size)
        yield from (target.observe(rows[chosen], generator).to(dtype) for chosen in whole)


def _energy(case: Case, model: Inference) -> tuple[Loss, list[nn.Parameter], Gradients] | None:
    """A textbook chain on a target without data, from the numbers of nfbench's posterior."""
    choice = posteriors.choose(case.posterior)
    written = FORMS.get(choice.entry.name)
    if (
        written is None
        or isinstance(model.target, LatentVariableModel)
        or not isinstance(model.posterior, FlowPosterior)
    ):
        return None
    setting = Setting(model.target.dim, 1, choice.options, model.posterior.state_dict())
    learned = [nn.Parameter(number.detach().clone().contiguous()) for number in written.numbers(setting)]
    chain = written.model(setting, learned)
    if chain is None:
        return None

    def loss(noise: Tensor, batch: Tensor | None) -> tuple[Tensor, Tensor]:
        z, log_q = chain.draw(noise)
        return log_q, model.target.log_joint(z)

    def back(grads: tuple[Tensor, ...]) -> dict[str, Tensor]:
        named = form.back(written, setting, grads)
        return {name.replace("grad.", "grad.posterior.", 1): value for name, value in named.items()}

    return loss, learned, back


def _images(case: Case, model: Inference) -> tuple[Loss, list[nn.Parameter], Gradients] | None:
    """The textbook autoencoder on binary images, one draw an image."""
    written = autoencoder.autoencoder(model)
    if written is None or case.draws != 1:
        return None

    def loss(noise: Tensor, batch: Tensor | None) -> tuple[Tensor, Tensor]:
        assert batch is not None
        log_q, log_p = written(noise[0], batch)
        return log_q, log_p

    names = [autoencoder.own_name(name) for name, _ in written.named_parameters()]
    return (
        loss,
        list(written.parameters()),
        lambda grads: {f"grad.{name}": grad for name, grad in zip(names, grads, strict=True)},
    )
