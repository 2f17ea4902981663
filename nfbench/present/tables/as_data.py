"""Tables beside published values that are compared as they are: ours, theirs, the difference and a verdict."""

from dataclasses import replace
from typing import Any

import pandas as pd

from nfbench.analysis.blocks import CONFIGURATION, Block, configuration_key, metrics
from nfbench.analysis.published import compare, contrasts, missing
from nfbench.analysis.summary import summary
from nfbench.present.tables.labels import budget, depth, marks, protocol, read, reasons, seeds, statistic
from nfbench.present.tables.render import NOTHING, Table, number
from nfbench.published.schema import Published
from nfbench.records.glossary import measure

_FEW = (
    "With two seeds the tests' degrees of freedom, Welch's, are too many where the paper's error is not small: what is "
    "meant to be 5 % can be 8 %."
)


def tables(block: Block, source: Published) -> list[Table]:
    """A block beside published values: each metric of the source, then differences of families at equal K.

    Args:
        block: our records.
        source: published values that are compared as they are.

    Returns:
        A table for each metric, then one for each family that others are subtracted from, where the source has any.
    """
    names = [name for name in source.metrics if name in metrics(block.rows)] or source.metrics[:1]
    first, *others = (_table(block, source, name) for name in names)
    panels = [first, *(panel._replace(protocol=f"{budget(block, source)} The rest as above.") for panel in others)]
    panels[-1] = panels[-1]._replace(notes=_notes(block, source))
    return [*panels, *_contrast(block, source)]


def _title(block: Block, source: Published) -> str:
    return replace(block, experiment=source.name).title


def _table(block: Block, source: Published, metric: str) -> Table:
    """One panel; a source of a single metric shows the block's other metrics beside it."""
    alone, known = len(source.metrics) == 1, metrics(block.rows)
    more = [name for name in known if name != metric] if alone else []
    shown = [name for name in (metric, *more) if name in known]
    targets = block.rows["target"].nunique() > 1
    comparisons = compare(block.rows, source).to_dict("records")
    compared = {configuration_key(row): row for row in comparisons if row["metric"] == metric}
    head = [*(["Target"] if targets else []), "Posterior", "K", *(measure(name).title for name in shown), "seeds"]
    head += ["the paper's" + (" (± s.e.)" if _has_bars(source) else ""), "ours less the paper's", "verdict"]
    rows, keys = [], []
    for row in summary(block.rows).to_dict("records"):
        cells = [*([row["target_label"]] if targets else []), row["label"], depth(row)]
        cells += [statistic(row, name) for name in shown]
        rows.append([*cells, seeds(row), *_comparison(compared.get(configuration_key(row)), source)])
        keys.append(configuration_key(row))
    for cited in source.cited:
        empty = [NOTHING] * (len(head) - 4 - targets)
        value = f"{cited.value:.2f}"
        rows.append([*([NOTHING] if targets else []), cited.label, *empty, value, NOTHING, f"cited: {cited.source}"])
        keys.append(())
    title = _title(block, source) + ("" if alone else f": {measure(metric).label}")
    best = marks(block, shown, keys, first=2 + targets)
    return Table(title, _protocol(block, source), head, rows, keys, [], leading=2 + targets, marks=best)


def _protocol(block: Block, source: Published) -> str:
    """How the numbers of both sides came about, and of which model they are."""
    targets = list(dict.fromkeys(block.rows["target"]))
    return f"{protocol(block, source)} Model: {'; '.join(targets)}."


def _has_bars(source: Published) -> bool:
    return any(row.bar is not None for row in source.rows)


def _comparison(row: dict[Any, Any] | None, source: Published) -> list[str]:
    if row is None:
        return [NOTHING] * 3
    theirs = f"{source.prefix} {row['paper']:.{source.decimals}f}".strip()
    if _has_bars(source):
        theirs += f" ± {row['paper_se']:.2f}"
    ours = statistic(row, "difference", sign="+")
    return [theirs + (" *" if row["hidden"] else ""), ours, row["words"]]


