"""Every registered family by one word: what ``posteriors: [all, libraries]`` stands for in an experiment."""

from collections.abc import Sequence

from nfbench.specification.entry import Choice, Entry
from nfbench.specification.registry import Registry, posteriors
from nfbench.specification.spec import Spec, expand, first_separator

ALL = "all"  # that no other library computes
LIBRARIES = "libraries"  # that libraries compute which are installed here
_DEPTHS = {"coupling": 4, "autoregressive": 4}  # K of families with networks, whose maps cost much, by kind


def usual(entry: Entry) -> str:
    """The spec of a family with its defaults, but K = 4 for couplings and autoregressive flows.

    >>> usual(posteriors["realnvp"]), usual(posteriors["gaussian"])
    ('realnvp:K=4', 'gaussian')

    Args:
        entry: of a posterior family.

    Returns:
        A spec, not canonical.
    """
    kind = entry.declared.kind if entry.declared else "other"
    return (
        f"{entry.name}{first_separator(entry.name)}K={_DEPTHS[kind]}"
        if entry.has_depth and kind in _DEPTHS
        else entry.name
    )


def expanded(registry: Registry, text: str) -> list[Spec]:
    """Expand a spec with its lists, and the two words that stand for families, each as `usual` has it.

    Of posteriors ``all`` is every registered one that no other library computes, ``libraries`` every one of a library
    that is installed.

    >>> [str(spec) for spec in expanded(posteriors, "planar:K=2|8")]
    ['planar:K=2', 'planar:K=8']
    >>> {str(spec) for spec in expanded(posteriors, "all")} >= {"gaussian", "planar", "realnvp:K=4"}
    True

    Args:
        registry: of posteriors or targets.
        text: as an experiment has it.

    Returns:
        One spec for each combination.

    Raises:
        InputError: the text is no spec.
    """
    word = text.strip() if registry is posteriors else ""
    if word == ALL:
        entries = [entry for entry in posteriors if entry.library is None]
    elif word == LIBRARIES:
        entries = [entry for entry in posteriors if entry.library is not None and entry.installed]
    else:
        return expand(text)
    return [spec for entry in entries for spec in expand(usual(entry))]


def choices(registry: Registry, texts: Sequence[str]) -> dict[str, Choice]:
    """The entries that specs name, with their options.

    >>> list(choices(posteriors, ["planar:K=2|8", "planar:K=2"]))
    ['planar:K=2', 'planar:K=8']

    Args:
        registry: of posteriors or targets.
        texts: specs as an experiment has them, with lists.

    Returns:
        Canonical spec -> choice, in order, each once.

    Raises:
        InputError: an unknown name or option.
    """
    specs: list[Spec] = [spec for text in texts for spec in expanded(registry, text)]
    return {str(choice): choice for choice in (registry.choose(spec) for spec in specs)}
