"""The tables that an experiment has before the usual ones of every target."""

import pandas as pd

from nfbench.present.tables import shootout, variations
from nfbench.present.tables.render import Table
from nfbench.records.results import StoredResults
from nfbench.specification.choices import SHOOTOUT


def tables(results: StoredResults, rows: pd.DataFrame, name: str) -> list[Table]:
    """What variations move, and verdict, speed and quality of a shootout.

    Args:
        results: where curves and verdicts are.
        rows: records of the experiment only.
        name: of the experiment.

    Returns:
        No table for an experiment that is neither.
    """
    return variations.tables(rows) + (shootout.tables(results, rows) if name == SHOOTOUT else [])
