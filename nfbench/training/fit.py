"""Fitting from Python: a posterior and a target, by name or as objects, through the one standardized training."""

import copy
import time
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import torch

from nfbench.foundation.checks import brief, function, settings, whole_number
from nfbench.foundation.environment import check_device
from nfbench.foundation.errors import InputError
from nfbench.foundation.randomness import seeded
from nfbench.posteriors.contract import Posterior
from nfbench.specification.choices import HEADS, Head
from nfbench.specification.config import Training, block_of
from nfbench.specification.registry import posteriors, targets
from nfbench.targets.build import target as build_target
from nfbench.targets.contract import LatentVariableModel, Target
from nfbench.targets.function import FunctionTarget, LogDensity
from nfbench.training.contracts import check_model
from nfbench.training.evidence import Evidence
from nfbench.training.fitted import Fitted
from nfbench.training.loop import train
from nfbench.training.objective import Inference, initial_model

# The budgets of `figure3` and `digits` at the profile quick, where they were chosen for all families alike: Adam with
# one cycle of the learning rate, and beta rising over the first two fifths of the updates.
_ANNEALED = 0.4
_ANNEALED_AT_MOST = 1000  # updates, where evidence ends the training
_OF_DENSITIES = {"learning_rate": 0.02, "draws": 256}
_OF_DATA = {"learning_rate": 0.005, "draws": 1, "batch": 100}

AnyTarget = str | Target | LogDensity
AnyPosterior = str | Posterior


def as_target(target: AnyTarget, dim: int | None = None, seed: int = 0) -> Target:
    """Make a `Target` of a spec or a function; a `Target` is returned as it is.

    Args:
        target: a spec such as ``u1``, a `Target`, or a function ``log_joint(z (..., D)) -> (...)`` in nats.
        dim: D, for a function; None or the target's own D otherwise.
        seed: seed of a decoder's initial parameters.

    Returns:
        The target, on the CPU.

    Raises:
        InputError: unknown spec, a function without `dim`, or a `dim` that is not the target's.

    >>> as_target("u1").dim, as_target(lambda z: -z.square().sum(-1), dim=3).dim
    (2, 3)
    """
    if isinstance(target, str):
        with seeded(seed, "target"):
            built = build_target(target)
    elif isinstance(target, Target):
        built = target
    elif callable(target):
        if dim is None:
            raise InputError("target: a function needs dim=, the number of dimensions of z; got dim=None")
        return FunctionTarget(target, dim)
    else:
        raise InputError(f"target {brief(target)}: expected a name such as 'u1', a Target, or a function of z")
    if dim is not None and dim != built.dim:
        raise InputError(f"target has dim={built.dim}, got dim={dim}: expected the same number, or none")
    return built


def recipe(target: Target, updates: int, changes: dict[str, Any]) -> Training:
    """The training that `fit` uses by default, with a user's changes.

    Args:
        target: decides between the settings for densities and for models of data.
        updates: number of updates.
        changes: fields of `Training` with values in place of the defaults.

    Returns:
        The validated recipe.

    Raises:
        InputError: an unknown field, or a value outside its range; the message names it.
    """
    defaults = _OF_DATA if isinstance(target, LatentVariableModel) else _OF_DENSITIES
    annealed = int(_ANNEALED * updates) if isinstance(updates, int) else 0
    schedule = "one-cycle"
    if changes.get("stop") == "evidence":  # the number of updates is not known beforehand
        annealed, schedule = min(annealed, _ANNEALED_AT_MOST), "constant"
    budget = {"schedule": schedule, "updates": updates, "anneal_updates": annealed}
    return settings("fit", Training, budget | defaults, changes)


