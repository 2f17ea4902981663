"""What the picture of posteriors and targets says in words: who leads, and what its colours, sizes and boxes mean."""

from collections.abc import Sequence

from nfbench.analysis.blocks import Block
from nfbench.analysis.overview import EXCESS, FLOOR_UNITS, OWN_UNITS, Overview
from nfbench.analysis.summary import FEWEST
from nfbench.present.plots.style import title
from nfbench.records.glossary import measure

_NAMED = 3  # posteriors in a sentence


def unit(shown: Overview) -> str:
    """What the colours are of.

    Args:
        shown: of a block.

    Returns:
        The label of the scale.
    """
    if shown.unit == FLOOR_UNITS:
        return "error, times the floor"
    names = dict.fromkeys(shown.metrics.values())
    what = measure(next(iter(names))).title if len(names) == 1 else "nats"
    return what if shown.unit == OWN_UNITS else f"{what}, above the best of the target"


def caption(block: Block, shown: Sequence[Overview]) -> str:
    """The text under the picture, which is its text alternative too.

    Args:
        block: the records.
        shown: its overviews, at least one.

    Returns:
        Who leads, what colour, size and boxes mean, and the protocol.
    """
    first = shown[0]
    text = (
        f"{len(first.posteriors)} posteriors on {len(first.targets)} target{'' if len(first.targets) == 1 else 's'}. "
    )
    text += " ".join(leading(each, names(block), alone=len(shown) == 1) for each in shown)
    labels = list(dict.fromkeys(measure(name).label for each in shown for name in each.metrics.values()))
    text += f" Colour: {' and '.join(labels)}, bright is good; "
    text += {
        FLOOR_UNITS: "1 is the distance between two halves of the target's own draws, as good as can be seen",
        OWN_UNITS: "0 is exact",
        EXCESS: "counted from the best mean of the target",
    }[first.unit]
    what = "training" if first.timed == "training" else "training and evaluation"
    text += f". Size: seconds of a seed's {what}. "
    text += "Box with a star: the best mean of a target; thin box: its difference to the best, paired by seed, has a "
    text += "95 % interval that contains 0, not corrected for the number of posteriors"
    few = int(first.runs.max(initial=0)) < FEWEST
    text += f" (with fewer than {FEWEST} seeds nothing is tied). " if few else ". "
    if any(each.lost.any() for each in shown):
        text += "Cross: seeds that are not done, large where none is. "
    if any(each.wrong.any() for each in shown):
        text += "Exclamation mark: a divergence below 0, or nfbench verify refuted the posterior: ln q is wrong. "
    return f"{text}Posteriors are grouped by kind. {block.protocol}."


def names(block: Block) -> dict[str, str]:
    """What the posteriors of a block are called.

    Args:
        block: the records.

    Returns:
        By spec the label, with K where the family has maps.
    """
    return {row["posterior"]: title(row) for row in block.rows.drop_duplicates("posterior").to_dict("records")}


def leading(shown: Overview, called: dict[str, str], *, alone: bool) -> str:
    """Who is the best or tied with it on the most targets, in a sentence.

    Args:
        shown: of a block.
        called: what its posteriors are called, by spec.
        alone: whether the block has one overview, so that its metric need not be named.

    Returns:
        The sentence; empty where nothing is compared.
    """
    led = shown.leaders()
    if not led:
        return ""
    of = "" if alone else f"by {measure(next(iter(shown.metrics.values()))).label}, "
    num = len(shown.targets)
    if num == 1:
        best = next(posterior for posterior, count, _ in led if count)
        tied = [called[posterior] for posterior, count, _ in led if not count]
        few = int(shown.runs[shown.runs > 0].min(initial=FEWEST)) < FEWEST
        none = f"with fewer than {FEWEST} seeds nothing can be tied" if few else "nothing is tied with it"
        rest = f"; tied with it: {_some(tied)}" if tied else f"; {none}"
        text = f"{of}the best is {called[best]}{rest}."
    else:
        most = [f"{called[posterior]} on {either} of {num}" for posterior, _, either in led]
        text = f"{of}best or tied with the best on the most targets: {_some(most)}."
    return text[0].upper() + text[1:]


def _some(texts: list[str]) -> str:
    more = len(texts) - _NAMED
    return ", ".join(texts[:_NAMED]) + (f" and {more} more" if more > 0 else "")
