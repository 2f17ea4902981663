"""Commands that show stored records: table, plot, report."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nfbench.foundation.errors import InputError
from nfbench.foundation.names import did_you_mean
from nfbench.specification.choices import TIMING, Format

if TYPE_CHECKING:
    import pandas as pd

Name = Annotated[str, typer.Argument(help="Name of an experiment, or its .yaml file; 'timing' for all timings.")]
Results = Annotated[Path, typer.Option(help="Folder of the records.")]
Out = Annotated[Path, typer.Option(help="Folder to write to.")]


def table(
    experiment: Name,
    *,
    fmt: Annotated[Format, typer.Option("--format", help="Of the table.")] = "md",
    results: Results = Path("results"),
) -> None:
    """Print an experiment's table."""
    from nfbench.present.tables.experiment import table as render
    from nfbench.present.tables.timings import table as render_timings

    if experiment == TIMING:
        print(render_timings(_timings(results), fmt))
        return
    name, frame = _records(experiment, results)
    print(render(frame, name, fmt))


def plot(experiment: Name, *, results: Results = Path("results"), out: Out = Path("reports/figures")) -> None:
    """Draw an experiment's plots, PNG and SVG."""
    from nfbench.foundation.files import check_writable
    from nfbench.present.plots.catalogue import plot as draw
    from nfbench.present.plots.catalogue import timings as draw_timings

    if experiment == TIMING:
        times = _timings(results)
        check_writable(out)
        for _, _, files in draw_timings(out, times):
            print(*files, sep="\n")
        return
    name, frame = _records(experiment, results)
    check_writable(out)
    files = draw(results, name, out, frame)
    if not files:
        raise InputError(f"the records of {name!r} make no picture; a line against K needs two depths of a family")
    print(*files, sep="\n")


def report(*, results: Results = Path("results"), out: Out = Path("reports")) -> None:
    """Write a report of all records: HTML that opens offline, Markdown, LaTeX."""
    from nfbench.foundation.files import check_writable
    from nfbench.present.report.build import report as write

    check_writable(out)
    print(f"report: {write(results, out)}")


def show(names: Sequence[str], profile: str, results: Path, out: Path) -> None:
    """Tables, verdicts against the paper and the report with its plots: what `reproduce` ends with.

    The tables are those of the user's own records of `profile`; the report has whatever else is stored beside them.
    """
    from nfbench.present.report.build import verdicts
    from nfbench.present.tables.experiment import table as render
    from nfbench.published.catalogue import experiment_of
    from nfbench.records.frame import results as stored

    frame = stored(results)
    frame = frame[(frame["source"] == "own") & (frame["profile"] == profile)]
    for name in names:
        print(render(frame, name, "md"), end="\n\n")
    for name in dict.fromkeys(map(experiment_of, names)):
        print(*verdicts(frame, name), sep="\n")
    report(results=results, out=out)


def _timings(results: Path) -> "pd.DataFrame":
    """All stored timings.

    Raises:
        InputError: there is none.
    """
    from nfbench.analysis.timings import timed

    frame = timed(results)
    if frame.empty:
        raise InputError(f"no timing records under {str(results)!r}; expected what 'nfbench time' wrote")
    return frame


def _records(name_or_path: str, results: Path) -> "tuple[str, pd.DataFrame]":
    """The experiment's name, or that of a published figure of its records, and all stored results.

    Raises:
        InputError: there is no record of it.
    """
    from nfbench.experiments.library import load, names
    from nfbench.published.catalogue import experiment_of
    from nfbench.records import frame as records_frame

    name = load(name_or_path).name if name_or_path.endswith((".yaml", ".yml")) else name_or_path
    frame = records_frame.results(results)
    stored = sorted(set(frame["experiment"]))
    if experiment_of(name) in stored:
        return name, frame
    asked = name in names() or experiment_of(name) != name  # no slip: it has not been run yet
    hint = "" if asked else did_you_mean(name, dict.fromkeys([*stored, *names()]))
    raise InputError(
        f"no records of experiment {name!r} in {str(results)!r};{hint} "
        f"there are records of: {', '.join(stored) or 'none'}; expected 'nfbench run' before"
    )
