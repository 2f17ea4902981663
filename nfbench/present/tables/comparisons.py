"""Tables of who beats whom: each configuration against one posterior, and a ranking over targets."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pandas as pd

from nfbench.analysis.blocks import BLOCK, Block, blocks, configuration_key
from nfbench.analysis.comparison import MARGIN, comparisons
from nfbench.analysis.overall import left_out, overall
from nfbench.analysis.refuted import REASON, refuted
from nfbench.analysis.scores import metric_of
from nfbench.foundation.errors import InputError
from nfbench.present.tables.compared import Compared
from nfbench.present.tables.labels import budget, depth, statistic
from nfbench.present.tables.render import NOTHING, Table, number
from nfbench.records.glossary import measure

_MANY = 0.0005  # p-values below are not told apart
_MOST = 300  # configurations that a report compares one by one; the commands compare any number
_MOST_RANKED = 60  # posteriors that it ranks


def against(frame: pd.DataFrame, posterior: str, metric: str | None = None, margin: float = MARGIN) -> Compared:
    """Every configuration against one posterior, or against the members of a family at equal K.

    Args:
        frame: a table of records of one experiment.
        posterior: spec of a posterior, or of a family.
        metric: name of the metric; None for the one that ranks.
        margin: in the metric's unit, the difference that matters.

    Returns:
        One table for each block that has such a posterior beside others.

    Raises:
        InputError: no block has the posterior or the metric, or the margin is no positive number.
    """
    if not 0 < margin < float("inf"):
        raise InputError(f"margin {margin:g}: expected a number above 0, in the metric's unit, such as {MARGIN:g}")

    def compare(block: Block) -> tuple[Table, pd.DataFrame] | None:
        name = metric_of(block, metric)
        table = comparisons(block, name, posterior, margin)
        return None if table.empty else (against_table(block, table, name, margin), table)

    return _compared(frame, compare, f"nothing beside {posterior!r} to compare with it")


def ranking(
    frame: pd.DataFrame, metric: str | None = None, targets: str = "fixed", posterior: str | None = None
) -> Compared:
    """The posteriors of an experiment, ranked over its targets.

    Args:
        frame: a table of records of one experiment.
        metric: name of the metric; None for the one that ranks.
        targets: ``fixed``: the intervals hold for these targets; ``random``: for others like them.
        posterior: spec of a posterior that the others are compared with; None: the first of the ranking.

    Returns:
        One table for each block with at least two posteriors that have a run on every target.

    Raises:
        InputError: as of `nfbench.analysis.overall.overall`, or there is nothing to rank.
    """

    def rank(block: Block) -> tuple[Table, pd.DataFrame] | None:
        name = metric_of(block, metric)
        table = overall(block, name, targets, posterior)
        if len(table) < 2:
            return None
        names: dict[str, Any] = {column: getattr(block, column) for column in BLOCK}
        return ranking_table(block, table, name, targets), table.assign(**names)

    return _compared(frame, rank, "fewer than two posteriors that have a run on every target")


def _compared(
    frame: pd.DataFrame, compare: Callable[[Block], tuple[Table, pd.DataFrame] | None], nothing: str
) -> Compared:
    """The comparison of every block; a block that has not what is compared is passed over while another has it."""
    tables, parts, error = [], [], None
    for block in blocks(frame):
        try:
            part = compare(block)
        except InputError as lacking:
            error = lacking
            continue
        if part:
            tables.append(part[0])
            parts.append(part[1])
    if parts:
        return Compared(tables, pd.concat(parts, ignore_index=True))
    raise error or InputError(f"the records of {', '.join(frame['experiment'].unique())} have {nothing}")


def against_table(block: Block, table: pd.DataFrame, metric: str, margin: float) -> Table:
    """Differences to a posterior with their tests.

    Args:
        block: the records.
        table: of `nfbench.analysis.comparison.comparisons`, at least one row.
        metric: its name.
        margin: in the metric's unit.

    Returns:
        One row a target and posterior.
    """
    title, unit = measure(metric).title, measure(metric).unit
    bases = list(dict.fromkeys(table["base"]))
    where = "the same target" if block.rows["target"].nunique() > 1 else block.rows["target_label"].iloc[0]
    several = ["Target"] if block.rows["target"].nunique() > 1 else []
    head = [*several, "Posterior", "K", f"difference of {title}", "P(better)", "p (Holm)", "p (within)"]
    head += ["Bayes: better, within, worse", "pairs", "verdict"]
    rows = []
    for row in table.to_dict("records"):
        names = [*([row["target_label"]] if several else []), row["label"], depth(row)]
        tests = [number(row["improvement"], 2), p_value(row["p_holm"]), p_value(row["p_within"]), _shares(row)]
        rows.append([*names, statistic(row, "mean", sign="+"), *tests, _pairs(row), row["verdict"]])
    base = bases[0] if len(bases) == 1 else f"{bases[0].partition(':')[0]} at equal K"
    protocol = f"{budget(block)} Each configuration less {base} on {where}, seed by seed; ± is half the 95 % interval."
    notes = [
        "p (Holm): two-sided paired t-test, signed-rank test where a seed diverged, adjusted by Holm's method over "
        f"the {int(table['p'].notna().sum())} tests of this table. p (within): two one-sided t-tests that the "
        f"difference lies within ± {margin:g} {unit}, not adjusted.".replace("  ", " "),
        "P(better): probability that a run is better than one of the other side; a diverged run is worse than any. "
        f"Bayes: signed-rank test with the same margin of {margin:g} {unit}; the shares add up to 1.".replace(
            " ;", ";"
        ),
        f"Seeds needed: so many find a difference of {margin:g} {unit} in this table with probability 80 %.",
    ]
    notes += _refuted_note(block)
    keys = [configuration_key(row) for row in table.to_dict("records")]
    return Table(f"{block.title}: against {base}", protocol, head, rows, keys, notes, leading=2 + len(several))


def ranking_table(block: Block, table: pd.DataFrame, metric: str, targets: str) -> Table:
    """A ranking over targets.

    Args:
        block: the records.
        table: of `nfbench.analysis.overall.overall`, at least one row.
        metric: its name.
        targets: ``fixed`` or ``random``.

    Returns:
        One row a posterior, the best first.
    """
    number_of, base = block.rows["target"].nunique(), table.iloc[0]["base"]
    first = table[table["posterior"] == base].iloc[0].to_dict()
    name = str(first["label"]) + ("" if depth(first) == NOTHING else f" K={depth(first)}")
    head = ["Posterior", "K", "mean rank", f"IQM of {measure(metric).title}", "interval", f"P(better than {name})"]
    head += ["p (Holm)", "runs"]
    rows = []
    for row in table.to_dict("records"):
        cells = [row["label"], depth(row), number(row["rank"], 2), _mean(row["iqm"])]
        cells += [_ends(row, "iqm", 3), number(row["improvement"], 2) + _ends(row, "improvement", 2, before=" ")]
        lost = f" ({row['diverged']} diverged)" if row["diverged"] else ""
        rows.append([*cells, p_value(row["p_holm"]), f"{row['runs']}{lost}"])
    meant = "these targets" if targets == "fixed" else "targets like these"
    protocol = f"{budget(block)} Over {number_of} target{'' if number_of == 1 else 's'}; intervals of 95 % for {meant}."
    notes = [
        f"Mean rank over {'targets and seeds' if targets == 'fixed' else 'targets'}, 1 the best. IQM: mean of the "
        "middle half of all runs, as excess over the best mean of each target where 0 is not the least value. "
        "A diverged run is worse than any.",
        "p (Holm): signed-rank tests of all pairs of posteriors over "
        f"{'targets and seeds' if targets == 'fixed' else 'the means of targets'}, adjusted by Holm's method.",
    ]
    missing = left_out(block, metric)
    notes += [f"Left out, as they have no run on some target: {', '.join(missing)}."] if missing else []
    notes += _refuted_note(block)
    if number_of == 1:
        notes.append("With one target its own table against a posterior says more: nfbench table --against.")
    keys = [("ranking", *_names(block), str(row["posterior"])) for row in table.to_dict("records")]
    return Table(f"{block.title}: ranking", protocol, head, rows, keys, notes, leading=2)


def of_report(block: Block) -> list[Table]:
    """What a report says of who beats whom: the ranking where there are several targets, then all against the first.

    Args:
        block: the records.

    Returns:
        No table for a block of fewer than two posteriors, without a metric that ranks, or too large to be read.
    """
    configurations = block.rows[["target", "posterior"]].drop_duplicates()
    if configurations["posterior"].nunique() > _MOST_RANKED:
        return []
    try:
        metric = metric_of(block, None)
    except InputError:
        return []
    ranked = overall(block, metric)
    if len(ranked) < 2:
        return []
    tables = []
    if block.rows["target"].nunique() > 1:
        table = ranking_table(block, ranked, metric, "fixed")
        tables.append(table._replace(keys=[()] * len(table.rows)))
    if len(configurations) <= _MOST:
        pairs = comparisons(block, metric, ranked.iloc[0]["posterior"])
        tables.append(against_table(block, pairs, metric, MARGIN)._replace(folded=True))
    return tables


def p_value(value: float | None) -> str:
    """A p-value as text.

    Args:
        value: None or NaN for none.

    Returns:
        Three decimals; a dash where there is no test.

    >>> p_value(0.0312), p_value(1e-9), p_value(None)
    ('0.031', '<0.001', '—')
    """
    return "<0.001" if value is not None and value < _MANY else number(value)


def _refuted_note(block: Block) -> list[str]:
    """What a comparison says of posteriors that verdicts keep out of it, in one sentence or none."""
    names = refuted(block)
    return [f"Left out, as {REASON}: {', '.join(names)}."] if names else []


def _names(block: Block) -> Iterable[str]:
    return ("" if getattr(block, name) is None else str(getattr(block, name)) for name in BLOCK)


def _mean(value: float) -> str:
    return number(value) if value < float("inf") else "diverged"


def _ends(row: dict[Any, Any], name: str, decimals: int, before: str = "") -> str:
    """The interval of a column in brackets; a dash, or nothing behind a value, where there is none."""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    if low is None or pd.isna(low):
        return "" if before else NOTHING
    return f"{before}[{low:.{decimals}f}, {high:.{decimals}f}]"


def _shares(row: dict[Any, Any]) -> str:
    shares: Sequence[float] = [row[f"prob_{name}"] for name in ("better", "within", "worse")]
    return NOTHING if pd.isna(shares[0]) else " / ".join(f"{share:.2f}" for share in shares)


def _pairs(row: dict[Any, Any]) -> str:
    return str(row["pairs"]) + (f" ({row['diverged']} diverged)" if row["diverged"] else "")
