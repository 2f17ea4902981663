"""One family as a candidate for a density: fitted from several seeds at its best learning rate, and diagnosed."""

import copy
import functools
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from nfbench.analysis.agreement import agreement, in_sds, log_ratio
from nfbench.analysis.ranking import Candidate, Restart
from nfbench.evaluation.diagnostics import Diagnosis, diagnose
from nfbench.evaluation.evaluate import finite
from nfbench.evaluation.modes import modes_found
from nfbench.evaluation.reference import evaluate_reference
from nfbench.experiments.families import usual
from nfbench.foundation.errors import reason
from nfbench.posteriors.build import posterior as build_posterior
from nfbench.specification.registry import posteriors
from nfbench.targets.contract import Target
from nfbench.targets.function import FunctionTarget
from nfbench.targets.own_models.model import OwnModel
from nfbench.training.fit import fit_seeds
from nfbench.training.fitted import Fitted
from nfbench.training.objective import Inference
from nfbench.verification.trained import density_error

_FIRST = ("gaussian", "full-covariance")  # whatever they cost
_TRIAL = 8  # a learning rate is tried for an eighth of the updates
_SHORTEST = 50  # updates of a trial
_DRAWS = 256  # an update, as `nfbench.fit` has by default; costs are compared at this number
REFERENCES = 20_000  # the most draws of the target that families are compared with
_SOON = 0.05  # of the updates: from then on the time that the rest takes is foreseen

Report = Callable[[str, int, int, float], None]
References = tuple[Any, Any] | None
"""Means and standard deviations (C,) of reference draws."""


class _OutOfTimeError(Exception):
    """The minutes are over."""


class Budget(NamedTuple):
    """What every family is given: the same for all.

    Attributes:
        seeds: of the restarts.
        updates: of each restart.
        draws: of q for each diagnosis.
        rates: learning rates to choose from.
        device: torch device.
        ends: when the time is over, as of `time.monotonic`; infinite for never.
        settings: further fields of `Training`.
    """

    seeds: range
    updates: int
    draws: int
    rates: tuple[float, ...]
    device: str
    ends: float
    settings: dict[str, Any]


def families(dim: int) -> list[str]:
    """The families that `choose` tries by default: both Gaussians, then everything registered that is no Gaussian.

    Those that other libraries compute are tried where they are named.
    Options are the families' defaults, but K = 4 for couplings and autoregressive flows.

    Args:
        dim: D; families that cannot have it are left out.

    Returns:
        Specs, by the operations that draws cost where that is known, else by the number of parameters; those last that
        follow the target's gradient.

    >>> families(2)[:2]
    ['gaussian', 'full-covariance']
    """
    costs: dict[str, tuple[int, float]] = {}
    for entry in posteriors:
        if entry.library is not None:
            continue
        choice = posteriors.choose(usual(entry))
        facts = choice.facts
        if entry.name not in _FIRST and (facts["linear"] or facts["volume_preserving"]):
            continue
        try:
            built = build_posterior(str(choice), dim)
            cost = built.cost(_DRAWS, 1, 1, gradient=True)
        except Exception:  # a family that cannot have this dimension, or a plug-in's that is wrong
            continue
        size = cost.flops if cost is not None else _DRAWS * sum(each.numel() for each in built.parameters())
        later = len(_FIRST) + (not built.has_density)  # whose draws ask the target for gradients
        costs[str(choice)] = (_FIRST.index(entry.name) if entry.name in _FIRST else later, size)
    return sorted(costs, key=lambda spec: costs[spec])


def candidate(
    spec: str, target: Target, budget: Budget, references: References, report: Report | None
) -> tuple[Candidate, list[Fitted], list[Diagnosis]]:
    """Fit and diagnose one family; whatever it raises is a problem of this one alone.

    Args:
        spec: of the family.
        target: a density.
        budget: the same for all families.
        references: what the moments are compared with; None for nothing.
        report: called with (spec, updates done, updates in all, mean bound in nats).

    Returns:
        The candidate; its fitted restarts; and the diagnoses of those that did not diverge.
    """
    began, label = time.monotonic(), posteriors.choose(spec).label
    made = functools.partial(Candidate, spec, label)
    try:
        rate, cells, trials = _fitted(spec, target, budget, report)
        models = [_evaluated(each) for each in cells if each.diverged is None]
        seeds = [each.seed for each in cells if each.diverged is None]
        diagnoses = [_diagnosis(model, budget.draws, seed) for model, seed in zip(models, seeds, strict=True)]
        modes = tuple(modes_found(models)) if models else ()
        best = _lowest(diagnoses)
        compared = finite(evaluate_reference(models[best], REFERENCES, 0)) if references and best is not None else {}
        off = 0.0 if best is None else density_error(models[best].posterior, seeds[best])
    except _OutOfTimeError as error:
        return made(seconds=time.monotonic() - began, problem=f"not fitted: {error}"), [], []
    except Exception as error:  # a family's or a model's own
        return made(seconds=time.monotonic() - began, problem=reason(error)), [], []
    numbers = iter(diagnoses)
    restarts = [
        Restart(each.seed, diverged=True) if each.diverged else _restart(each.seed, next(numbers)) for each in cells
    ]
    usable = [each for each in diagnoses if math.isfinite(each.free_energy.value)]
    fitted_candidate = made(
        tuple(restarts),
        _apart(usable),
        usable[0].threshold if usable else math.nan,
        budget.draws,
        cells[0].num_params,
        rate,
        budget.updates,
        gradients=sum(_updates(each) + trials for each in cells) * _gradients(cells[0]),
        seconds=time.monotonic() - began,
        reference=_errors(usable, references),
        modes=modes,
        compared={name: (metric.value, metric.se) for name, metric in compared.items()},
        density_error=off,
        stopped=tuple(each.evidence.sentence for each in cells if each.evidence is not None),
        unproven=sum(each.evidence is not None and each.evidence.reason in ("budget", "bias") for each in cells),
    )
    return fitted_candidate, cells, diagnoses


