"""Whether a contender computes what all are asked for: without that, its time says nothing."""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from nfbench.records.timings import Agreement, Case
from nfbench.timing.contenders.contract import Contender, Inputs, Work

Outcome = Mapping[str, Tensor]

MARGIN = 10  # times the rounding errors of plain PyTorch
FEWEST = 10  # rounding errors that any outcome may have
LARGEST = 0.01  # relative deviation beyond which results are not the same, however ill-conditioned a case is
REQUIRED = {"inverse": ("log_q",), "step": ("loss",)}  # of a mode; the rest of the modes must give z and log_q


class Truth(NamedTuple):
    """The outcome in float64, and how far from it a contender of the case's dtype may be.

    Attributes:
        outcome: tensors by name, float64.
        tolerance: relative deviation that a contender may have.
    """

    outcome: Outcome
    tolerance: float


def truth(case: Case, inputs: Inputs, references: Iterable[Contender]) -> Truth | None:
    """What plain PyTorch gives in float64; None where no reference has the case's map and mode.

    The tolerance follows from how the case amplifies rounding: where plain PyTorch in float32 errs by c rounding units
    of float32, a contender may err by ``10 max(c, 10)`` units of its own dtype, and never by more than 0.01 (the
    tolerance too where plain PyTorch in float32 overflows).

    Args:
        case: what is timed.
        inputs: the same for every contender.
        references: contenders that may give the truth; the first that can does.

    Returns:
        The outcome and its tolerance.
    """
    for reference in references:
        exact = _outcome(reference, case, inputs, "float64")
        if exact is not None:
            single = _outcome(reference, case, inputs, "float32") or {}
            return Truth(exact, _tolerance(case, deviation(single, exact, tuple(exact))))
    return None


def _tolerance(case: Case, error: float) -> float:
    """From the relative error that plain PyTorch makes in float32."""
    amplified = error / torch.finfo(torch.float32).eps
    if math.isnan(amplified):
        return LARGEST
    return min(LARGEST, MARGIN * max(amplified, FEWEST) * torch.finfo(getattr(torch, case.dtype)).eps)


def agreement(case: Case, work: Work, true: Truth) -> Agreement | None:
    """How far a contender's outcome lies from the truth; None where it claims no outcome: a bound on others' times.

    Args:
        case: what is timed.
        work: of the contender.
        true: the reference's outcome.

    Returns:
        Error and tolerance.

    Raises:
        ValueError: the outcome names something that the truth does not have, so that nothing could check it.
    """
    got = work.outcome()
    if not got:
        return None
    unknown = sorted(set(got) - set(true.outcome))
    if unknown:
        raise ValueError(f"outcome {', '.join(unknown)}: expected among {', '.join(true.outcome)}")
    error = deviation(got, true.outcome, REQUIRED.get(case.mode, ("z", "log_q")))
    return Agreement(error=error, tolerance=true.tolerance)


def deviation(got: Outcome, wanted: Outcome, required: tuple[str, ...]) -> float:
    """Over all outputs the largest deviation relative to that output's largest value; NaN where that has no sense.

    Args:
        got: an outcome.
        wanted: the true one; what `got` leaves out is not compared.
        required: names that must be there.

    Returns:
        At least 0, or NaN.
    """
    if any(name not in got for name in required):
        return math.nan
    errors = [_relative(got[name], wanted[name]) for name in got]
    return math.nan if any(map(math.isnan, errors)) else max(errors, default=math.nan)


def _relative(got: Tensor, wanted: Tensor) -> float:
    if got.shape != wanted.shape:
        return math.nan
    if not wanted.numel():
        return 0.0
    wanted = wanted.detach().double().cpu()
    difference = float((got.detach().double().cpu() - wanted).abs().max())
    scale = float(wanted.abs().max())
    if difference == 0 and math.isfinite(scale):
        return 0.0
    return difference / scale if scale > 0 else math.nan


def _outcome(reference: Contender, case: Case, inputs: Inputs, dtype: str) -> dict[str, Tensor] | None:
    work = reference.work(case.model_copy(update={"dtype": dtype}), inputs)
    return None if work is None else {name: value.detach().clone() for name, value in work.outcome().items()}
