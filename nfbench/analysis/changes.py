"""What differs between two folders of results: cells, configurations, outcomes, and numbers beyond noise."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy import special

from nfbench.analysis.comparison import holm, paired_test
from nfbench.analysis.matching import Pair, match
from nfbench.analysis.summary import FEWEST, LEVEL, Estimate, estimate
from nfbench.records.cells import Metric
from nfbench.records.glossary import measure, ordered
from nfbench.records.outcomes import Outcome, Outcomes
from nfbench.specification.config import Cell

Verdict = Literal["within noise", "undecided", "better", "worse", "changed"]
BEYOND: tuple[Verdict, ...] = ("better", "worse", "changed")  # verdicts of changes beyond noise
_ROUNDING = 2.0**-20  # relative, eight units in the last place of float32: below it a difference is rounding
_BEYOND_ERROR = float(special.ndtri((1 + LEVEL) / 2))  # standard errors


@dataclass(frozen=True)
class Change:
    """How a metric of a configuration differs between two folders, over the seeds that are done in both.

    Attributes:
        cell: of the first seed, as the second folder has it.
        label: of the posterior.
        target_label: of the target.
        fields: fields of the configuration that differ, as ``name: old -> new``; none where it is the same.
        metric: its name.
        left: mean of the first folder.
        right: mean of the second.
        difference: paired by seed, second less first.
        beyond: seeds whose difference is beyond its stored Monte-Carlo error.
        p: two-sided p-value of the paired test over seeds; NaN for one seed.
        p_holm: adjusted by Holm's method over all changes of the comparison.
        verdict: what it means.
    """

    cell: Cell
    label: str
    target_label: str
    fields: tuple[str, ...]
    metric: str
    left: float
    right: float
    difference: Estimate
    beyond: int
    p: float
    p_holm: float
    verdict: Verdict


@dataclass(frozen=True)
class Comparison:
    """What differs between two folders of results.

    Attributes:
        equal: cells of the same configuration with the same numbers, bit by bit.
        unequal: cells of the same configuration with other numbers.
        moved: cells whose configuration differs, compared by experiment, variation, target, posterior and
            seed.
        changes: of metrics that are not equal in all seeds.
        lacking: one line for each metric that only one side has of some compared cells.
        ended: one line for each cell that ended otherwise.
        only_left: cells of the first folder that have no partner.
        only_right: cells of the second folder that have none.
        provenance: one line for each thing in which the records of the two folders were not made alike.
        faults: one line for each file that is no record.
        timings: numbers of timings of the two folders, which are not compared.
    """

    equal: int
    unequal: int
    moved: int
    changes: list[Change]
    lacking: list[str]
    ended: list[str]
    only_left: list[Cell]
    only_right: list[Cell]
    provenance: list[str]
    faults: list[str]
    timings: tuple[int, int] = (0, 0)

    @property
    def has_changed(self) -> bool:
        """Whether a number changed beyond noise, a cell ended otherwise, or a record cannot be compared."""
        return bool(self.ended or self.faults or any(change.verdict in BEYOND for change in self.changes))


def compare(left: Outcomes, right: Outcomes) -> Comparison:
    """Compare the outcomes of two folders.

    Cells of equal id are compared; what is left over, by experiment, variation, target, posterior and seed, within a
    profile first. A difference is noise where a paired test over seeds does not find it, and where it is smaller than
    its stored Monte-Carlo error or than rounding in float32.

    Args:
        left: of the first folder.
        right: of the second.

    Returns:
        What differs.
    """
    pairs, only_left, only_right = match(left, right)
    same = [pair for pair in pairs if not pair.fields]
    unequal = [pair for pair in pairs if pair.fields or not pair.left.equals(pair.right)]
    return Comparison(
        equal=sum(pair.left.equals(pair.right) for pair in same),
        unequal=sum(not pair.left.equals(pair.right) for pair in same),
        moved=len(pairs) - len(same),
        changes=_adjusted([change for pairs_of in _configurations(pairs) for change in _changes(pairs_of)]),
        lacking=_lacking(unequal),
        ended=[_ended(pair) for pair in unequal if pair.left.status != pair.right.status],
        only_left=only_left,
        only_right=only_right,
        provenance=_provenance(pairs),
        faults=[*left.faults, *right.faults],
        timings=(left.timings, right.timings),
    )


def within_error(left: Metric, right: Metric) -> bool:
    """Whether two values of a metric differ by no more than their Monte-Carlo errors, or rounding, explain.

    Args:
        left: a value with its standard error.
        right: another one.

    Returns:
        True within 1.96 standard errors of the difference, those of independent draws, and within rounding in float32.
    """
    difference = abs(left.value - right.value)
    rounding = _ROUNDING * max(abs(left.value), abs(right.value))
    return difference <= max(rounding, _BEYOND_ERROR * math.hypot(left.se or 0.0, right.se or 0.0))


def _configurations(pairs: Iterable[Pair]) -> Iterable[list[Pair]]:
    """The pairs that differ in their seed only; none where all seeds are equal."""
    together: dict[tuple[str, str], list[Pair]] = {}
    for pair in pairs:
        key = (pair.left.cell.model_copy(update={"seed": 0}).id, pair.right.cell.model_copy(update={"seed": 0}).id)
        together.setdefault(key, []).append(pair)
    return [group for group in together.values() if not all(pair.left.equals(pair.right) for pair in group)]


def _changes(pairs: Sequence[Pair]) -> Iterable[Change]:
    """The metrics of a configuration that are not equal in all seeds."""
    done = [pair for pair in pairs if pair.left.status == pair.right.status == "done"]
    names = {name for pair in done for name in pair.left.metrics if name in pair.right.metrics}
    for name in ordered(sorted(names)):
        both = [(pair.left.metrics[name], pair.right.metrics[name]) for pair in done if _have(pair, name)]
        if all(left.value == right.value for left, right in both):
            continue
        differences = np.array([right.value - left.value for left, right in both])
        errors = [_error(left, right) for left, right in both]
        difference = estimate(differences, errors)
        facts = pairs[0].right.facts
        yield Change(
            cell=pairs[0].right.cell,
            label=facts.label,
            target_label=facts.target_label,
            fields=pairs[0].fields,
            metric=name,
            left=float(np.mean([left.value for left, _ in both])),
            right=float(np.mean([right.value for _, right in both])),
            difference=difference,
            beyond=sum(not within_error(left, right) for left, right in both),
            p=paired_test(differences, difference),
            p_holm=math.nan,
            verdict="within noise",
        )


def _have(pair: Pair, name: str) -> bool:
    return name in pair.left.metrics and name in pair.right.metrics


def _error(left: Metric, right: Metric) -> float:
    """The Monte-Carlo error of a difference, as that of independent draws; NaN where none is stored."""
    if left.value == right.value:
        return 0.0
    known = [metric.se for metric in (left, right) if metric.se is not None]
    return math.hypot(*known) if known else math.nan


def _adjusted(changes: Sequence[Change]) -> list[Change]:
    """The changes with adjusted p-values and verdicts."""
    adjusted = holm([change.p for change in changes])
    return [_judged(change, p_holm) for change, p_holm in zip(changes, adjusted, strict=True)]


def _judged(change: Change, p_holm: float) -> Change:
    mean = change.difference.mean or 0.0
    verdict: Verdict = "within noise"
    if abs(mean) <= _ROUNDING * max(abs(change.left), abs(change.right)):
        pass
    elif p_holm <= 1 - LEVEL:
        better = measure(change.metric).better
        verdict = "changed" if better is None else "better" if (mean < 0) == (better == "lower") else "worse"
    elif change.beyond and change.difference.n < FEWEST:
        verdict = "undecided"
    return replace(change, p_holm=p_holm, verdict=verdict)


def _lacking(pairs: Sequence[Pair]) -> list[str]:
    """The metrics that one side of a pair lacks, where both ended alike."""
    counts: Counter[tuple[str, str]] = Counter()
    for left, right, _ in (pair for pair in pairs if pair.left.status == pair.right.status):
        counts.update((name, "before") for name in left.metrics.keys() - right.metrics.keys())
        counts.update((name, "after") for name in right.metrics.keys() - left.metrics.keys())
    return [f"{name}: only {side}, in {n} cell{'s' * (n != 1)}" for (name, side), n in sorted(counts.items())]


def _ended(pair: Pair) -> str:
    cell = pair.right.cell
    return (
        f"{cell.experiment} {cell.target} {cell.name} seed {cell.seed}: "
        f"{pair.left.status} -> {pair.right.status} ({cell.id})"
    )


def _provenance(pairs: Sequence[Pair]) -> list[str]:
    """What differs in how the compared records were made."""
    sides = [_values(pair.left for pair in pairs), _values(pair.right for pair in pairs)]
    names = [name for name in dict.fromkeys([*sides[0], *sides[1]]) if sides[0].get(name) != sides[1].get(name)]
    return [f"{name}: {' -> '.join(_listed(side.get(name, set())) for side in sides)}" for name in names]


def _values(outcomes: Iterable[Outcome]) -> dict[str, set[str]]:
    values: dict[str, set[str]] = {}
    for outcome in outcomes:
        made = {name: value for name, value in outcome.provenance.items() if name != "compile_seconds"}
        made |= {str(name): version for name, version in dict(made.pop("libraries", None) or {}).items()}
        for name, value in made.items():
            values.setdefault(name, set()).add(_short(name, value))
    return values


def _short(name: str, value: Any) -> str:
    return str(value)[:8] if name == "revision" else str(value)


def _listed(values: Iterable[str]) -> str:
    every = sorted(values)
    return "not said" if not every else ", ".join(every[:3]) + (f" and {len(every) - 3} more" if every[3:] else "")


def as_data(comparison: Comparison) -> dict[str, Any]:
    """A comparison as JSON has it.

    Args:
        comparison: of two folders.

    Returns:
        Numbers, and lists of texts and of changes.
    """
    plain: Mapping[str, Any] = {
        name: getattr(comparison, name)
        for name in ("equal", "unequal", "moved", "lacking", "ended", "provenance", "faults", "timings", "has_changed")
    }
    only = {name: [cell.id for cell in getattr(comparison, name)] for name in ("only_left", "only_right")}
    return {**plain, **only, "changes": [_change_as_data(change) for change in comparison.changes]}


def _change_as_data(change: Change) -> dict[str, Any]:
    names = {name: getattr(change.cell, name) for name in ("experiment", "profile", "variation", "target", "posterior")}
    numbers = {name: getattr(change, name) for name in ("metric", "left", "right", "beyond", "verdict", "fields")}
    tests = {name: None if math.isnan(value := getattr(change, name)) else value for name in ("p", "p_holm")}
    return {
        **names,
        **numbers,
        **tests,
        **{f"difference_{name}": part for name, part in vars(change.difference).items()},
    }
