"""Commands that show stored records: table, plot, report."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nfbench.foundation.errors import InputError
from nfbench.foundation.names import did_you_mean
from nfbench.specification.choices import TIMING, Format

if TYPE_CHECKING:
    from nfbench.present.results import Results as StoredAndShown

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
    name, stored = _stored(experiment, results)
    print(stored.table(name, fmt))


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
    """Tables, verdicts against the paper and the report with its plots: what `reproduce` ends with.

    Args:
        names: of experiments, or of published figures of their records.
        profile: the tables and verdicts are those of the user's own records of this profile.
        results: folder of the records; the report has whatever else is stored there beside them.
        out: folder of the report.
    """
    from nfbench.present.report.build import verdicts
    from nfbench.present.results import results as read
    from nfbench.present.tables.experiment import table as render
    from nfbench.published.catalogue import experiment_of

    stored = read(results)
    frame = stored.frame[(stored.frame["source"] == "own") & (stored.frame["profile"] == profile)]
    for name in names:
        print(render(frame, name, "md"), end="\n\n")
    for name in dict.fromkeys(map(experiment_of, names)):
        print(*verdicts(frame, name), sep="\n")
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
