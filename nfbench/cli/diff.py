"""The command that compares two folders of results: diff."""

import json
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from nfbench.foundation.terminal import is_quiet, is_verbose

if TYPE_CHECKING:
    from nfbench.analysis.changes import Change, Comparison
    from nfbench.specification.config import Cell

_MOST_LINES = 10  # of one kind
Side = Annotated[str, typer.Argument(metavar="A", help="Folder of results, or REVISION:PATH of a git repository.")]
OtherSide = Annotated[str, typer.Argument(metavar="B", help="What it is compared with, likewise.")]


def diff(
    left: Side,
    right: OtherSide,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Say what differs between two folders of results; exit code 1 if anything changed beyond noise."""
    from nfbench.analysis.changes import as_data, compare
    from nfbench.records.outcomes import outcomes
    from nfbench.records.revisions import folder

    with folder(left) as before, folder(right) as after:
        sides = [
            found._replace(faults=[fault.replace(str(copy), name) for fault in found.faults])
            for name, copy, found in ((left, before, outcomes(before)), (right, after, outcomes(after)))
        ]
    comparison = compare(*sides)
    if as_json:
        print(json.dumps(as_data(comparison), indent=1))
    else:
        print(*_lines(comparison), sep="\n")
        _print_changes(comparison.changes, left, right)
    return int(comparison.has_changed)


def _lines(comparison: "Comparison") -> Iterator[str]:
    verdicts = [change.verdict for change in comparison.changes]
    beyond = sum(verdict not in ("within noise", "undecided") for verdict in verdicts)
    cells = comparison.equal + comparison.unequal
    yield (
        f"{cells} cell{'s' * (cells != 1)} in both: {comparison.equal} equal bit by bit, {comparison.unequal} not; "
        f"{comparison.moved} of another configuration; {len(comparison.only_left)} only before, "
        f"{len(comparison.only_right)} only after"
    )
    yield (
        f"changes of metrics: {beyond} beyond noise, {verdicts.count('within noise')} within, "
        f"{verdicts.count('undecided')} undecided: too few seeds"
    )
    if any(comparison.timings):
        yield "timings are not compared: {} before, {} after".format(*comparison.timings)
    yield from _kind("ended otherwise", comparison.ended)
    yield from _kind("metrics of one side", comparison.lacking)
    yield from _kind("no records, and not compared", comparison.faults)
    if not is_quiet():
        yield from _kind("made otherwise", comparison.provenance)
        yield from _kind("only before", _named(comparison.only_left))
        yield from _kind("only after", _named(comparison.only_right))


def _kind(title: str, lines: Sequence[str]) -> Iterator[str]:
    shown = len(lines) if is_verbose() else _MOST_LINES
    if lines:
        yield f"{title}:"
        yield from (f"  {line}" for line in lines[:shown])
        if len(lines) > shown:
            yield f"  and {len(lines) - shown} more, which --verbose names"


def _named(cells: "Sequence[Cell]") -> list[str]:
    """One line for each configuration, with its seeds."""
    from nfbench.cli.run import ranges

    seeds: dict[str, list[int]] = {}
    for cell in cells:
        seeds.setdefault(f"{cell.experiment} {cell.profile} {cell.target} {cell.name}", []).append(cell.seed)
    return [f"{name} seeds {ranges(sorted(those))}" for name, those in seeds.items()]


def _print_changes(changes: "Sequence[Change]", left: str, right: str) -> None:
    from rich.console import Console

    from nfbench.analysis.changes import BEYOND
    from nfbench.present.tables import terminal
    from nfbench.present.tables.changes import changes_table
    from nfbench.present.tables.render import markdown

    shown = [change for change in changes if is_verbose() or change.verdict in (*BEYOND, "undecided")]
    if not shown:
        return
    table = changes_table(shown, left, right, len(changes))
    print()
    if sys.stdout.isatty():
        terminal.show([table], Console(highlight=False, markup=False), verbose=is_verbose(), hint="")
    else:
        print(markdown(table), end="")
