"""Commands that show stored records: table, plot, report."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nfbench.foundation.errors import InputError
from nfbench.foundation.names import did_you_mean
from nfbench.foundation.terminal import is_quiet, is_verbose
from nfbench.specification.choices import TIMING

if TYPE_CHECKING:
    from nfbench.present.results import Results as StoredAndShown
    from nfbench.present.tables.render import Table

Name = Annotated[str, typer.Argument(help="Name of an experiment, or its .yaml file; 'timing' for all timings.")]
Results = Annotated[Path, typer.Option(help="Folder of the records.")]
Shown = Literal["text", "md", "latex", "csv", "json"]
_SCREEN = 18  # lines of a summary, beside those that a run itself prints
Out = Annotated[Path, typer.Option(help="Folder to write to.")]


def table(
    experiment: Name,
    *,
    fmt: Annotated[
        Shown | None, typer.Option("--format", help="Of the table; text on a terminal, md elsewhere if omitted.")
    ] = None,
    columns: Annotated[
        list[str] | None, typer.Option(metavar="NAME,...", help="Results to show, e.g. kl,verdict; repeatable.")
    ] = None,
    sort: Annotated[str, typer.Option(metavar="NAME", help="Column to sort by; -NAME for the largest first.")] = "",
    conditions: Annotated[
        list[str] | None,
        typer.Option(
            "--filter", metavar="CONDITION", help="Which rows, e.g. 'K>=8', target=u1, label~NICE; repeatable."
        ),
    ] = None,
    results: Results = Path("results"),
) -> None:
    """Print an experiment's table: on a terminal as wide as it is, with the best values marked."""
    from nfbench.present.tables.choose import Choice

    name, stored = _stored(experiment, results)
    names = [part.strip() for text in columns or () for part in text.split(",") if part.strip()]
    if fmt is None:
        fmt = "text" if sys.stdout.isatty() else "md"
    if fmt != "text":
        print(stored.table(name, fmt, columns=names, sort=sort, where=conditions or ()))
        return
    _print_tables(stored.tables(name, Choice(tuple(names), sort, tuple(conditions or ()))))


def _print_tables(tables: "Sequence[Table]") -> None:
    from rich.console import Console

    from nfbench.present.tables import terminal

    terminal.show(tables, Console(highlight=False, markup=False), verbose=is_verbose())


def plot(experiment: Name, *, results: Results = Path("results"), out: Out = Path("reports/figures")) -> None:
    """Draw an experiment's plots, PNG and SVG."""
    name, stored = _stored(experiment, results)
    files = stored.plot(name, out)
    if not files and name != TIMING:
        raise InputError(f"the records of {name!r} make no picture; a line against K needs two depths of a family")
    print(*files, sep="\n")


def report(*, results: Results = Path("results"), out: Out = Path("reports")) -> None:
    """Write a report of all records: HTML that opens offline, Markdown, LaTeX."""
    from nfbench.foundation.files import check_writable
    from nfbench.present.results import results as read

    check_writable(out)
    _report(read(results), out)


def show(names: Sequence[str], profile: str, results: Path, out: Path) -> None:
    """A few lines on what came out, and the report with its plots: what `reproduce` ends with.

    Verbose, whole tables and every verdict against the paper.

    Args:
        names: of experiments, or of published figures of their records.
        profile: the tables and verdicts are those of the user's own records of this profile.
        results: folder of the records; the report has whatever else is stored there beside them.
        out: folder of the report.
    """
    from nfbench.present.report.build import outcomes, verdicts
    from nfbench.present.results import results as read
    from nfbench.present.tables.experiment import select, tables
    from nfbench.published.catalogue import experiment_of

    stored = read(results)
    frame = stored.frame[(stored.frame["source"] == "own") & (stored.frame["profile"] == profile)]
    experiments = list(dict.fromkeys(map(experiment_of, names)))
    if is_verbose():
        _print_tables([table for name in names for table in tables(select(frame, name), name)])
        for name in experiments:
            print(*verdicts(frame, name), sep="\n")
    elif not is_quiet():
        lines = [line for name in experiments for line in outcomes(frame, name)]
        print(*lines[:_SCREEN], sep="\n")
        if len(lines) > _SCREEN:
            print(f"and {len(lines) - _SCREEN} more lines, all of them in the report")
    _report(stored, out)


def _report(stored: "StoredAndShown", out: Path) -> None:
    from nfbench.present.report.build import report as write

    print(f"report: {write(stored, out)}")


def _stored(name_or_path: str, root: Path) -> "tuple[str, StoredAndShown]":
    """The name under which an experiment is shown, and all stored results.

    Args:
        name_or_path: an experiment, its .yaml file, a published figure of its records, or ``timing``.
        root: folder of the records.

    Raises:
        InputError: there is no record of it; the message names what there is, and what may have been meant.
    """
    from nfbench.experiments.library import load, names
    from nfbench.present.results import results as read
    from nfbench.published.catalogue import experiment_of

    name = load(name_or_path).name if name_or_path.endswith((".yaml", ".yml")) else name_or_path
    stored = read(root)
    experiments = sorted(set(stored.frame["experiment"])) if name != TIMING else []
    if name == TIMING or experiment_of(name) in experiments:
        return name, stored
    has_not_run = name in names() or experiment_of(name) != name
    hint = "" if has_not_run else did_you_mean(name, dict.fromkeys([*experiments, *names()]))
    raise InputError(
        f"no records of experiment {name!r} in {str(root)!r};{hint} "
        f"there are records of: {', '.join(experiments) or 'none'}; expected 'nfbench run' before"
    )
