"""What a target and a posterior promise about their values, checked once at the start of every cell.

A value of the wrong shape often broadcasts against the others, and a value that mixes draws looks like any other: both
give a number that means nothing. Nobody would see it later, so it is refused before anything is trained.
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

OfPart = Callable[[slice, slice], object]  # of these draws and these data points, what is checked

_ALL = slice(None)


class _Value(NamedTuple):
    """One of the values that a function returns: its name in messages, and whether it is a point or a number."""

    name: str
    dim: int | None = None  # D of a point z (S, B, D); None for a number of each draw, (S, B)

    @property
    def letters(self) -> str:
        """Its shape in letters."""
        return "(S, B)" if self.dim is None else "(S, B, D)"


def check_model(model: Inference, target: str, posterior: str, seed: int) -> None:
    """Evaluate a target and its posterior on a few draws, and refuse what breaks their contract.

    Checked are shape, dtype and device of z, ln q and ln p(x, z), and that every draw and every data point has the same
    values alone as beside others. For a target without data the same goes for what its evaluation needs: its exact
    samples and the posterior's `log_prob`, where there are any. The numbers of draws S, of data points B and of
    coordinates D differ, so that no axis can pass for another.

    Values are not judged: one that is not finite may be a point outside the target's support, or a divergence, which is
    an outcome of a cell and not a mistake in its code. The model's buffers and torch's own generators are afterwards as
    they were, so that nothing trained later depends on this check.

    Args:
        model: target and posterior, where and in the precision in which they will be trained.
        target: the target's spec, for messages.
        posterior: the posterior's spec, for messages.
        seed: of the noise, which comes from a stream of its own.

    Raises:
        InputError: the contract is broken; the message says what was expected and what came.
    """
    parameter = next(model.parameters())
    with _undisturbed(model, parameter.device):
        batch = _rows(model, parameter, seed)
        points = 1 if batch is None else len(batch)
        features = _features(f"target {target!r}", model, batch)
        taken = {points, model.target.dim, model.posterior.noise_dim}
        shape = _other_than(taken), points, model.posterior.noise_dim
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
    """Push a few samples of a base density through a flow, and refuse what breaks their contract.

    The same as `check_model` for a cell that trains nothing: it needs the base's exact samples, its log_joint, and the
    flow both ways.

    Args:
        flow: the maps.
        base: the density that is pushed through them.
        theta: (1, P) parameters of the maps.
        target: the base's spec, for messages.
        posterior: the flow's spec, for messages.
        seed: of the samples, which come from a stream of their own.

    Raises:
        InputError: the contract is broken; the message says what was expected and what came.
    """
    with _undisturbed(nn.ModuleList([flow, base]), theta.device), torch.no_grad():
        drawn = _samples(f"target {target!r}", base, _other_than({1, base.dim}), seed, theta.device)
        z = drawn.to(theta.dtype).unsqueeze(1)
        _check_log_joint(f"target {target!r}", base, z, None)
        moved = _check_map(f"posterior {posterior!r}", "the flow's forward", flow.forward, z, theta)
        with contextlib.suppress(NotImplementedError):
            _check_map(f"posterior {posterior!r}", "the flow's inverse", flow.inverse, moved, theta)


@contextlib.contextmanager
def _undisturbed(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Within the block the module may change its buffers and draw random numbers; afterwards all is as before."""
    kept = [
        (part, name, buffer, buffer.clone())
        for part in module.modules()
        for name, buffer in part.named_buffers(recurse=False)
    ]
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            with torch.no_grad():
                for part, name, buffer, values in kept:
                    setattr(part, name, buffer.copy_(values))


def _other_than(taken: set[int]) -> int:
    """The least size of an axis, at least 2, that no other axis has."""
    return next(size for size in itertools.count(2) if size not in taken)


def _rows(model: Inference, parameter: Tensor, seed: int) -> Tensor | None:
    """`-> (B, ...)`: the first training rows as observations, as training would feed them; None without data."""
    what = model.target
    if not isinstance(what, LatentVariableModel):
        return None
    size = _other_than({what.dim, what.num_features, model.posterior.noise_dim})
    rows = what.splits().train[:size].to(parameter.device)
    if what.redraws:
        rows = what.observe(rows, stream(seed, "contract", "observe", device=parameter.device))
    return rows.to(parameter.dtype)


def _features(who: str, model: Inference, batch: Tensor | None) -> Tensor | None:
    """`-> (B, F)`, checked; None for a target without data."""
    if batch is None or not isinstance(model.target, LatentVariableModel):
        return None
    found, shape = model.features(batch), (len(batch), model.target.num_features)
    what = f"{who}: features of batch {tuple(batch.shape)} returned"
    return _typed(what, _shaped(what, found, "(B, F)", shape), batch)


def _samples(who: str, target: Target, num: int, seed: int, device: torch.device) -> Tensor:
    """`-> (num, D)`: exact samples of a target, checked; their dtype is free, as whoever takes them casts them."""
    found = target.sample(num, stream(seed, "contract", "sample", device=device))
    return _shaped(f"{who}: sample({num}) returned", found, "(num, D)", (num, target.dim))


