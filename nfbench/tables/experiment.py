"""Tables of experiments: one for each block, as Markdown, LaTeX (booktabs), CSV or JSON.

The columns are the metrics that the records hold, whatever experiment wrote them; where published numbers of the
experiment are stored, its differences stand beside ours with a verdict.
"""

from typing import Any, get_args

import pandas as pd

from nfbench.errors import InputError
from nfbench.glossary import measure
from nfbench.published import Published, published
from nfbench.spec import parse
from nfbench.statistics import CONFIGURATION, OUTCOMES, Estimate, blocks, compare, metrics, summary
from nfbench.tables.text import NOTHING, Format, Table, interval, latex, markdown, number


def table(frame: pd.DataFrame, experiment: str, fmt: Format) -> str:
    """The results of `experiment` among the rows of `frame` as text.

    Raises:
        InputError: unknown format, or no record of that experiment.
    """
    if fmt not in get_args(Format):
        raise InputError(f"no table format {fmt!r}; known: {', '.join(get_args(Format))}")
    rows = select(frame, experiment)
    if fmt == "csv":
        return numbers(rows, experiment).to_csv(index=False)
    if fmt == "json":
        return str(numbers(rows, experiment).to_json(orient="records", indent=1, double_precision=15)) + "\n"
    form = markdown if fmt == "md" else latex
    return "\n".join(form(found) for found in tables(rows, experiment))


def select(frame: pd.DataFrame, experiment: str) -> pd.DataFrame:
    """The rows of one experiment.

    Raises:
        InputError: there is none; the message names the experiments that have records.
    """
    rows = frame[frame["experiment"] == experiment]
    if rows.empty:
        known = ", ".join(sorted(frame["experiment"].unique())) or "none; 'nfbench run' writes them"
        raise InputError(f"no records of experiment {experiment!r}; experiments with records: {known}")
    return rows


def numbers(frame: pd.DataFrame, experiment: str) -> pd.DataFrame:
    """One row a configuration with every statistic as a number, and the published comparison where there is one."""
    source = published(experiment)
    found = summary(frame).drop(columns="order")
    ours = compare(frame, source) if source else pd.DataFrame()
    return found.merge(ours, on=list(CONFIGURATION), how="left") if len(ours) else found


def tables(frame: pd.DataFrame, experiment: str) -> list[Table]:
    """One table for each block of an experiment's rows."""
    source = published(experiment)
    return [_table(block, source) for block in blocks(frame)]


def _table(block: pd.DataFrame, source: Published | None) -> Table:
    first = block.iloc[0]
    found, names = summary(block), metrics(block)
    ours = compare(block, source) if source else pd.DataFrame()
    compared = {key(row): row for row in ours.to_dict("records")}
    head = ["Target", "Posterior", "K", *(measure(name).title for name in names), "seeds", "parameters", "s per cell"]
    if compared and source:
        base = f"{source.baseline.posterior} K={source.baseline.K}"
        head += [f"{measure(source.metric).label} less {base}", "the paper's (± s.e.)", "verdict"]
    rows, keys = [], []
    for row in found.to_dict("records"):
        cells = [row["target_label"], row["label"], depth(row)]
        cells += [interval(row[name], row[f"{name}_low"], row[f"{name}_high"]) for name in names]
        cells += [seeds(row), number(row["num_params"], 0, ","), number(row["seconds"], 2)]
        rows.append(cells + (_comparison(compared.get(key(row))) if compared else []))
        keys.append(key(row))
    title = f"{first['experiment']}, profile {first['profile']}, {first['source']} records"
    return Table(title, _protocol(block), head, rows, keys, _notes(block, source if compared else None))


def key(row: dict[Any, Any]) -> tuple[str, ...]:
    """A row's configuration as text."""
    return tuple("" if pd.isna(row[name]) else str(row[name]) for name in CONFIGURATION)


def _comparison(row: dict[Any, Any] | None) -> list[str]:
    if row is None:
        return [NOTHING] * 3
    if row["verdict"] == "baseline":
        return ["0", "0", "baseline"]
    ours = interval(row["difference"], row["difference_low"], row["difference_high"], sign="+")
    theirs = f"{row['paper_difference']:+.3f} ± {row['paper_se']:.3f}"
    return [ours, theirs + (" *" if row["hidden"] else ""), row["verdict"]]


def depth(row: dict[Any, Any]) -> str:
    """K as text; a dash for a family that has no depth."""
    return str(row["K"]) if "K" in dict(parse(row["posterior"]).options) else NOTHING


def _protocol(block: pd.DataFrame) -> str:
    first = block.iloc[0]
    data = "" if pd.isna(first["data"]) else f" Data: {first['data']}."
    counts = sorted(set(block.groupby(["target", "posterior"]).size()))
    several = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(counts[0])
    word = "seed" if counts[-1] == 1 else "seeds"
    what = (
        "Mean over the seeds that are done ± half the 95 % t-interval over seeds." if counts[-1] > 1 else "No interval."
    )
    where = f"Profile {first['profile']}, recipe {first['recipe']}, {first['source']} records"
    return f"{where}, {several} {word} a configuration.{data} {what}"


def _notes(block: pd.DataFrame, source: Published | None) -> list[str]:
    if source is None:
        return []
    how = f"digitised, ± {source.digitisation:g}" if source.mark == "D" else "as printed"
    notes = [
        f"The paper's: {source.source} ({how}), as differences; ± is a standard error. {source.note}",
        f"Verdicts: paired by seed, two one-sided t-tests at 5 % with margin {source.margin:g}, not corrected for "
        f"their number. {source.margin_reason}",
    ]
    objections: dict[str, list[str]] = {}
    for target in block["target"].unique():
        if reason := source.objection(target):
            objections.setdefault(reason, []).append(target)
    notes += [f"Not comparable ({', '.join(names)}): {reason}" for reason, names in objections.items()]
    shown = {name.partition(":")[0] for name in block["target"]}
    hidden = source.hidden_note and any(row.hidden and row.target in shown for row in source.rows)
    return notes + ([f"* {source.hidden_note}"] if hidden else [])


def spread(found: Estimate) -> str:
    """An estimate as text."""
    return interval(found.mean, found.low, found.high)


def seeds(row: dict[Any, Any]) -> str:
    """How many seeds a mean is over, and what became of the others.

    >>> seeds({"seeds": 5, "done": 4, "diverged": 1, "failed": 0, "interrupted": 0})
    '4 of 5 (1 diverged)'
    """
    if row["done"] == row["seeds"]:
        return str(row["done"])
    others = ", ".join(f"{row[name]} {name}" for name in OUTCOMES[1:] if row[name])
    return f"{row['done']} of {row['seeds']} ({others})"
