"""What ``nfbench verify`` found of families, and what each of them cannot do, from stored verdicts."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pandas as pd

from nfbench.foundation.errors import InputError
from nfbench.present.tables.compared import Compared
from nfbench.present.tables.render import NOTHING, Table, number
from nfbench.records.glossary import ABILITIES
from nfbench.records.verdicts import StoredVerdict
from nfbench.specification.choices import VERDICTS

COMMAND = "nfbench verify --libraries --results FOLDER"  # writes what this table shows
PASSED = "passed"
_HEAD = ["Posterior", "verdict", "Failed checks", "Cannot", "Cannot be checked", "s"]


def compared(stored: Iterable[StoredVerdict]) -> Compared:
    """The verdicts on families.

    Args:
        stored: one a family.

    Returns:
        One table, and a row of data for each family: spec, library, what failed and what it lacks, versions.

    Raises:
        InputError: there is none.
    """
    verdicts = list(stored)
    if not verdicts:
        raise InputError(f"no stored verdicts; expected what '{COMMAND}' writes")
    return Compared([table(verdicts)], pd.DataFrame([_data(verdict) for verdict in verdicts]))


def table(verdicts: list[StoredVerdict]) -> Table:
    """What families cannot do, each sentence from what a check or a trial found.

    Args:
        verdicts: at least one.

    Returns:
        A row for each, whose key is its label.
    """
    usual = _usual(verdicts)
    rows = [
        [
            verdict.label,
            words(verdict),
            ", ".join(verdict.with_status("fail")) or NOTHING,
            ", ".join(ABILITIES[ability] for ability in verdict.lacking) or NOTHING,
            ", ".join(
                [name for name in verdict.with_status("does not apply") if name in usual]
                + [f"{name} (no end)" for name in verdict.with_status("not decided")]
            )
            or NOTHING,
            number(verdict.seconds, 1),
        ]
        for verdict in verdicts
    ]
    passed = sum(words(verdict) == PASSED for verdict in verdicts)
    title = f"What families cannot do: {passed} of {len(verdicts)} pass every check of nfbench verify"
    keys: list[tuple[str, ...]] = [(verdict.label,) for verdict in verdicts]
    notes = [
        "A check that fails shows one point or one set of parameters at which a claim does not hold; it may be one "
        "that no training meets. nfbench verify SPEC prints it as code, and says what each check proves.",
        "Cannot be checked: of the checks that apply to most of these families, those that do not apply to this one; "
        "no end: not decided within the time that the command gave.",
        "Cannot: tried with the family as it is registered in nfbench; the library may have more than nfbench uses.",
    ]
    return Table(title, protocol(verdicts), _HEAD, rows, keys, notes, leading=1)


def _usual(verdicts: list[StoredVerdict]) -> set[str]:
    """The checks that apply to at least half of the families."""
    absent = Counter(name for verdict in verdicts for name in verdict.with_status("does not apply"))
    return {checked.check for verdict in verdicts for checked in verdict.checks} - {
        name for name, count in absent.items() if count > len(verdicts) / 2
    }


def words(verdict: StoredVerdict | None) -> str:
    """A verdict in two words.

    Args:
        verdict: None where none is stored.

    Returns:
        ``passed``, ``2 failed``, ``3 not decided``, ``2 failed, 3 not decided`` or ``not verified``; ``refuted`` before
        what failed where F is no bound.
    """
    if verdict is None:
        return "not verified"
    failed, undecided = (len(verdict.with_status(status)) for status in ("fail", "not decided"))
    parts = ["refuted"] * verdict.refuted + [f"{failed} failed"] * bool(failed)
    parts += [f"{undecided} not decided"] * bool(undecided)
    return ", ".join(parts) or PASSED


def protocol(verdicts: Iterable[StoredVerdict]) -> str:
    """Where verdicts come from, in a sentence.

    Args:
        verdicts: at least one.

    Returns:
        Dates, D, the length of the searches, and the versions of nfbench and torch.
    """
    known = list(verdicts)
    days = sorted({verdict.finished[:10] for verdict in known})
    dims = sorted({dim for verdict in known for dim in verdict.examined.dims})
    kinds = sorted({verdict.examined.strict for verdict in known})
    effort = " and ".join("strict" if strict else "usual" for strict in kinds)
    places = sorted({f"{verdict.examined.dtype} on {verdict.examined.device}" for verdict in known})
    versions = sorted({_version(verdict) for verdict in known})
    span = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    return (
        f"Verdicts of {span}, D = {', '.join(map(str, dims))}, {effort} searches, {', '.join(places)}; "
        f"{'; '.join(versions)}."
    )


def _version(verdict: StoredVerdict) -> str:
    facts = verdict.provenance
    revision = facts.get("revision")
    at = f" at {revision[:10]}" if revision else ""
    return f"nfbench {facts.get('nfbench')}{at}, torch {facts.get('libraries', {}).get('torch')}"


def _data(verdict: StoredVerdict) -> dict[str, Any]:
    facts = verdict.provenance
    return {
        "posterior": verdict.examined.posterior,
        "label": verdict.label,
        "kind": verdict.kind,
        "library": verdict.examined.library,
        "dims": " ".join(map(str, verdict.examined.dims)),
        "strict": verdict.examined.strict,
        "verdict": words(verdict),
        "failed": "; ".join(verdict.with_status("fail")),
        "cannot": "; ".join(f"{ABILITIES[name]} ({why})" for name, why in verdict.lacking.items()),
        "does_not_apply": "; ".join(verdict.with_status("does not apply")),
        "not_decided": "; ".join(verdict.with_status("not decided")),
        "seconds": verdict.seconds,
        "finished": verdict.finished,
        "nfbench": facts.get("nfbench"),
        "revision": facts.get("revision"),
        "table": VERDICTS,
    }
