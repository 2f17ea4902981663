"""Tables as data: every statistic of an experiment and every published number beside it, for CSV and JSON."""

from typing import Any

import pandas as pd

from nfbench.analysis.blocks import CONFIGURATION, configuration_key
from nfbench.analysis.published import compare
from nfbench.analysis.summary import summary
from nfbench.published.catalogue import published
from nfbench.published.schema import Published

_WHOLE = {
    *("K", "seeds", "done", "diverged", "failed", "interrupted", "num_params"),
    *("updates", "importance_draws", "long_draws", "long_points"),
}
_COMPARED = (
    *("paper", "paper_bar", "paper_se", "margin", "difference", "difference_low", "difference_high"),
    *("difference_n", "difference_least", "difference_largest"),
    *("p_value", "verdict", "tested", "stands", "needed", "reason"),
)


def numbers(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Every statistic of an experiment as a number, and the published comparison where there is one.

    Args:
        frame: a table of records of one experiment.
        name: under which they are shown: the experiment's, or that of a published table or figure.

    Returns:
        One row a configuration. Of a source whose values are compared as they are, each column of the comparison has
        the metric before its name; its cited rows and what others measured follow, told apart by the column `source`,
        with their own in `citation`.
    """
    source, table = published(name), summary(frame).drop(columns="order")
    if source and source.baseline is None:
        table = pd.concat([_beside(table, frame, source), _others(source)], ignore_index=True)
    elif source:
        ours = compare(frame, source)
        table = _joined(table, ours) if len(ours) else table
    whole = {column: "Int64" for column in table if column in _WHOLE or str(column).endswith("_n")}
    return table.astype(whole)


def _beside(table: pd.DataFrame, frame: pd.DataFrame, source: Published) -> pd.DataFrame:
    """The summary with the comparison of each published metric beside it."""
    compared = compare(frame, source)
    for metric in source.metrics if len(compared) else []:
        part = compared.loc[compared["metric"] == metric, [*CONFIGURATION, *_COMPARED]]
        named = part.rename(columns={column: f"{metric}_{column}" for column in _COMPARED})
        table = _joined(table, named)
    return table


def _joined(left: pd.DataFrame, right: pd.DataFrame) -> pd.DataFrame:
    """`left` with the other columns of `right` beside the row of the same configuration; missing where there is none.

    Configurations are compared as text: a column of them that is missing throughout has another type in each table,
    which pandas refuses to merge.
    """
    row_of = {configuration_key(row): number for number, row in enumerate(right.to_dict("records"))}
    places = [row_of.get(configuration_key(row), -1) for row in left.to_dict("records")]
    beside = right.drop(columns=list(CONFIGURATION)).reset_index(drop=True).reindex(places)
    return pd.concat([left.reset_index(drop=True), beside.reset_index(drop=True)], axis=1)


def _others(source: Published) -> pd.DataFrame:
    """A row for each value that the source cites, and for each depth at which others repeated its experiment."""
    experiment, column = {"experiment": source.experiment}, f"{source.metric}_paper"
    rows: list[dict[str, Any]] = [
        experiment | {"source": "cited", "label": cited.label, column: cited.value, "citation": cited.source}
        for cited in source.cited
    ]
    for by in source.remeasured:
        names = experiment | {"source": "remeasured", "label": f"{by.who}: {by.label}", "citation": by.source}
        for depth in sorted({depth for by_depth in by.values.values() for depth in by_depth}):
            values = {metric: by_depth[depth] for metric, by_depth in by.values.items() if depth in by_depth}
            bars = {f"{metric}_se": by_depth[depth] for metric, by_depth in by.bars.items() if depth in by_depth}
            rows.append(names | {"K": depth} | values | bars)
    return pd.DataFrame(rows)
