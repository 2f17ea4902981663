"""The contracts of targets and posteriors, checked on a few draws at the start of every cell.

A value of the wrong shape often broadcasts against the others, and a value that mixes draws looks like any other: both
give a meaningless number that nobody would notice later, so they are refused before anything is trained.
"""

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nfbench.foundation.errors import InputError
from nfbench.foundation.randomness import stream
from nfbench.posteriors.contract import Flow
from nfbench.posteriors.flow_posterior import FlowPosterior
from nfbench.targets.contract import LatentVariableModel, Target
from nfbench.training.objective import Inference

PartialFunction = Callable[[slice, slice], object]  # the checked function's values for some draws and some data points

_ALL = slice(None)


class _Value(NamedTuple):
    """An expected return value: its name in messages, and D for points (S, B, D) or None for numbers (S, B)."""

    name: str
    dim: int | None = None

    @property
    def letters(self) -> str:
        """The expected shape in letters."""
        return "(S, B)" if self.dim is None else "(S, B, D)"


def check_model(model: Inference, target: str, posterior: str, seed: int) -> None:
    """Evaluate a target and its posterior on a few draws, and refuse values that break their contract.

    Checked are the shape, dtype and device of z, ln q and ln p(x, z), and that every draw and every data point has the
    same values alone as in a batch. For a target without data, its exact samples and the posterior's `log_prob`, which
    the evaluation needs, are checked too where they exist. The sizes S, B and D differ, so that no axis can pass for
    another.

    Values that are not finite are accepted: they may come from a point outside the target's support or from a
    divergence, which is an outcome of a cell and not a mistake in its code. The model's buffers and torch's own
    generators are restored, so that nothing trained later depends on this check.

    Args:
        model: target and posterior, on the device and in the dtype of their training.
        target: the target's spec, for messages.
        posterior: the posterior's spec, for messages.
        seed: seed of the noise, which comes from a stream of its own.

    Raises:
        InputError: the contract is broken; the message names the expected and the actual value.
    """
    parameter = next(model.parameters())
    with _undisturbed(model, parameter.device):
        batch = _rows(model, parameter, seed)
        points = 1 if batch is None else len(batch)
        features = _features(f"target {target!r}", model, batch)
        sizes = {points, model.target.dim, model.posterior.noise_dim}
        shape = _unused_size(sizes), points, model.posterior.noise_dim
        generator = stream(seed, "contract", device=parameter.device)
        noise = torch.randn(shape, generator=generator, device=parameter.device, dtype=parameter.dtype)
        z = _check_posterior(f"posterior {posterior!r}", model, noise, batch, features)
        _check_log_joint(f"target {target!r}", model.target, z, batch)
        if batch is not None:
            return
        if model.target.has_sampler:
            _samples(f"target {target!r}", model.target, len(noise), seed, parameter.device)
        with contextlib.suppress(NotImplementedError):
            log_prob = model.posterior.log_prob
            _check(f"posterior {posterior!r}", "log_prob of z", (_Value("ln q"),), lambda s, b: log_prob(z[s, b]), z)


def check_maps(flow: Flow, base: Target, theta: Tensor, target: str, posterior: str, seed: int) -> None:
    """Push a few samples of a base density through a flow, and refuse values that break their contract.

    The counterpart of `check_model` for cells without training, which use the base's exact samples, its log_joint, and
    the flow in both directions.

    Args:
        flow: the chain of maps.
        base: the density that is pushed through the chain.
        theta: parameters of the maps, shape (1, P).
        target: the base's spec, for messages.
        posterior: the flow's spec, for messages.
        seed: seed of the samples, which come from a stream of their own.

    Raises:
        InputError: the contract is broken; the message names the expected and the actual value.
    """
    with _undisturbed(nn.ModuleList([flow, base]), theta.device), torch.no_grad():
        samples = _samples(f"target {target!r}", base, _unused_size({1, base.dim}), seed, theta.device)
        z = samples.to(theta.dtype).unsqueeze(1)
        _check_log_joint(f"target {target!r}", base, z, None)
        moved = _check_map(f"posterior {posterior!r}", "the flow's forward", flow.forward, z, theta)
        with contextlib.suppress(NotImplementedError):
            _check_map(f"posterior {posterior!r}", "the flow's inverse", flow.inverse, moved, theta)