def fit_seeds(
    posterior: AnyPosterior,
    target: AnyTarget,
    seeds: Sequence[int],
    *,
    dim: int | None = None,
    updates: int = 2000,
    device: str = "cpu",
    report: Callable[[int, float], None] | None = None,
    **changes: Any,
) -> list[Fitted]:
    """Fit one posterior for each seed; they train as one program where the target allows it.

    Args:
        posterior: a spec, or a module for a single seed, which is trained in place.
        target: a spec, a `Target`, or a function, as of `as_target`.
        seeds: distinct seeds of initial parameters, noise and minibatch order.
        dim: D of a target that is a function.
        updates: number of updates.
        device: torch device.
        report: called with (updates done, mean bound in nats) about 100 times.
        changes: fields of `Training` in place of the defaults of `recipe`.

    Returns:
        One `Fitted` for each seed, in order.

    Raises:
        InputError: an argument is not as described; the message names it, its value and what was expected.
    """
    for seed in seeds:
        whole_number("fit", "seed", seed)
    if len(set(seeds)) < len(seeds) or not seeds:
        raise InputError(f"seeds {list(seeds)}: expected at least one, each once")
    check_device(device)
    function("fit", "report", report)
    if dim is not None:
        whole_number("fit", "dim", dim, least=1)
    asked = list(seeds)
    if isinstance(posterior, str) and isinstance(changes.get("together"), int) and changes["together"] > 0:
        blocks = [block_of(seed, changes["together"]) for seed in asked]  # as an experiment trains them
        seeds = list(dict.fromkeys(seed for block in blocks for seed in block))
    head: Head = changes.get("head", "scaled") if changes.get("head") in HEADS else "scaled"  # else `recipe` refuses it
    models = [_model(posterior, target, dim, seed, head, alone=len(seeds) == 1) for seed in seeds]
    config = recipe(models[0].target, updates, changes)
    for model in models:
        model.to(device=device, dtype=getattr(torch, config.dtype))
    names = _spec(posteriors, posterior), _spec(targets, target)
    first = models[0].target
    check_model(models[0], names[1] or "a function", names[0] or type(posterior).__name__, seeds[0])
    separate = isinstance(first, FunctionTarget) and len(seeds) > 1 and not first.stacks()
    length = 1 if separate else config.together or len(seeds)
    fitted = []
    for program in [list(range(e, min(e + length, len(seeds)))) for e in range(0, len(seeds), length)]:
        began = time.monotonic()
        own_seeds = [seeds[e] for e in program]
        trained = train([models[e] for e in program], own_seeds, config, device=device, report=report)
        seconds = (time.monotonic() - began) / len(program)
        evidence: Sequence[Evidence | None] = trained.evidence or [None] * len(program)
        for seed, model, curve, diverged, why in zip(
            own_seeds, trained.models, trained.curves, trained.diverged, evidence, strict=True
        ):
            curves = pd.DataFrame(curve)
            fitted.append(Fitted(model.posterior, model.target, *names, config, seed, curves, seconds, diverged, why))
    return [one for seed in asked for one in fitted if one.seed == seed]


def _model(
    posterior: AnyPosterior, target: AnyTarget, dim: int | None, seed: int, head: Head, *, alone: bool
) -> Inference:
    """A target and a posterior with one seed's initial parameters."""
    own_target = copy.deepcopy(target) if isinstance(target, Target) and not alone else target
    built = as_target(own_target, dim, seed)
    if isinstance(posterior, str):
        return initial_model(posterior, built, seed, head)
    if not isinstance(posterior, Posterior):
        raise InputError(f"posterior {brief(posterior)}: expected a spec such as planar:K=8, or a Posterior")
    if head != "scaled":
        raise InputError(f"fit: head={head!r}: expected none, as a module has the head with which it was built")
    if not alone:
        raise InputError("posterior: a module serves one seed; expected a spec for several")
    if posterior.dim != built.dim:
        raise InputError(f"posterior has dim={posterior.dim}, the target dim={built.dim}: expected the same number")
    return Inference(built, posterior)


def _spec(registry: Any, spec_or_object: object) -> str | None:
    """The canonical form of a spec; None for an object."""
    return str(registry.choose(spec_or_object)) if isinstance(spec_or_object, str) else None
