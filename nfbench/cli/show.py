"""Commands that show stored records: table, plot, report."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from nfbench.foundation.errors import InputError
from nfbench.foundation.garbage import uncollected
from nfbench.foundation.names import did_you_mean
from nfbench.foundation.terminal import is_quiet, is_verbose
from nfbench.specification.choices import CLAIMS, DRAWINGS, TIMING, USUAL_DRAWINGS, VERDICTS, Drawing, Over

if TYPE_CHECKING:
    from nfbench.present.results import Results as StoredAndShown
    from nfbench.present.tables.choose import Choice
    from nfbench.present.tables.compared import Compared
    from nfbench.present.tables.render import Table

_WHAT = "Name of an experiment, or its .yaml file"
_OR_TIMING = f"{_WHAT}; 'timing' for all timings"
Name = Annotated[str, typer.Argument(help=f"{_OR_TIMING}.")]
Ranked = Annotated[str, typer.Argument(help=f"{_WHAT}.")]
Tabled = Annotated[
    str,
    typer.Argument(
        help=f"{_OR_TIMING}, 'claims' for what papers claim beside what the records say, 'verdicts' for those of "
        "'nfbench verify'."
    ),
]
Results = Annotated[Path, typer.Option(help="Folder of the records.")]
Shown = Literal["text", "md", "latex", "csv", "json"]
_LARGE = 10e6  # bytes of a report, above which a browser takes seconds
_SCREEN = 18  # lines of a summary, beside those that a run itself prints
Columns = Annotated[
    list[str] | None, typer.Option(metavar="NAME,...", help="Results to show, e.g. kl,verdict; repeatable.")
]
Sort = Annotated[str, typer.Option(metavar="NAME", help="Column to sort by; -NAME for the largest first.")]
Conditions = Annotated[
    list[str] | None,
    typer.Option("--filter", metavar="CONDITION", help="Which rows, e.g. 'K>=8', target=u1, label~NICE; repeatable."),
]
Fmt = Annotated[
    Shown | None, typer.Option("--format", help="Of the table; text on a terminal, md elsewhere if omitted.")
]
Metric = Annotated[str | None, typer.Option(metavar="NAME", help="What is compared; else what ranks, e.g. kl.")]
Margin = Annotated[
    float | None, typer.Option(metavar="NATS", help="Of --against: the difference that matters; 0.05 if omitted.")
]
Targets = Annotated[Over, typer.Option(help="Intervals for these targets, or for others like them.")]
Out = Annotated[Path, typer.Option(help="Folder to write to.")]


@uncollected()
def table(
    experiment: Tabled,
    *,
    fmt: Fmt = None,
    columns: Columns = None,
    sort: Sort = "",
    conditions: Conditions = None,
    against: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="Who beats it, with tests: a posterior, or a family at equal K."),
    ] = None,
    metric: Metric = None,
    margin: Margin = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="BUDGET", help="Equal budgets: updates, gradient-evaluations, seconds or parameters, or seconds=10."
        ),
    ] = None,
    restarts: Annotated[bool, typer.Option("--restarts", help="How far the seeds are from each other.")] = False,
    results: Results = Path("results"),
) -> None:
    """Print an experiment's table: on a terminal as wide as it is, with the best values marked."""
    name, stored = _stored(experiment, results)
    choice = _choice(columns, sort, conditions)
    if against is not None:
        if name == TIMING or at is not None or restarts:
            raise InputError("--against: expected an experiment, which timings are not, without --at and --restarts")
        _print_compared(stored.against(name, against, metric=metric, margin=margin), fmt, choice)
        return
    if at is not None:
        if name == TIMING or metric is not None or margin is not None or restarts:
            raise InputError("--at: expected an experiment, without --metric, --margin and --restarts")
        _print_compared(stored.at(name, at), fmt, choice)
        return
    if restarts:
        if name == TIMING or metric is not None or margin is not None:
            raise InputError("--restarts: expected an experiment, without --metric and --margin")
        _print_compared(stored.restarts(name), fmt, choice)
        return
    if metric is not None or margin is not None:
        raise InputError("--metric and --margin: expected --against SPEC beside them")
    fmt = fmt or _usual()
    if fmt != "text":
        print(stored.table(name, fmt, columns=choice.columns, sort=sort, where=choice.conditions))
        return
    _print_tables(stored.tables(name, choice))


