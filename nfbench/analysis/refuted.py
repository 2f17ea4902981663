"""Which posteriors ``nfbench verify`` refuted: their ln q is not the density of their draws, and their F is no bound.

They are shown in tables with what they reached, but neither ranked nor compared with others.
"""

from dataclasses import replace

from nfbench.analysis.blocks import Block
from nfbench.foundation.errors import InputError

REASON = "nfbench verify found that ln q is not the density of the draws, so that F is no bound"


def refuted(block: Block) -> list[str]:
    """The posteriors of a block that a stored verdict refuted.

    Args:
        block: the records of a table.

    Returns:
        Their specs, in the order of the records.
    """
    if "refuted" not in block.rows:  # a column where there is one
        return []
    return [str(spec) for spec in block.rows.loc[block.rows["refuted"], "posterior"].unique()]


def trusted(block: Block) -> Block:
    """The part of a block that can be ranked.

    Args:
        block: the records of a table.

    Returns:
        The records of all other posteriors.
    """
    return replace(block, rows=block.rows[~block.rows["posterior"].isin(refuted(block))])


def check_trusted(block: Block, posterior: str) -> None:
    """Refuse a posterior that others would be compared with.

    Args:
        block: the records of a table.
        posterior: its spec.

    Raises:
        InputError: it was refuted.
    """
    if posterior in refuted(block):
        raise InputError(f"posterior {posterior!r}: {REASON}; expected another one to compare with")
