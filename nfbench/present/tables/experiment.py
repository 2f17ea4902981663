"""Tables of experiments: one for each block, as Markdown, LaTeX (booktabs), CSV or JSON.

The columns are the metrics that the records hold, whatever experiment wrote them; where published numbers of the
experiment are stored, its differences stand beside ours with a verdict. A name may also be that of a published table or
figure, such as figure4: it shows the records of the experiment that it is compared with.
"""

from typing import Any

import pandas as pd

from nfbench.analysis.blocks import RANKING, Block, blocks, configuration_key, metrics
from nfbench.analysis.published import compare
from nfbench.analysis.summary import summary
from nfbench.analysis.variations import grid
from nfbench.foundation.errors import InputError
from nfbench.foundation.names import unknown
from nfbench.present.tables import as_data
from nfbench.present.tables.choose import EVERYTHING, Choice
from nfbench.present.tables.comparisons import of_report
from nfbench.present.tables.labels import depth, marks, protocol, read, reasons, seeds, statistic
from nfbench.present.tables.latex import latex
from nfbench.present.tables.published import numbers
from nfbench.present.tables.render import NOTHING, Table, markdown, number
from nfbench.published.catalogue import experiment_of, published, sources
from nfbench.published.schema import Published
from nfbench.records.glossary import measure
from nfbench.specification.choices import FORMATS, Format


def table(frame: pd.DataFrame, name: str, fmt: Format, choice: Choice = EVERYTHING) -> str:
    """The results of an experiment, or beside a published table or figure, as text.

    Args:
        frame: a table of records; rows of other experiments are left out.
        name: of the experiment, or of a published table or figure that its records are compared with.
        fmt: ``md``, ``latex``, ``csv`` or ``json``.
        choice: which rows and columns, and in what order.

    Returns:
        The text, with all tables of the experiment one below the other.

    Raises:
        InputError: unknown format, no record of that experiment, or a choice that the table does not have.
    """
    if fmt not in FORMATS:
        raise unknown("table format", fmt, FORMATS)
    rows = select(frame, name)
    if fmt == "csv":
        return choice.frame(numbers(rows, name)).to_csv(index=False)
    if fmt == "json":
        return str(choice.frame(numbers(rows, name)).to_json(orient="records", indent=1, double_precision=15)) + "\n"
    form = markdown if fmt == "md" else latex
    return "\n".join(form(each) for each in chosen(rows, name, choice))


def chosen(frame: pd.DataFrame, name: str, choice: Choice) -> list[Table]:
    """The tables of an experiment, narrowed and sorted; without a choice those of its grid, without variations.

    Args:
        frame: a table of records of that experiment only.
        name: under which they are shown.
        choice: which rows and columns, and in what order.

    Returns:
        The tables that have a row left.

    Raises:
        InputError: a choice that no table has.
    """
    kept = None
    if choice.conditions:
        kept = {configuration_key(row) for row in choice.rows(summary(frame)).to_dict("records")}
    return choice.tables(tables(frame if choice != EVERYTHING else grid(frame), name), kept)


