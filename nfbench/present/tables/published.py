"""Tables as data: every statistic of an experiment and every published number beside it, for CSV and JSON."""

from typing import Any

import pandas as pd

from nfbench.analysis.blocks import CONFIGURATION
from nfbench.analysis.published import compare
from nfbench.analysis.summary import summary
from nfbench.present.tables.labels import key
from nfbench.published.catalogue import published
from nfbench.published.schema import Published

_WHOLE = {
    *("K", "seeds", "done", "diverged", "failed", "interrupted", "num_params"),
    *("updates", "importance_draws", "long_draws", "long_points"),
}
_COMPARED = (
    *("paper", "paper_bar", "paper_se", "margin", "difference", "difference_low", "difference_high"),
    *("p_value", "verdict", "reason"),
)


def numbers(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """One row a configuration with every statistic as a number, and the published comparison where there is one.

    Of a source whose values are compared as they are, each column of the comparison has the metric before its name; its
    cited rows and what others measured follow, told apart by the column `source`, with their own in `citation`.
    """
    source, found = published(name), summary(frame).drop(columns="order")
    if source and source.baseline is None:
        found = pd.concat([_beside(found, frame, source), _others(source)], ignore_index=True)
    elif source:
        ours = compare(frame, source)
        found = _joined(found, ours) if len(ours) else found
    whole = {column: "Int64" for column in found if column in _WHOLE or str(column).endswith("_n")}
    return found.astype(whole)


def _beside(found: pd.DataFrame, frame: pd.DataFrame, source: Published) -> pd.DataFrame:
    compared = compare(frame, source)
    for metric in source.metrics if len(compared) else []:
        part = compared.loc[compared["metric"] == metric, [*CONFIGURATION, *_COMPARED]]
        named = part.rename(columns={column: f"{metric}_{column}" for column in _COMPARED})
        found = _joined(found, named)
    return found


def _joined(left: pd.DataFrame, right: pd.DataFrame) -> pd.DataFrame:
    """`left` with the other columns of `right` beside the row of the same configuration; missing where there is none.

    Configurations are compared as text: a column of them that is missing throughout has another type in each table,
    which pandas refuses to merge.
    """
    there = {key(row): index for index, row in enumerate(right.to_dict("records"))}
    places = [there.get(key(row), -1) for row in left.to_dict("records")]
    beside = right.drop(columns=list(CONFIGURATION)).reset_index(drop=True).reindex(places)
    return pd.concat([left.reset_index(drop=True), beside.reset_index(drop=True)], axis=1)


def _others(source: Published) -> pd.DataFrame:
    common = {"experiment": source.experiment}
    rows: list[dict[str, Any]] = [
        common | {"source": "cited", "label": one.label, f"{source.metric}_paper": one.value, "citation": one.source}
        for one in source.cited
    ]
    for one in source.remeasured:
        told = common | {"source": "remeasured", "label": f"{one.who}: {one.label}", "citation": one.source}
        for depth in sorted({depth for by_depth in one.values.values() for depth in by_depth}):
            values = {metric: by_depth[depth] for metric, by_depth in one.values.items() if depth in by_depth}
            bars = {f"{metric}_se": by_depth[depth] for metric, by_depth in one.bars.items() if depth in by_depth}
            rows.append(told | {"K": depth} | values | bars)
    return pd.DataFrame(rows)
