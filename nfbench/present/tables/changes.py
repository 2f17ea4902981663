"""The table of what changed between two folders of results."""

from collections.abc import Sequence

from nfbench.analysis.changes import BEYOND, Change
from nfbench.present.tables.comparisons import p_value
from nfbench.present.tables.render import Table, significant
from nfbench.records.glossary import measure

_DIGITS = 4


def changes_table(changes: Sequence[Change], left: str, right: str, tests: int) -> Table:
    """Changes of metrics with their tests.

    Args:
        changes: at least one.
        left: name of the first folder.
        right: name of the second.
        tests: changes over which the p-values are adjusted.

    Returns:
        One row a configuration and metric, those beyond noise first.
    """
    rows = []
    has_moved = any(change.fields for change in changes)
    for change in sorted(changes, key=lambda change: change.verdict not in BEYOND):
        cell, difference = change.cell, change.difference
        name = f"{cell.experiment} {cell.profile}"
        shown = [significant(change.left, _DIGITS), significant(change.right, _DIGITS), _signed(change)]
        tested = [p_value(change.p_holm), f"{change.beyond} of {difference.n}"]
        row = [name, cell.target, cell.name, measure(change.metric).title, change.verdict, *shown, *tested]
        rows.append([*row, "; ".join(change.fields) or "the same"] if has_moved else row)
    head = ["Experiment", "Target", "Posterior", "Metric", "verdict", "before", "after", "difference", "p (Holm)"]
    head += ["beyond error", *["configuration"] * has_moved]
    protocol = "What differs beyond noise is better, worse or changed; for the rest the seeds at hand show no change."
    notes = [
        "difference: after less before, paired by seed, with half its 95 % interval. p (Holm): paired t-test over "
        f"seeds, adjusted over {tests} changes. beyond error: seeds whose difference is more than 1.96 of its "
        "Monte-Carlo standard errors.",
    ]
    return Table(f"{left} -> {right}", protocol, head, rows, [()] * len(rows), notes, leading=4)


def _signed(change: Change) -> str:
    difference = change.difference
    if difference.mean is None:
        return ""
    text = f"{'+' * (difference.mean > 0)}{significant(difference.mean, 3)}"
    if difference.low is None or difference.high is None:
        return text
    return f"{text} ± {significant((difference.high - difference.low) / 2, 2)}"