def rank(
    experiment: Ranked,
    *,
    fmt: Fmt = None,
    columns: Columns = None,
    sort: Sort = "",
    conditions: Conditions = None,
    against: Annotated[
        str | None, typer.Option(metavar="SPEC", help="Posterior to compare with, e.g. planar:K=8; else the first.")
    ] = None,
    metric: Metric = None,
    targets: Targets = "fixed",
    results: Results = Path("results"),
) -> None:
    """Rank the posteriors of an experiment over its targets, with intervals and tests of all pairs."""
    name, stored = _stored(experiment, results)
    if name == TIMING:
        raise InputError("rank: expected an experiment; timings have ratios of their own")
    ranked = stored.ranked(name, metric=metric, targets=targets, against=against)
    _print_compared(ranked, fmt, _choice(columns, sort, conditions))


def _choice(columns: Sequence[str] | None, sort: str, conditions: Sequence[str] | None) -> "Choice":
    from nfbench.present.tables.choose import Choice

    names = tuple(part.strip() for text in columns or () for part in text.split(","))
    if not all(names):
        raise InputError(f"columns {','.join(names)!r}: expected names of columns, with commas between them")
    return Choice(names, sort, tuple(conditions or ()))


def _usual() -> Shown:
    return "text" if sys.stdout.isatty() else "md"


def _print_compared(compared: "Compared", fmt: Shown | None, choice: "Choice") -> None:
    fmt = fmt or _usual()
    if fmt == "text":
        _print_tables(compared.chosen(choice))
    else:
        print(compared.text(fmt, choice))


def _print_tables(tables: "Sequence[Table]") -> None:
    from rich.console import Console

    from nfbench.present.tables import terminal

    terminal.show(tables, Console(highlight=False, markup=False), verbose=is_verbose())


def plot(
    experiment: Name,
    *,
    formats: Annotated[
        str, typer.Option("--format", metavar="NAME,...", help=f"Of the files: {', '.join(DRAWINGS)}.")
    ] = ",".join(USUAL_DRAWINGS),
    results: Results = Path("results"),
    out: Out = Path("reports/figures"),
) -> None:
    """Draw an experiment's plots."""
    name, stored = _stored(experiment, results)
    wanted = cast("list[Drawing]", [part.strip() for part in formats.split(",")])  # which `plot` checks
    files = stored.plot(name, out, formats=wanted)
    if not files and name != TIMING:
        raise InputError(f"the records of {name!r} make no picture; a line against K needs two depths of a family")
    print(*files, sep="\n")


def report(
    *,
    folder: Annotated[bool, typer.Option("--folder", help="A page for each chapter, for large results.")] = False,
    results: Results = Path("results"),
    out: Out = Path("reports"),
) -> None:
    """Write a report of all records: HTML that opens offline, Markdown, LaTeX."""
    from nfbench.foundation.files import check_writable
    from nfbench.present.results import results as read

    check_writable(out)
    _report(read(results), out, folder=folder)


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


def _report(stored: "StoredAndShown", out: Path, *, folder: bool = False) -> None:
    from nfbench.present.report.build import report as write

    page = write(stored, out, folder=folder)
    print(f"report: {page}")
    size = page.stat().st_size
    if not folder and size > _LARGE:
        print(f"which has {size / 1e6:.0f} MB; 'nfbench report --folder' makes a page of each chapter", file=sys.stderr)


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
    experiments = sorted(set(stored.frame["experiment"])) if name not in (TIMING, VERDICTS) else []
    if name in (TIMING, CLAIMS, VERDICTS) or experiment_of(name) in experiments:
        return name, stored
    has_not_run = name in names() or experiment_of(name) != name
    hint = "" if has_not_run else did_you_mean(name, dict.fromkeys([*experiments, *names()]))
    raise InputError(
        f"no records of experiment {name!r} in {str(root)!r};{hint} "
        f"there are records of: {', '.join(experiments) or 'none'}; expected 'nfbench run' before"
    )
