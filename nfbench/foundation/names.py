"""Names that nobody knows: one message for all of them, with the names that were probably meant."""

import difflib
import re
from collections.abc import Iterable

from nfbench.foundation.errors import InputError

_LEAST_LIKENESS = 0.6  # of two texts, between 0 and 1, as `difflib` has it by default
_MOST = 3  # suggestions in a message
_PARTS = re.compile(r"[.:]")


def suggestions(name: str, known: Iterable[str]) -> list[str]:
    """The known names that are most like `name`, the nearest first, at most three.

    Case does not count. A known name is compared as a whole and part by part, parts being divided by dots and colons;
    where a whole or a part is `name` itself, only such names are suggested. A name of one part hides longer ones that
    are as like.

    Args:
        name: what somebody wrote.
        known: names that there are.

    >>> suggestions("plnar", ["planar", "radial"])
    ['planar']
    >>> suggestions("updates", ["seeds", "training.updates", "training.anneal_updates"])
    ['training.updates']
    >>> suggestions("mnsit", ["mnist:dynamic", "digits"])
    ['mnist:dynamic']
    >>> suggestions("plnar", ["pyro:planar", "planar"])
    ['planar']

    Returns:
        At most three of the known names.
    """
    likeness = {candidate: _likeness(name.lower(), candidate.lower()) for candidate in known}
    least = 1.0 if 1.0 in likeness.values() else _LEAST_LIKENESS
    near = [candidate for candidate, value in likeness.items() if value >= least]
    whole = {likeness[candidate] for candidate in near if not _PARTS.search(candidate)}
    near = [each for each in near if likeness[each] not in whole or not _PARTS.search(each)]
    return sorted(near, key=lambda candidate: -likeness[candidate])[:_MOST]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message after its semicolon: a question, or nothing where no known name is like `name`.

    Args:
        name: what somebody wrote.
        known: names that there are.

    >>> did_you_mean("plnar", ["planar", "radial"])
    ' did you mean planar?'
    >>> did_you_mean("xyz", ["planar", "radial"])
    ''

    Returns:
        With a blank before it, or empty.
    """
    near = suggestions(name, known)
    return f" did you mean {' or '.join(near)}?" if near else ""


def unknown(
    kind: str, name: str, known: Iterable[str], *, like: str | None = None, place: str = "", note: str = ""
) -> InputError:
    """The error for a name that is not known; the caller raises it.

    Args:
        kind: what the name should be of, such as ``posterior``.
        name: what somebody wrote.
        known: names that there are.
        like: what to look for among the known names instead of `name`, where the world has another word for it.
        place: after the name, such as `` in experiment figure3``.
        note: after the known names, such as ``, or a .yaml file``.

    >>> str(unknown("posterior", "plnar", ["planar", "radial"]))
    "no posterior named 'plnar'; did you mean planar? known: planar, radial"

    Returns:
        One line.
    """
    names = list(known)
    question = did_you_mean(name if like is None else like, names)
    return InputError(f"no {kind} named {name!r}{place};{question} known: {', '.join(names) or 'none'}{note}")


def _likeness(name: str, candidate: str) -> float:
    """Of the whole candidate or of its likest part, between 0 and 1."""
    texts = {candidate, *_PARTS.split(candidate)}
    return max(difflib.SequenceMatcher(None, text, name).ratio() for text in texts)
