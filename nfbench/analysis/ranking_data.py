"""A ranking of families as data that JSON can hold."""

import math
from collections.abc import Sequence
from typing import Any

from nfbench.analysis.ranking import DISAGREE, Candidate, Verdict, khat_text


def as_data(candidates: Sequence[Candidate], outcome: Verdict, margin: float) -> dict[str, Any]:
    """A verdict with its candidates as data that JSON can hold.

    Args:
        candidates: in the order of cost.
        outcome: of `verdict`.
        margin: in nats.

    Returns:
        Dictionaries, lists, texts and numbers; None in place of a number that is not finite.
    """
    rows = [_row(each, outcome) for each in candidates]
    facts = {"posterior": outcome.posterior, "trusted": outcome.posterior is not None, "sentence": outcome.sentence}
    data: dict[str, Any] = finite(facts | {"margin": margin, "disagree": DISAGREE, "candidates": rows})
    return data


def finite(value: Any) -> Any:
    """A structure with None in place of each number that is not finite.

    >>> finite({"a": [1.0, float("inf")]})
    {'a': [1.0, None]}

    Args:
        value: of dictionaries, lists, tuples and plain values.

    Returns:
        The same structure, tuples as lists.
    """
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _row(each: Candidate, outcome: Verdict) -> dict[str, Any]:
    difference = outcome.differences.get(each.posterior)
    energy = each.free_energy
    return {
        **{name: value for name, value in vars(each).items() if name not in ("restarts", "reference")},
        "free_energy": energy.mean,
        "free_energy_low": energy.low,
        "free_energy_high": energy.high,
        "difference": difference and difference.mean,
        "difference_low": difference and difference.low,
        "difference_high": difference and difference.high,
        "khat": each.khat,
        "khat_text": khat_text(each.khat),
        "trusted": each.trusted,
        "most_to_gain": each.most_to_gain,
        "reference_mean_error": each.reference and each.reference[0],
        "reference_log_sd_error": each.reference and each.reference[1],
        "remark": outcome.remarks.get(each.posterior, "; ".join(each.faults())),
        "restarts": [dict(vars(restart)) for restart in each.restarts],
    }
