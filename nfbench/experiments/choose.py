"""Which posterior family is good enough for a density: several are fitted, cheapest first, until one suffices."""

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from nfbench.analysis.ranking import MARGIN, Candidate, Verdict, verdict
from nfbench.analysis.ranking_data import as_data, finite
from nfbench.evaluation.diagnostics import FEWEST, Diagnosis, eps_of, moments
from nfbench.evaluation.reference import reference_draws
from nfbench.experiments.candidates import REFERENCES, Budget, References, Report, candidate, families
from nfbench.foundation.checks import brief, whole_number
from nfbench.foundation.environment import provenance
from nfbench.foundation.errors import InputError
from nfbench.specification.registry import posteriors, sources_of
from nfbench.specification.spec import expand
from nfbench.targets.contract import LatentVariableModel, Target
from nfbench.training.contracts import check_model
from nfbench.training.fit import AnyTarget, as_target
from nfbench.training.fitted import Fitted
from nfbench.training.objective import initial_model

RATES = (0.003, 0.01, 0.03)  # learning rates that are tried


@dataclass(frozen=True, eq=False)
class Chosen:
    """The outcome of `choose`.

    Attributes:
        candidates: the families in order of cost, with their numbers.
        verdict: the cheapest one that will do, with the reasons, or that none can be trusted.
        margin: in nats.
        target: spec, or ``a function``.
        budget: what every family was given: seeds, updates, draws, learning rates, device, minutes and others.
        sources: the sha256 of the code of a target that is a file; None for others.
        fitted: spec -> the fitted posteriors, one for each seed.
        moments: of the chosen family's draws, reweighted: one row a coordinate with its name, mean, sd, their
            Monte-Carlo errors, and the mean and sd of the family itself; empty where none is chosen.
    """

    candidates: tuple[Candidate, ...]
    verdict: Verdict
    margin: float
    target: str
    budget: dict[str, Any]
    sources: dict[str, str] | None
    fitted: dict[str, list[Fitted]] = field(repr=False)
    moments: list[dict[str, Any]] = field(repr=False)

    @property
    def posterior(self) -> str | None:
        """The spec of the chosen family; None where none can be trusted."""
        return self.verdict.posterior

    @property
    def best(self) -> Fitted | None:
        """The chosen family's seed with the lowest free energy; None where none can be trusted."""
        for each in self.candidates:
            if each.posterior == self.posterior:
                lowest = min(each.done, key=lambda restart: restart.free_energy)
                return next(one for one in self.fitted[each.posterior] if one.seed == lowest.seed)
        return None

    def as_data(self) -> dict[str, Any]:
        """Everything but the fitted posteriors, as the file of ``nfbench choose`` holds it.

        Returns:
            What JSON can hold; None in place of a number that is not finite.
        """
        data = as_data(self.candidates, self.verdict, self.margin)
        facts = {"schema_version": 1, "target": self.target, "sources": self.sources, "budget": self.budget}
        return {**facts, **data, "moments": finite(self.moments), "made_by": provenance()}

    def __repr__(self) -> str:
        rows = [f"  {each.posterior}: {self.verdict.remarks.get(each.posterior, '')}" for each in self.candidates]
        return "\n".join([f"{self.target}: {self.verdict.sentence}", *rows])