def _fitted(spec: str, target: Target, budget: Budget, report: Report | None) -> tuple[float, list[Fitted], int]:
    """The learning rate, the fitted restarts, and the updates of trials."""
    trial = max(budget.updates // _TRIAL, _SHORTEST)
    rates = budget.rates if trial < budget.updates else budget.rates[-1:]
    total = budget.updates + (trial * len(rates) if len(rates) > 1 else 0)

    def train(rate: float, updates: int, before: int, *, trying: bool = False) -> list[Fitted]:
        first: list[tuple[float, int]] = []  # time and updates of the first report: kernels are compiled before it

        def told(done: int, bound: float) -> None:
            now = time.monotonic()
            began, start = first[0] if first else (now, done)
            first[:] = [(began, start)]
            soon = done - start > _SOON * updates
            left = (now - began) / (done - start) * (total - before - done) if soon else 0.0
            if now + left > budget.ends:
                raise _OutOfTimeError(f"it needs {left:.0f} s more, and {max(budget.ends - now, 0):.0f} s are left")
            if report is not None:
                report(spec, before + done, total, bound)

        settings = {"learning_rate": rate, **budget.settings}
        if trying:
            settings.pop("stop", None)  # a trial is a fixed budget
        return fit_seeds(spec, target, budget.seeds, updates=updates, device=budget.device, report=told, **settings)

    if len(rates) == 1:
        return rates[0], train(rates[0], budget.updates, 0), 0
    bounds = {rate: _worst(train(rate, trial, number * trial, trying=True)) for number, rate in enumerate(rates)}
    rate = min(bounds, key=lambda each: bounds[each])
    return rate, train(rate, budget.updates, len(rates) * trial), len(rates) * trial


def _updates(fitted: Fitted) -> int:
    """The number of updates that a fit made."""
    return fitted.training.updates if fitted.evidence is None else fitted.evidence.updates


def _gradients(fitted: Fitted) -> int:
    """The gradients of ln p(z) that an update took."""
    return fitted.training.draws * fitted.posterior.target_gradients


def _worst(cells: Sequence[Fitted]) -> float:
    """The mean bound of a trial over its restarts; infinite where one diverged."""
    values = [math.inf if each.diverged else each.free_energy for each in cells]
    return math.inf if any(math.isnan(value) for value in values) else sum(values) / len(values)


def _evaluated(fitted: Fitted) -> Inference:
    """A copy of a fit, in the precision in which it is evaluated."""
    target = fitted.target
    if target is None:
        raise ValueError("a fit without its target")
    model = copy.deepcopy(Inference(target, fitted.posterior)).eval()
    if isinstance(target, OwnModel) or not isinstance(target, FunctionTarget):
        model = model.double()  # a user's function may hold numbers of its own in float32
    return model


def _diagnosis(model: Inference, draws: int, seed: int) -> Diagnosis:
    return diagnose(model, draws, seed, model.target.constrain)


def _apart(diagnoses: Sequence[Diagnosis]) -> float:
    """The largest difference of moments of two restarts."""
    if not diagnoses:
        return math.nan
    means, sds = [each.plain.mean for each in diagnoses], [each.plain.sd for each in diagnoses]
    return agreement(means, sds, [each.free_energy.value for each in diagnoses]).moments


def _lowest(diagnoses: Sequence[Diagnosis]) -> int | None:
    """The place of the restart with the lowest F; None where none is finite."""
    energies = [each.free_energy.value for each in diagnoses]
    usable = [place for place, energy in enumerate(energies) if math.isfinite(energy)]
    return min(usable, key=lambda place: energies[place], default=None)


def _restart(seed: int, diagnosis: Diagnosis) -> Restart:
    energy, gap = diagnosis.free_energy, diagnosis.gap
    if not math.isfinite(energy.value):
        return Restart(seed, diverged=True)
    errors = math.nan if energy.se is None else energy.se, math.nan if gap.se is None else gap.se
    return Restart(seed, energy.value, errors[0], diagnosis.khat, diagnosis.ess, gap.value, errors[1])


def _errors(diagnoses: Sequence[Diagnosis], references: References) -> tuple[float, float] | None:
    """The largest errors of the restarts' means, in standard deviations, and of ln sd."""
    if references is None or not diagnoses:
        return None
    mean, sd = references
    means = [float(in_sds(each.plain.mean, mean, sd).max()) for each in diagnoses]
    return max(means), max(float(log_ratio(each.plain.sd, sd).max()) for each in diagnoses)