def _check_posterior(
    who: str, model: Inference, noise: Tensor, batch: Tensor | None, features: Tensor | None
) -> Tensor:
    """Check z and ln q of `noise (S, B, N)`, and return z (S, B, D), detached."""
    q = model.posterior
    if isinstance(q, FlowPosterior) and type(q.flow).draw is Flow.draw:  # others draw without `forward`
        _check_map(who, "the flow's forward", q.flow.forward, noise, q.source(features)[1])

    def draw(draws: slice, points: slice) -> object:
        some = None if batch is None else batch[points]
        given = None if features is None else features[points]
        return q(noise[draws, points], given, lambda z: model.target.log_joint(z, some))

    return _check(who, "noise", (_Value("z", model.target.dim), _Value("ln q")), draw, noise)


def _check_map(who: str, name: str, function: Callable[[Tensor, Tensor], object], z: Tensor, theta: Tensor) -> Tensor:
    """Check what a flow makes of `z (S, B, D), theta (B or 1, P)`, and return the new z (S, B, D), detached."""

    def move(draws: slice, points: slice) -> object:
        return function(z[draws, points], theta if len(theta) == 1 else theta[points])

    return _check(who, f"{name} of z", (_Value("z", z.shape[-1]), _Value("ln|det|")), move, z)


def _check_log_joint(who: str, target: Target, z: Tensor, batch: Tensor | None) -> None:
    """Check ln p(x, z) of `z (S, B, D), batch (B, ...) | None`."""

    def log_joint(draws: slice, points: slice) -> object:
        return target.log_joint(z[draws, points], None if batch is None else batch[points])

    _check(who, "log_joint of z", (_Value("ln p(x, z)"),), log_joint, z)


def _check(who: str, of: str, values: tuple[_Value, ...], function: OfPart, given: Tensor) -> Tensor:
    """Check the values that a function has for all of `given (S, B, ...)`, and for each draw and data point alone.

    Args:
        who: whose function it is, for messages.
        of: what it is a function of, for messages.
        values: what it returns, one value or a tuple of several.
        function: of a part of the draws and of the data points.
        given: what it is a function of; gives S, B, dtype and device of the values.

    Returns:
        The first of the values, detached.

    Raises:
        InputError: a value is not as expected.
    """
    together = _values(f"{who}: {of} {tuple(given.shape)}", values, function(_ALL, _ALL), given)
    draws = [(slice(s, s + 1), _ALL) for s in range(given.shape[0])]
    points = [(_ALL, slice(b, b + 1)) for b in range(given.shape[1])] if given.shape[1] > 1 else []
    for part in draws + points:
        some = given[part]
        alone = _values(f"{who}: {of} {tuple(some.shape)}", values, function(*part), some)
        which = f"draw {part[0].start}" if part[1] == _ALL else f"data point {part[1].start}"
        for value, whole, single in zip(values, together, alone, strict=True):
            _same(f"{who}: {value.name} of {which} in {of} {tuple(given.shape)}", whole[part], single, whole)
    return together[0]


def _values(what: str, values: tuple[_Value, ...], found: object, given: Tensor) -> list[Tensor]:
    """Every value that a function returned, detached, with the shape, dtype and device that it is to have."""
    parts = found if len(values) > 1 else (found,)
    if not isinstance(parts, tuple) or len(parts) != len(values):
        came = f"a tuple of {len(parts)}" if isinstance(parts, tuple) else type(parts).__name__
        raise InputError(f"{what} returned {came}, expected ({', '.join(value.name for value in values)})")
    checked = []
    for value, part in zip(values, parts, strict=True):
        told = f"{what} returned" if len(values) == 1 else f"{what} returned {value.name}"
        shape = tuple(given.shape[:2]) + (() if value.dim is None else (value.dim,))
        checked.append(_typed(told, _shaped(told, part, value.letters, shape), given).detach())
    return checked


def _shaped(told: str, value: object, letters: str, shape: tuple[int, ...]) -> Tensor:
    """The value, if it is a tensor of this shape."""
    if not isinstance(value, Tensor):
        raise InputError(f"{told} {type(value).__name__}, expected a tensor {letters} = {shape}")
    if value.shape != shape:
        raise InputError(f"{told} {tuple(value.shape)}, expected {letters} = {shape}")
    return value


def _typed(told: str, value: Tensor, like: Tensor) -> Tensor:
    """The value, if it has the dtype and the device of another."""
    if (value.dtype, value.device) != (like.dtype, like.device):
        raise InputError(f"{told} {value.dtype} on {value.device}, expected {like.dtype} on {like.device}")
    return value


def _same(what: str, together: Tensor, alone: Tensor, whole: Tensor) -> None:
    """Refuse values that are others alone than together, up to the rounding of float arithmetic.

    A sum of n numbers in another order differs by about sqrt(n) to n units in the last place of its largest parts. The
    tolerance is three times the square root of such a unit, 1e-3 in float32 and 4e-8 in float64, of the largest value
    at hand or of 1: four digits more than a sum of a thousand numbers needs, and far less than another draw changes.
    """
    scale = max([1.0, *whole[whole.isfinite()].abs().flatten().tolist()])
    tolerance = 3 * math.sqrt(torch.finfo(whole.dtype).eps) * scale
    close = torch.isclose(alone, together, rtol=0, atol=tolerance, equal_nan=True)
    if not close.all():
        one, other = float(alone[~close][0]), float(together[~close][0])
        raise InputError(f"{what}: {one:.6g} alone, {other:.6g} beside the others: expected the same")