def choose(
    target: AnyTarget,
    specs: Sequence[str] | None = None,
    *,
    dim: int | None = None,
    updates: int = 2000,
    minutes: float | None = None,
    seeds: int = 3,
    margin: float = MARGIN,
    diagnosis_draws: int = 20_000,
    rates: Sequence[float] = RATES,
    all_families: bool = False,
    device: str = "cpu",
    report: Report | None = None,
    ended: Callable[[Candidate, int], None] | None = None,
    **settings: Any,
) -> Chosen:
    """Fit families to a density, cheapest first, until one suffices; see `nfbench.choose`.

    Args:
        target: a spec, a `Target` without data, or a function, as of `nfbench.fit`.
        specs: posterior specs in the order of cost; None: those of `families`.
        dim: D of a target that is a function.
        updates: of each restart of each family.
        minutes: after which no family is begun and the one that is being fitted is given up; None: no limit.
        seeds: number of restarts, trained as one program.
        margin: in nats.
        diagnosis_draws: of q for the diagnosis of each restart.
        rates: learning rates; with several each is tried for an eighth of the updates.
        all_families: try all, also when a cheap one suffices.
        device: torch device.
        report: called with (spec, updates done, updates in all, mean bound in nats).
        ended: called with each family that has ended, and how many are tried at most.
        settings: further fields of `Training`.

    Returns:
        The candidates with the verdict.

    Raises:
        InputError: an argument is not as described, or the target is no density.
    """
    started = time.monotonic()
    whole_number("choose", "seeds", seeds, least=1)
    whole_number("choose", "updates", updates, least=1)
    whole_number("choose", "diagnosis_draws", diagnosis_draws, least=FEWEST)
    for name, value in (("minutes", math.inf if minutes is None else minutes), ("margin", margin)):
        if not (isinstance(value, int | float) and value > 0):
            raise InputError(f"choose: {name}={brief(value)}: expected a number above 0")
    right = isinstance(rates, Sequence) and all(isinstance(rate, float) and 0 < rate < math.inf for rate in rates)
    if not right or not rates:
        raise InputError(f"choose: rates={brief(rates)}: expected learning rates such as (0.003, 0.01)")
    if "learning_rate" in settings:
        one = brief(settings["learning_rate"])
        raise InputError(f"choose: learning_rate={one}: expected rates, which are tried, such as (0.003, 0.01)")
    if specs is not None and (isinstance(specs, str | bytes) or not isinstance(specs, Sequence)):
        raise InputError(f"choose: families {brief(specs)}: expected a list of specs, e.g. ['gaussian', 'planar:K=8']")
    if dim is not None:
        whole_number("choose", "dim", dim, least=1)
    built = as_target(target, dim)
    if isinstance(built, LatentVariableModel):
        raise InputError(f"choose: target {brief(target)} has data; expected a density, with its data inside")
    name = target if isinstance(target, str) else "a function"
    check_model(initial_model("gaussian", copy.deepcopy(built), 0), name, "gaussian", 0)
    wanted = families(built.dim) if specs is None else _expanded(specs)
    ends = math.inf if minutes is None else started + 60 * minutes
    budget = Budget(range(seeds), updates, diagnosis_draws, tuple(rates), device, ends, settings)
    references = _references(built)
    candidates: list[Candidate] = []
    fitted: dict[str, list[Fitted]] = {}
    diagnoses: dict[str, list[Diagnosis]] = {}
    for spec in wanted:
        if time.monotonic() > ends:
            break
        each, fitted[spec], diagnoses[spec] = candidate(spec, built, budget, references, report)
        candidates.append(each)
        if ended is not None:
            ended(each, len(wanted))
        if each.suffices(margin) and not all_families:
            break
    outcome = verdict(candidates, margin)
    moments = _moments(built, outcome.posterior, candidates, diagnoses)
    given = {"families": wanted, "seeds": seeds, "updates": updates, "minutes": minutes}
    given |= {
        "diagnosis_draws": diagnosis_draws,
        "rates": list(rates),
        "device": device,
        "all_families": all_families,
        "settings": settings,
    }
    sources = sources_of("gaussian", target) if isinstance(target, str) else None
    return Chosen(tuple(candidates), outcome, float(margin), name, given, sources, fitted, moments)


def _expanded(specs: Sequence[str]) -> list[str]:
    texts = [str(posteriors.choose(spec)) for text in specs for spec in expand(text)]
    if not texts:
        raise InputError("choose: no families: expected a list of specs, e.g. ['gaussian', 'planar:K=8']")
    return list(dict.fromkeys(texts))


def _references(target: Target) -> References:
    """Mean and sd of reference or exact draws, where there are any, in the space of the moments."""
    draws = reference_draws(target, REFERENCES, 0)
    if draws is None:
        return None
    shown = target.constrain(draws)
    known = moments(shown.double().cpu().numpy(), eps=eps_of(draws, shown))
    return known.mean, known.sd


def _moments(
    target: Target, posterior: str | None, candidates: Sequence[Candidate], diagnoses: dict[str, list[Diagnosis]]
) -> list[dict[str, Any]]:
    """The moments of the chosen family's restart with the lowest F, one row a coordinate."""
    if posterior is None:
        return []
    lowest = min(diagnoses[posterior], key=lambda each: each.free_energy.value)
    plain, better = lowest.plain, lowest.reweighted
    given = target.names
    names = given if given and len(given) == len(plain.mean) else [f"z{place}" for place in range(len(plain.mean))]
    columns = {
        **{"mean": better.mean, "mean_se": better.mean_se, "sd": better.sd, "sd_se": better.sd_se},
        **{"posterior_mean": plain.mean, "posterior_sd": plain.sd},
    }
    return [
        {"name": name, **{key: float(values[place]) for key, values in columns.items()}}
        for place, name in enumerate(names)
    ]
