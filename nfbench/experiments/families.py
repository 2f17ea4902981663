"""Every registered family by one word: what ``posteriors: [all]`` stands for in an experiment."""

from nfbench.specification.entry import Entry
from nfbench.specification.registry import Registry, posteriors
from nfbench.specification.spec import Spec, expand

ALL = "all"
_DEPTHS = {"coupling": 4, "autoregressive": 4}  # K of families with networks, whose maps cost much, by kind


def usual(entry: Entry) -> str:
    """The spec of a family with its defaults, but K = 4 where maps have networks.

    >>> usual(posteriors["realnvp"]), usual(posteriors["gaussian"])
    ('realnvp:K=4', 'gaussian')

    Args:
        entry: of a posterior family.

    Returns:
        A spec, not canonical.
    """
    kind = entry.declared.kind if entry.declared else "other"
    return f"{entry.name}:K={_DEPTHS[kind]}" if entry.has_depth and kind in _DEPTHS else entry.name


def expanded(registry: Registry, text: str) -> list[Spec]:
    """Expand a spec with its lists; of posteriors ``all`` stands for every registered family, as `usual` has it.

    >>> [str(spec) for spec in expanded(posteriors, "planar:K=2|8")]
    ['planar:K=2', 'planar:K=8']
    >>> len(expanded(posteriors, "all")) == len(posteriors.names())
    True

    Args:
        registry: of posteriors or targets.
        text: as an experiment has it.

    Returns:
        One spec for each combination.

    Raises:
        InputError: the text is no spec.
    """
    if registry is posteriors and text.strip() == ALL:
        return [spec for entry in posteriors for spec in expand(usual(entry))]
    return expand(text)
