"""Sentences that say what became of a block of records, and how it compares with the paper."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from nfbench.analysis.best import standings
from nfbench.analysis.blocks import RANKING, Block, configuration_key
from nfbench.analysis.checks import checks
from nfbench.analysis.published import compare, contrasts
from nfbench.analysis.summary import summary
from nfbench.present.tables.labels import depth, statistic
from nfbench.present.tables.render import NOTHING
from nfbench.published.schema import Published
from nfbench.records.glossary import measure


def sentence(block: Block, sources: Sequence[Published]) -> str:
    """What became of a block's cells, then how they compare with each source that has some of its configurations.

    Args:
        block: our records.
        sources: published tables and figures of the same experiment.

    Returns:
        One or several sentences.
    """
    counts = ", ".join(f"{count} {status}" for status, count in block.rows["status"].value_counts().items())
    text = f"{block.title}: {len(block.rows)} cells, {counts}."
    parts = [_against(block, source) for source in sources] + [_contrast(block, source) for source in sources]
    return " ".join([text, *(part for part in parts if part)])


def outcome(block: Block, sources: Sequence[Published]) -> list[str]:
    """The same in lines of a terminal: cells, the best of each target if they are few, counts of verdicts, checks.

    Args:
        block: our records.
        sources: published tables and figures of the same experiment.

    Returns:
        A line, and further ones that are indented.
    """
    counts = ", ".join(f"{count} {status}" for status, count in block.rows["status"].value_counts().items())
    made = checks(block.rows)
    held, broken = sum(check.passed for check in made), [check for check in made if not check.passed]
    lines = [f"{block.title}: {len(block.rows)} cells, {counts}; {held} of {len(made)} checks hold"]
    lines += [f"  does not hold: {check.name}: {check.detail}" for check in broken]
    if not block.done.empty and (metric := next((name for name in RANKING if block.has(name)), None)):
        best = [place for place, standing in standings(block, metric).items() if standing == "best"]
        rows = {configuration_key(row): row for row in summary(block.rows).to_dict("records")}
        lines += [f"  best on {_best(rows[place], metric)}" for place in best]
    for source in sources:
        compared = compare(block.rows, source)
        tested = compared[~compared["verdict"].isin(["not comparable", "baseline"])] if len(compared) else compared
        if len(compared):
            rest = (
                f"; {len(compared) - len(tested)} not comparable or the baseline" if len(tested) < len(compared) else ""
            )
            lines += [f"  against {source.source}: {_counts(tested)}{rest}"]
    return lines


def _best(row: dict[Any, Any], metric: str) -> str:
    layers = f" K={depth(row)}" if depth(row) != NOTHING else ""
    return f"{row['target_label']}: {row['label']}{layers}, {measure(metric).label} {statistic(row, metric)}"


def _against(block: Block, source: Published) -> str:
    """How many values or differences of a source were reproduced; empty where it has none of the configurations."""
    compared = compare(block.rows, source)
    if compared.empty:
        return ""
    tested = compared[~compared["verdict"].isin(["not comparable", "baseline"])]
    apart = int((compared["verdict"] == "not comparable").sum())
    if source.baseline:
        base, margin = f"{source.baseline.posterior} K={source.baseline.K}", source.margin[source.metric]
        differences = f"{len(tested)} differences of {measure(source.metric).label} to {base} (margin {margin:g} nats)"
        return f"Against {source.source}, {differences}: {_counts(tested)}; {apart} more are not comparable."
    if tested.empty:
        return f"Against {source.source}: none of {apart} values is comparable. {' '.join(compared['reason'].unique())}"
    lists = "; ".join(_values(tested[tested["metric"] == name], source, name) for name in tested["metric"].unique())
    rest = f"; {apart} more are not comparable" if apart else ""
    return f"Against {source.source}{_budget(block, source)}: {lists}{rest}."


def _values(tested: pd.DataFrame, source: Published, metric: str) -> str:
    count = f"{len(tested)} value" + ("" if len(tested) == 1 else "s")
    return f"{count} of {measure(metric).label} (margin {source.margin[metric]:g} nats): {_counts(tested)}"


def _counts(tested: pd.DataFrame) -> str:
    return ", ".join(f"{count} {verdict}" for verdict, count in tested["verdict"].value_counts().items()) or "none"


def _budget(block: Block, source: Published) -> str:
    """Our share of the published updates and seeds; empty where these are not known."""
    if source.setup is None or block.updates is None:
        return ""
    seeds = block.rows.groupby(["target", "posterior"]).size().max()
    return (
        f", with {block.updates:,} of its {source.setup.training.updates:,} updates and at most {seeds} of its "
        f"{source.setup.seeds} seeds"
    )


def _contrast(block: Block, source: Published) -> str:
    """Our differences of the families that the paper has too, at equal K."""
    table = contrasts(block.rows, source)
    known = table[table["paper"].notna() & table["mean"].notna()] if len(table) else table
    groups = known.groupby(["label", "base", "metric"], sort=False) if len(known) else ()
    return " ".join(_steps(rows.to_dict("records")) for _, rows in groups)


def _steps(rows: list[dict[Any, Any]]) -> str:
    """One metric of one family less another over K."""
    first = rows[0]
    steps = (f"{statistic(row, 'mean', sign='+')} (K={row['K']})" for row in rows)
    name = measure(first["metric"]).label
    return f"{first['label']} less {first['base']} at equal K, paired by seed, {name} in nats: {'; '.join(steps)}."
