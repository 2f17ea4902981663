"""Sentences that say what became of a block of records, and how it compares with the paper."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from nfbench.analysis.published import compare, contrasts
from nfbench.present.tables.render import interval
from nfbench.published.schema import Published
from nfbench.records.glossary import measure


def sentence(block: pd.DataFrame, sources: Sequence[Published]) -> str:
    """What became of a block's cells, then how they compare with each source that has some of its configurations."""
    first, counts = block.iloc[0], block["status"].value_counts()
    told = ", ".join(f"{count} {status}" for status, count in counts.items())
    text = f"{first['experiment']}, profile {first['profile']}, {first['source']} records: {len(block)} cells, {told}."
    parts = [_against(block, source) for source in sources] + [_contrast(block, source) for source in sources]
    return " ".join([text, *(part for part in parts if part)])


def _against(block: pd.DataFrame, source: Published) -> str:
    found = compare(block, source)
    if found.empty:
        return ""
    tested = found[~found["verdict"].isin(["not comparable", "baseline"])]
    apart = int((found["verdict"] == "not comparable").sum())
    if source.baseline:
        what = f"differences of {measure(source.metric).label} to {source.baseline.posterior} K={source.baseline.K}"
        told = f"{len(tested)} {what} (margin {source.margin[source.metric]:g} nats): {_counts(tested)}"
        return f"Against {source.source}, {told}; {apart} more are not comparable."
    if tested.empty:
        return f"Against {source.source}: none of {apart} values is comparable. {' '.join(found['reason'].unique())}"
    lists = "; ".join(_values(tested[tested["metric"] == name], source, name) for name in tested["metric"].unique())
    rest = f"; {apart} more are not comparable" if apart else ""
    return f"Against {source.source}{_budget(block, source)}: {lists}{rest}."


def _values(tested: pd.DataFrame, source: Published, metric: str) -> str:
    count = f"{len(tested)} value" + ("" if len(tested) == 1 else "s")
    return f"{count} of {measure(metric).label} (margin {source.margin[metric]:g} nats): {_counts(tested)}"


def _counts(tested: pd.DataFrame) -> str:
    return ", ".join(f"{count} {verdict}" for verdict, count in tested["verdict"].value_counts().items()) or "none"


def _budget(block: pd.DataFrame, source: Published) -> str:
    updates = block["updates"].iloc[0]
    if source.setup is None or pd.isna(updates):
        return ""
    seeds = block.groupby(["target", "posterior"]).size().max()
    return (
        f", with {int(updates):,} of its {source.setup.training.updates:,} updates and at most {seeds} of its "
        f"{source.setup.seeds} seeds"
    )


def _contrast(block: pd.DataFrame, source: Published) -> str:
    """The families that the paper has too, at equal K, as found."""
    found = contrasts(block, source)
    told = found[found["paper"].notna() & found["mean"].notna()] if len(found) else found
    groups = told.groupby(["label", "base", "metric"], sort=False) if len(told) else ()
    return " ".join(_steps(rows.to_dict("records")) for _, rows in groups)


def _steps(rows: list[dict[Any, Any]]) -> str:
    """One metric of one family less another over K."""
    first = rows[0]
    steps = (f"{interval(row['mean'], row['low'], row['high'], sign='+')} (K={row['K']})" for row in rows)
    name = measure(first["metric"]).label
    return f"{first['label']} less {first['base']} at equal K, paired by seed, {name} in nats: {', '.join(steps)}."
