"""The table of restarts: how far the seeds of a configuration are from each other."""

import pandas as pd

from nfbench.analysis.blocks import Block, blocks, configuration_key
from nfbench.analysis.ranking import DISAGREE
from nfbench.analysis.restarts import restarts
from nfbench.foundation.errors import InputError
from nfbench.present.tables.compared import Compared
from nfbench.present.tables.labels import budget, depth
from nfbench.present.tables.render import Table, number
from nfbench.records.results import StoredResults


def restarts_table(results: StoredResults, frame: pd.DataFrame) -> Compared:
    """The restarts of an experiment beside each other.

    Args:
        results: where the arrays are.
        frame: a table of records of one experiment.

    Returns:
        One table for each block whose records keep the moments of q, and the data.

    Raises:
        InputError: no block has two seeds of a configuration with moments.
    """
    compared = [(block, restarts(results, block)) for block in blocks(frame)]
    compared = [(block, data) for block, data in compared if len(data)]
    if not compared:
        name = frame["experiment"].iloc[0]
        raise InputError(
            f"the records of {name} keep no moments of q of two seeds; expected a target that is a density"
        )
    return Compared([_table(*each) for each in compared], pd.concat([data for _, data in compared], ignore_index=True))


def _table(block: Block, data: pd.DataFrame) -> Table:
    """One row a configuration."""
    rows = []
    for row in data.to_dict("records"):
        names = [row["target_label"], row["label"], depth(row)]
        apart = [number(row["moments"], 2), number(row["free_energy"]), _verdict(row)]
        rows.append([*names, *apart, str(row["compared"]), str(row["diverged"])])
    head = ["Target", "Posterior", "K", "moments apart (sd)", "F apart (nats)", "restarts", "seeds", "diverged"]
    notes = [
        "Moments apart: the largest difference of two seeds in any coordinate, of the mean of q in standard "
        "deviations, or of the logarithm of its sd. F apart: the largest less the smallest free energy.",
        f"Restarts disagree where moments are more than {DISAGREE:g} apart, as in 'nfbench choose'. Agreement is no "
        "proof: all may have missed the same mode.",
    ]
    keys = [configuration_key(row) for row in data.to_dict("records")]
    return Table(f"{block.title}: restarts", budget(block), head, rows, keys, notes, leading=3, folded=True)


def _verdict(row: dict[object, object]) -> str:
    if row["diverged"]:
        return "some diverged"
    return "agree" if float(str(row["moments"])) <= DISAGREE else "disagree"