@contextlib.contextmanager
def _undisturbed(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Restore the module's buffers and torch's generators after the block."""
    saved = [
        (part, name, buffer, buffer.clone())
        for part in module.modules()
        for name, buffer in part.named_buffers(recurse=False)
    ]
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            with torch.no_grad():
                for part, name, buffer, values in saved:
                    setattr(part, name, buffer.copy_(values))


def _unused_size(sizes: set[int]) -> int:
    """The smallest size of an axis from 2 on that is not among `sizes`."""
    return next(size for size in itertools.count(2) if size not in sizes)


def _rows(model: Inference, parameter: Tensor, seed: int) -> Tensor | None:
    """`-> (B, ...)`: the first training rows as observations, as in training; None without data."""
    target = model.target
    if not isinstance(target, LatentVariableModel):
        return None
    size = _unused_size({target.dim, target.num_features, model.posterior.noise_dim})
    rows = target.splits().train[:size].to(parameter.device)
    if target.redraws:
        rows = target.observe(rows, stream(seed, "contract", "observe", device=parameter.device))
    return rows.to(parameter.dtype)


def _features(owner: str, model: Inference, batch: Tensor | None) -> Tensor | None:
    """`-> (B, F)`: the encoder's features, checked; None for a target without data."""
    if batch is None or not isinstance(model.target, LatentVariableModel):
        return None
    features, shape = model.features(batch), (len(batch), model.target.num_features)
    message = f"{owner}: features of batch {tuple(batch.shape)} returned"
    return _typed(message, _shaped(message, features, "(B, F)", shape), batch)


def _samples(owner: str, target: Target, num: int, seed: int, device: torch.device) -> Tensor:
    """`-> (num, D)`: exact samples of a target, checked; of any dtype, as callers cast them."""
    samples = target.sample(num, stream(seed, "contract", "sample", device=device))
    return _shaped(f"{owner}: sample({num}) returned", samples, "(num, D)", (num, target.dim))


def _check_posterior(
    owner: str, model: Inference, noise: Tensor, batch: Tensor | None, features: Tensor | None
) -> Tensor:
    """Check z and ln q of `noise (S, B, N)`, and return z (S, B, D), detached."""
    q = model.posterior
    if isinstance(q, FlowPosterior) and type(q.flow).draw is Flow.draw:  # others draw without `forward`
        _check_map(owner, "the flow's forward", q.flow.forward, noise, q.source(features)[1])

    def draw(draws: slice, points: slice) -> object:
        some_batch = None if batch is None else batch[points]
        some_features = None if features is None else features[points]
        return q(noise[draws, points], some_features, lambda z: model.target.log_joint(z, some_batch))

    return _check(owner, "noise", (_Value("z", model.target.dim), _Value("ln q")), draw, noise)


def _check_map(owner: str, name: str, function: Callable[[Tensor, Tensor], object], z: Tensor, theta: Tensor) -> Tensor:
    """Check a flow's values at `z (S, B, D), theta (B or 1, P)`, and return the new z (S, B, D), detached."""

    def move(draws: slice, points: slice) -> object:
        return function(z[draws, points], theta if len(theta) == 1 else theta[points])

    return _check(owner, f"{name} of z", (_Value("z", z.shape[-1]), _Value("ln|det|")), move, z)


def _check_log_joint(owner: str, target: Target, z: Tensor, batch: Tensor | None) -> None:
    """Check ln p(x, z) of `z (S, B, D), batch (B, ...) | None`."""

    def log_joint(draws: slice, points: slice) -> object:
        return target.log_joint(z[draws, points], None if batch is None else batch[points])

    _check(owner, "log_joint of z", (_Value("ln p(x, z)"),), log_joint, z)


def _check(
    owner: str, argument: str, values: tuple[_Value, ...], function: PartialFunction, argument_values: Tensor
) -> Tensor:
    """Check a function's values for a whole batch of arguments, and for each draw and data point alone.

    Args:
        owner: the target or posterior that the function belongs to, for messages.
        argument: name of the function's argument, for messages.
        values: the expected return values, one or several as a tuple.
        function: the checked function, restricted to slices of the draws and of the data points.
        argument_values: the whole argument, shape (S, B, ...); gives S, B, dtype and device of the values.

    Returns:
        The first return value for the whole batch, detached.

    Raises:
        InputError: a value has another shape, dtype or device, or depends on the rest of the batch, or the argument was
            changed.
    """
    shape, before = tuple(argument_values.shape), argument_values.detach().clone()
    together = _values(f"{owner}: {argument} {shape}", values, function(_ALL, _ALL), argument_values)
    if not torch.allclose(argument_values, before, rtol=0, atol=0, equal_nan=True):
        raise InputError(f"{owner}: {argument} {shape}: its values were changed in place, expected them untouched")
    draws = [(slice(s, s + 1), _ALL) for s in range(shape[0])]
    points = [(_ALL, slice(b, b + 1)) for b in range(shape[1])] if shape[1] > 1 else []
    for part in draws + points:
        part_values = argument_values[part]
        alone = _values(f"{owner}: {argument} {tuple(part_values.shape)}", values, function(*part), part_values)
        which = f"draw {part[0].start}" if part[1] == _ALL else f"data point {part[1].start}"
        for value, batch, single in zip(values, together, alone, strict=True):
            _same(f"{owner}: {value.name} of {which} in {argument} {shape}", batch[part], single, batch)
    return together[0]


def _values(message: str, values: tuple[_Value, ...], returned: object, argument: Tensor) -> list[Tensor]:
    """Every value that a function returned, detached, if it has the shape, dtype and device expected of it."""
    parts = returned if len(values) > 1 else (returned,)
    if not isinstance(parts, tuple) or len(parts) != len(values):
        actual = f"a tuple of {len(parts)}" if isinstance(parts, tuple) else type(parts).__name__
        raise InputError(f"{message} returned {actual}, expected ({', '.join(value.name for value in values)})")
    checked = []
    for value, part in zip(values, parts, strict=True):
        start = f"{message} returned" if len(values) == 1 else f"{message} returned {value.name}"
        shape = tuple(argument.shape[:2]) + (() if value.dim is None else (value.dim,))
        checked.append(_typed(start, _shaped(start, part, value.letters, shape), argument).detach())
    return checked


def _shaped(message: str, value: object, letters: str, shape: tuple[int, ...]) -> Tensor:
    """The value, if it is a tensor of this shape; else an error that begins with `message`."""
    if not isinstance(value, Tensor):
        raise InputError(f"{message} {type(value).__name__}, expected a tensor {letters} = {shape}")
    if value.shape != shape:
        raise InputError(f"{message} {tuple(value.shape)}, expected {letters} = {shape}")
    return value


def _typed(message: str, value: Tensor, like: Tensor) -> Tensor:
    """The value, if it has the dtype and the device of `like`; else an error that begins with `message`."""
    if (value.dtype, value.device) != (like.dtype, like.device):
        raise InputError(f"{message} {value.dtype} on {value.device}, expected {like.dtype} on {like.device}")
    return value


def _same(message: str, together: Tensor, alone: Tensor, batch: Tensor) -> None:
    """Refuse values that differ between a computation alone and one in a batch by more than float rounding.

    A sum of n numbers in another order differs by about sqrt(n) to n units in the last place of its largest parts. The
    tolerance is 3 sqrt(eps) max(1, largest finite value of the batch), where 3 sqrt(eps) is 1e-3 in float32 and 4e-8 in
    float64: four digits more than a sum of a thousand numbers needs, and far less than another draw changes.
    """
    scale = max([1.0, *batch[batch.isfinite()].abs().flatten().tolist()])
    tolerance = 3 * math.sqrt(torch.finfo(batch.dtype).eps) * scale
    close = torch.isclose(alone, together, rtol=0, atol=tolerance, equal_nan=True)
    if not close.all():
        single, in_batch = float(alone[~close][0]), float(together[~close][0])
        raise InputError(f"{message}: {single:.6g} alone, {in_batch:.6g} beside the others: expected the same")