def select(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows of one experiment, or of that which a published table or figure is compared with.

    Args:
        frame: a table of records.
        name: of an experiment, or of a published table or figure.

    Returns:
        Those rows of `frame`, at least one.

    Raises:
        InputError: there is none; the message names the experiments that have records.
    """
    experiment = experiment_of(name)
    rows = frame[frame["experiment"] == experiment]
    if rows.empty:
        known = ", ".join(sorted(frame["experiment"].unique())) or "none; 'nfbench run' writes them"
        shown = "" if name == experiment else f", which {name} shows"
        raise InputError(f"no records of experiment {experiment!r}{shown}; experiments with records: {known}")
    return rows


def tables(frame: pd.DataFrame, name: str) -> list[Table]:
    """The tables of each block of an experiment.

    Args:
        frame: a table of records of that experiment only.
        name: under which they are shown: the experiment's, or that of a published table or figure.

    Returns:
        One or several tables a block; for a source without a baseline, what others measured follows.
    """
    source = published(name)
    if source and source.baseline is None:
        ours = [table for block in blocks(frame) for table in as_data.tables(block, source)]
        return ours + as_data.remeasured(source)
    return [_table(block, source) for block in blocks(frame)]


def everything(frame: pd.DataFrame, experiment: str) -> list[Table]:
    """The tables of an experiment under every name by which its records are shown.

    Args:
        frame: a table of records of that experiment only.
        experiment: its name.

    Returns:
        The tables of every published source in turn, without any the experiment's own; then who beats whom. Variations
        have tables of their own.
    """
    names, frame = [source.name for source in sources(experiment)] or [experiment], grid(frame)
    shown = [table for name in names for table in tables(frame, name)]
    return shown + [table for block in blocks(frame) for table in of_report(block)]


def overview(frame: pd.DataFrame) -> Table:
    """One short row a configuration: the metric that ranks its seeds, with half the 95 % interval of its mean.

    Args:
        frame: a table of records.

    Returns:
        One table.
    """
    head = ["Experiment", "Records", "Target", "Posterior", "K", "seeds", "Metric", "Mean"]
    rows = []
    for row in summary(frame).to_dict("records"):
        metric = next((name for name in RANKING if pd.notna(row.get(name))), None)
        value = statistic(row, metric) if metric else NOTHING
        names = [row["experiment"], f"{row['source']}, {row['profile']}", row["target_label"], row["label"]]
        rows.append([*names, depth(row), seeds(row), measure(metric).title if metric else NOTHING, value])
    return Table("Configurations", "", head, rows, [()] * len(rows), [], leading=6)


def _table(block: Block, source: Published | None) -> Table:
    """One block's table, beside the differences of a source that has some of its configurations."""
    names = metrics(block.rows)
    ours = compare(block.rows, source) if source else pd.DataFrame()
    compared = {configuration_key(row): row for row in ours.to_dict("records")}
    head = ["Target", "Posterior", "K", *(measure(name).title for name in names), "seeds", "parameters", "s per cell"]
    if compared and source and source.baseline:
        base = f"{source.baseline.posterior} K={source.baseline.K}"
        head += [f"{measure(source.metric).label} less {base}", "the paper's (± s.e.)", "verdict"]
    rows, keys = [], []
    for row in summary(block.rows).to_dict("records"):
        cells = [row["target_label"], row["label"], depth(row)]
        cells += [statistic(row, name) for name in names]
        cells += [seeds(row), number(row["num_params"], 0, ","), number(row["seconds"], 2)]
        rows.append(cells + (_comparison(compared.get(configuration_key(row))) if compared else []))
        keys.append(configuration_key(row))
    notes = _notes(block, source if compared else None)
    return Table(block.title, protocol(block), head, rows, keys, notes, marks=marks(block, names, keys, first=3))


def _comparison(row: dict[Any, Any] | None) -> list[str]:
    if row is None:
        return [NOTHING] * 3
    if row["verdict"] == "baseline":
        return ["0", "0", "baseline"]
    ours = statistic(row, "difference", sign="+")
    theirs = f"{row['paper_difference']:+.3f} ± {row['paper_se']:.3f}"
    return [ours, theirs + (" *" if row["hidden"] else ""), row["words"]]


def _notes(block: Block, source: Published | None) -> list[str]:
    if source is None:
        return []
    notes = [
        f"The paper's: {source.source} ({read(source)}), as differences; ± is a standard error. {source.note}",
        "Verdicts: paired by seed, two one-sided t-tests at 5 % with margin "
        f"{source.margin[source.metric]:g}, not corrected for their number. {source.margin_reason}",
        *reasons(block, source),
    ]
    shown = {name.partition(":")[0] for name in block.rows["target"]}
    hidden = source.hidden_note and any(row.hidden and row.target in shown for row in source.rows)
    return notes + ([f"* {source.hidden_note}"] if hidden else [])
