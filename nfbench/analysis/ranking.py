"""Which family is good enough for one density, and can it be trusted: a verdict from numbers, in one sentence."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nfbench.analysis.summary import Estimate, estimate
from nfbench.records.verdicts import WRONG

MARGIN = 0.05  # nats: a cheaper family that is worse by less is preferred
DISAGREE = 0.25  # standard deviations, or of ln sd, by which restarts that agree may differ
ERRORS = 2.0  # standard errors that are added to an estimated gap before it counts as small


@dataclass(frozen=True)
class Restart:
    """One seed of a family.

    Attributes:
        seed: its number.
        free_energy: F in nats, with its Monte-Carlo standard error.
        free_energy_se: of `free_energy`.
        khat: shape of the importance weights' tail.
        ess: effective sample size.
        gap: F + ln mean w in nats, the estimate of KL(q||p) that bounds what a richer family can gain.
        gap_se: its standard error.
        diverged: whether its bound was not finite in training or evaluation; the numbers are NaN then.
    """

    seed: int
    free_energy: float = math.nan
    free_energy_se: float = math.nan
    khat: float = math.nan
    ess: float = math.nan
    gap: float = math.nan
    gap_se: float = math.nan
    diverged: bool = False


@dataclass(frozen=True)
class Candidate:
    """A family as it was fitted, in the order of cost.

    Attributes:
        posterior: spec.
        label: for people.
        restarts: one for each seed; none where there is a `problem`.
        agreement: the largest difference of moments of two restarts, in standard deviations.
        threshold: of k-hat.
        draws: of the evaluation.
        parameters: number of learned numbers.
        learning_rate: the one that was chosen.
        updates: of each restart.
        gradients: evaluations of the density's gradient, of all restarts and trials of learning rates.
        seconds: of all trainings, trials and evaluations.
        reference: the largest errors of means in standard deviations and of ln sd against reference draws; None without
            such draws.
        problem: why the family has no numbers; None where it has.
        modes: how many modes of the density each restart has draws in, and at the end how many all of them together.
        stopped: why the training of each restart ended, where evidence may end it.
        unproven: restarts whose training ended without evidence of convergence, where that was asked for.
        compared: metric -> value and standard error of the restart with the lowest F against draws of the target.
        density_error: nats by which ln q of the restart with the lowest F is off the density of its draws.
    """

    posterior: str
    label: str
    restarts: tuple[Restart, ...] = ()
    agreement: float = math.nan
    threshold: float = math.nan
    draws: int = 0
    parameters: int | None = None
    learning_rate: float | None = None
    updates: int = 0
    gradients: int = 0
    seconds: float = 0.0
    reference: tuple[float, float] | None = None
    problem: str | None = None
    modes: tuple[int, ...] = ()
    stopped: tuple[str, ...] = ()
    unproven: int = 0
    compared: Mapping[str, tuple[float, float | None]] = field(default_factory=dict)
    density_error: float = 0.0

    @property
    def done(self) -> tuple[Restart, ...]:
        """The restarts that did not diverge."""
        return tuple(restart for restart in self.restarts if not restart.diverged)

    @property
    def khat(self) -> float:
        """The mean k-hat of the restarts, as that of one is known to about 0.1; NaN where one has none."""
        values = [restart.khat for restart in self.done]
        return sum(values) / len(values) if values else math.nan

    @property
    def free_energy(self) -> Estimate:
        """F over seeds, in nats."""
        return estimate([each.free_energy for each in self.done], [each.free_energy_se for each in self.done])

    @property
    def most_to_gain(self) -> float:
        """The largest gap of the restarts with two standard errors, in nats: what a richer family can gain at most."""
        return max((restart.gap + ERRORS * restart.gap_se for restart in self.done), default=math.inf)

    @property
    def has_bound(self) -> bool:
        """Whether F is one: of a wrong ln q it is not, and may be far below what is possible."""
        return bool(self.done) and self.density_error <= WRONG

    def faults(self) -> list[str]:
        """Why the family cannot be trusted.

        Returns:
            A clause for each reason; none for a family that can be.
        """
        if self.problem is not None:
            return [self.problem]
        lost = len(self.restarts) - len(self.done)
        reasons = [f"{lost} of {len(self.restarts)} restarts diverged"] if lost else []
        if self.density_error > WRONG:
            size = f"{self.density_error:.2g} nats off the density of its draws"
            off = size if math.isfinite(self.density_error) else "not that of its draws at all"
            reasons.append(f"its ln q is {off}, so that F is no bound")
        if self.unproven:
            reasons.append(f"{self.unproven} of {len(self.restarts)} restarts ended without evidence of convergence")
        if self.done and not self.khat <= self.threshold:
            reasons.append(f"k-hat {khat_text(self.khat)} is above its threshold {self.threshold:.2f}")
        if not self.agreement <= DISAGREE and len(self.done) > 1:
            reasons.append(f"restarts disagree by {self.agreement:.2g} sd")
        return reasons

    @property
    def trusted(self) -> bool:
        """Whether there is no reason against it."""
        return not self.faults()

    def suffices(self, margin: float) -> bool:
        """Whether nothing richer needs to be tried.

        Args:
            margin: in nats.

        Returns:
            True where the family is trusted and can be improved by less than the margin.
        """
        return self.trusted and self.most_to_gain < margin


@dataclass(frozen=True)
class Verdict:
    """What the candidates show.

    Attributes:
        posterior: the spec of the cheapest family that will do; None where none can be trusted.
        sentence: what to do, and what supports it.
        differences: spec -> F minus that of the best, paired by seed, in nats.
        remarks: spec -> why it is chosen or not.
    """

    posterior: str | None
    sentence: str
    differences: dict[str, Estimate]
    remarks: dict[str, str]


def khat_text(khat: float) -> str:
    """A k-hat as text.

    >>> khat_text(0.123), khat_text(float("-inf")), khat_text(float("nan"))
    ('0.12', 'exact', 'unknown')

    Args:
        khat: any.

    Returns:
        Two decimals, or a word for what is not finite.
    """
    if math.isnan(khat):
        return "unknown"
    return f"{khat:.2f}" if math.isfinite(khat) else ("exact" if khat < 0 else "infinite")


def verdict(candidates: Sequence[Candidate], margin: float = MARGIN) -> Verdict:
    """Choose the cheapest family that is trusted and within a margin of the best one.

    Args:
        candidates: in the order of cost.
        margin: in nats.

    Returns:
        The choice, or that none can be trusted, with the reasons.
    """
    ranked = [each for each in candidates if each.has_bound]
    best = min(ranked, key=_mean, default=None)
    if best is None:
        reasons = "; ".join(f"{each.posterior}: {', '.join(each.faults())}" for each in candidates)
        return Verdict(None, f"none of these can be trusted here, because none has a bound: {reasons}", {}, {})
    differences = {each.posterior: _paired(each, best) for each in ranked}
    near = [each for each in ranked if (differences[each.posterior].mean or 0.0) <= margin]
    chosen = next((each for each in near if each.trusted), None)
    remarks = {each.posterior: _remark(each, chosen, differences.get(each.posterior), margin) for each in candidates}
    if chosen is not None:
        return Verdict(chosen.posterior, _recommended(chosen, best, differences, margin), differences, remarks)
    return Verdict(None, _distrusted(ranked, near, best, differences, margin), differences, remarks)


def _mean(candidate: Candidate) -> float:
    mean = candidate.free_energy.mean
    return math.inf if mean is None else mean


def _paired(candidate: Candidate, best: Candidate) -> Estimate:
    """F minus that of the best, by the seeds that both have done."""
    theirs = {restart.seed: restart for restart in best.done}
    pairs = [(restart, theirs[restart.seed]) for restart in candidate.done if restart.seed in theirs]
    if not pairs:
        return estimate([_mean(candidate) - _mean(best)])
    errors = [math.hypot(left.free_energy_se, right.free_energy_se) for left, right in pairs]
    if candidate is best:
        errors = [0.0] * len(pairs)
    return estimate([left.free_energy - right.free_energy for left, right in pairs], errors)


def _nats(difference: Estimate) -> str:
    half = (
        "" if difference.low is None or difference.high is None else f" ± {(difference.high - difference.low) / 2:.2g}"
    )
    return f"{difference.mean or 0.0:.2g}{half} nats"


def _remark(each: Candidate, chosen: Candidate | None, difference: Estimate | None, margin: float) -> str:
    """Why a family is chosen or not."""
    if each is chosen:
        return "chosen"
    reasons = each.faults()
    if difference is not None and (difference.mean or 0.0) > margin:
        reasons.append(f"{_nats(difference)} worse than the best")
    return ", ".join(reasons) or "would do, at a higher cost"


def _recommended(chosen: Candidate, best: Candidate, differences: dict[str, Estimate], margin: float) -> str:
    place = (
        "the lowest free energy"
        if chosen is best
        else f"{_nats(differences[chosen.posterior])} from the best, {best.posterior}, within the margin of {margin:g}"
    )
    gain = max(chosen.most_to_gain, 0.0)
    parts = [
        place,
        f"k-hat {khat_text(chosen.khat)} below its threshold {chosen.threshold:.2f}",
        f"at most {gain:.2g} nats left to gain by the importance weights",
    ]
    if len(chosen.done) > 1:
        parts.append(f"{len(chosen.done)} restarts that agree to {chosen.agreement:.2g} sd")
    return f"{chosen.posterior} ({chosen.label}) will do: {'; '.join(parts)}"


def _distrusted(
    ranked: Sequence[Candidate],
    near: Sequence[Candidate],
    best: Candidate,
    differences: dict[str, Estimate],
    margin: float,
) -> str:
    reasons = [f"{each.posterior}: {', '.join(each.faults())}" for each in near]
    others = [each for each in ranked if each.trusted]
    text = (
        f"none of these can be trusted here, because of those within {margin:g} nats of the best, {'; '.join(reasons)}"
    )
    if others:
        cheap = others[0]
        text += f"; {cheap.posterior} has no such fault but is {_nats(differences[cheap.posterior])} worse"
    return text