def _notes(block: Block, source: Published) -> list[str]:
    margins = ", ".join(f"{source.margin[name]:g} nats for {measure(name).label}" for name in source.metrics)
    notes = [
        f"The paper's: {source.source} ({read(source)}). {source.note}",
        f"Verdicts: two one-sided t-tests at 5 % with margin {margins}, not corrected for their number; the interval "
        f"of a difference has both sides' errors. {source.margin_reason}",
        *reasons(block, source),
    ]
    notes += [_FEW] if (block.rows.groupby(list(CONFIGURATION), dropna=False).size() == 2).any() else []
    absent = ", ".join(f"{point.posterior} K={point.K}" for point in missing(block.rows, source))
    notes += [f"Published, without a record here: {absent}."] if absent else []
    cited = (
        "Cited rows are what the paper's table says of others' work, with models of their own: nothing here is "
        "compared with them, rows of the same name neither."
    )
    return notes + ([cited] if source.cited else [])


def _contrast(block: Block, source: Published) -> list[Table]:
    """Every other family less the contrast family at equal K, for each of its metrics, with the paper's difference."""
    table = contrasts(block.rows, source)
    return [_less(rows, block, source) for _, rows in table.groupby("base", sort=False)] if len(table) else []


def _less(differences: pd.DataFrame, block: Block, source: Published) -> Table:
    """The differences to one family, whose label they have in common: a row a configuration."""
    base, names = differences["base"].iloc[0], list(differences["metric"].unique())
    head = ["Posterior", "K"]
    head += [
        part
        for name in names
        for part in (f"difference of {measure(name).title}", f"the paper's of {measure(name).label}")
    ]
    rows, keys = [], []
    for _, parts in differences.groupby([*CONFIGURATION], dropna=False, sort=False):
        configuration, by_metric = parts.iloc[0].to_dict(), parts.set_index("metric").to_dict("index")
        cells = [cell for name in names for cell in _difference(by_metric.get(name))]
        rows.append([configuration["label"], depth(configuration), *cells, str(parts["n"].max())])
        keys.append(configuration_key(configuration))
    beside = "both of two" if (differences["n"] == 2).all() else "their mean ± half its 95 % interval"
    how = f"Each family less {base} at equal K: differences seed by seed, {beside}."
    note = (
        f"Above 0, {base} is the better. The paper's: difference of two published means, ± its standard error, their "
        "errors taken as independent. No test is made."
    )
    title = f"{_title(block, source)}: against {base} at equal K"
    return Table(title, how, [*head, "pairs"], rows, keys, [note], leading=2)


def _difference(row: dict[Any, Any] | None) -> list[str]:
    if row is None:
        return [NOTHING] * 2
    theirs = NOTHING if pd.isna(row["paper"]) else f"{row['paper']:+.2f} ± {row['paper_se']:.2f}"
    return [statistic(row, "mean", sign="+"), theirs]


def remeasured(source: Published) -> list[Table]:
    """The values of others who repeated the published experiment, over K.

    Args:
        source: the published table or figure.

    Returns:
        One table, or none where nobody did.
    """
    if not source.remeasured:
        return []
    values_by_depth = [by_depth for repetition in source.remeasured for by_depth in repetition.values.values()]
    depths = sorted({depth for by_depth in values_by_depth for depth in by_depth})
    head = ["Who", "Posterior", "Metric", *(f"K={depth}" for depth in depths)]
    rows = []
    for repetition in source.remeasured:
        for metric, values in repetition.values.items():
            bars = repetition.bars.get(metric, {})
            cells = [_value(values.get(depth), bars.get(depth)) for depth in depths]
            rows.append([repetition.who, repetition.label, measure(metric).title, *cells])
    how = "The paper's experiment on the same data, as others repeated it: neither the paper's numbers nor ours."
    notes = list(dict.fromkeys(f"{by.who}: {by.source}." for by in source.remeasured))
    title = f"{source.name}: what others measured"
    return [Table(title, how, head, rows, [()] * len(rows), notes, leading=len(head))]


def _value(value: float | None, bar: float | None) -> str:
    return number(value, 2) + ("" if bar is None else f" ({bar:.2f})")
