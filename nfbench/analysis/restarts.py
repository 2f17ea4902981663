"""How far the stored seeds of a configuration are from each other: in the moments of q, and in free energy."""

from typing import Any

import pandas as pd

from nfbench.analysis.agreement import agreement
from nfbench.analysis.blocks import CONFIGURATION, FACTS, Block, groups
from nfbench.foundation.errors import InputError
from nfbench.records.results import StoredResults

MOMENTS = ("posterior_mean", "posterior_sd")  # arrays of a record: mean and sd of q in each coordinate, (D,)


def restarts(results: StoredResults, block: Block) -> pd.DataFrame:
    """Compare the seeds of every configuration with each other.

    Args:
        results: where the arrays are.
        block: the records of a table.

    Returns:
        One row a configuration with at least two seeds whose moments are stored: the columns of `CONFIGURATION` and of
        `FACTS`; ``seeds``, of all; ``compared``, those with moments; ``diverged``; ``moments`` and ``free_energy``, the
        largest differences as of `nfbench.analysis.agreement.Agreement`.
    """
    rows: list[dict[str, Any]] = []
    if not block.has("free_energy"):
        return pd.DataFrame(rows)
    for names, cells in groups(block.rows, CONFIGURATION):
        done = cells[(cells["status"] == "done") & cells["free_energy"].notna()]
        stored = [(_moments(results, row), float(row["free_energy"])) for row in done.to_dict("records")]
        known = [(moments, value) for moments, value in stored if moments is not None]
        if len(known) < 2:
            continue
        means, sds = zip(*(moments for moments, _ in known), strict=True)
        apart = agreement(means, sds, [value for _, value in known])
        counts = {"seeds": len(cells), "compared": len(known), "diverged": int((cells["status"] == "diverged").sum())}
        facts = {str(name): value for name, value in cells[[*FACTS]].iloc[0].items()}
        rows.append({**names, **facts, **counts, **apart._asdict()})
    return pd.DataFrame(rows)


def _moments(results: StoredResults, row: dict[Any, Any]) -> tuple[Any, Any] | None:
    """Mean and sd of q; None where they are not stored, or cannot be read."""
    if not set(MOMENTS) <= set(results.record(row).arrays or ()):
        return None
    try:
        arrays = results.arrays(row)
    except InputError:
        return None
    mean, sd = (arrays[name] for name in MOMENTS)
    return mean, sd
