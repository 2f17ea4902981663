"""Commands about a folder of results as such: status, clean."""

import dataclasses
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nfbench.cli.run import ranges
from nfbench.foundation.errors import InputError

if TYPE_CHECKING:
    from nfbench.experiments.status import Status, Work

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the records.")]
_REFRESH = 5.0  # seconds between two looks
_MOST_LINES = 20  # of one kind


def status(
    results: Folder = Path("results"),
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every 5 seconds until nothing is left.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what is done, running where, waiting, failed and stale in a folder of results."""
    from nfbench.experiments.status import status as state_of

    _check(results)
    while True:
        state = state_of(results)
        print(json.dumps(_as_data(state)) if as_json else "\n".join(_lines(state)), flush=True)
        if not watch or state.is_over:
            return
        time.sleep(_REFRESH)
        if not as_json:
            print()


def clean(
    results: Folder = Path("results"),
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Remove; else only what would be removed is printed.")] = False,
) -> None:
    """Remove what killed processes have left: partial files, dead leases, checkpoints of finished cells."""
    from nfbench.experiments.clean import leftovers, remove
    from nfbench.experiments.status import aside

    _check(results)
    found = leftovers(results)
    for leftover in found:
        print(f"{leftover.kind}: {leftover.file}")
    for file in aside(results):
        print(f"kept for you to look at: {file}")
    if yes:
        gone = remove(found, results)
        print(f"{len(gone)} file{'s' * (len(gone) != 1)} removed")
    elif found:
        print(f"{len(found)} file{'s' * (len(found) != 1)} would be removed: 'nfbench clean {results} --yes' removes")
    else:
        print("nothing to remove")


def _check(results: Path) -> None:
    if not results.is_dir():
        raise InputError(f"results {str(results)!r}: expected a folder")


def _as_data(state: "Status") -> dict[str, Any]:
    data = dataclasses.asdict(state)
    files = {"aside": [str(file) for file in state.aside], "logs": [str(file) for file in state.logs]}
    return data | {"root": str(state.root), **files}


def _lines(state: "Status") -> Iterator[str]:
    total = sum(state.counts.values())
    counts = ", ".join(f"{count} {kind}" for kind, count in state.counts.items() if count)
    yield f"{total} cell{'s' * (total != 1)} in {state.root}: {counts or 'none'}"
    yield from _kind("running", [_work(work) for work in state.running])
    yield from _kind("stale, for the next worker to take over", [_work(work) for work in state.stale])
    yield from _kind(
        "waiting",
        [f"{each.name} | seeds {ranges(each.seeds)}{' | resumes' * each.resumable}" for each in state.waiting],
    )
    yield from _kind("failed", [f"{each.name} | seeds {ranges(each.seeds)}: {each.message}" for each in state.failed])
    yield from _kind("kept for you to look at", [str(file) for file in state.aside])
    if state.logs:
        number = f"{len(state.logs)} file{'s' * (len(state.logs) != 1)}"
        yield f"what workers said: {number} in {state.logs[0].parent}"


def _kind(title: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield f"{title}:"
        yield from (f"  {line}" for line in lines[:_MOST_LINES])
        if len(lines) > _MOST_LINES:
            yield f"  and {len(lines) - _MOST_LINES} more"


def _work(work: "Work") -> str:
    far = f"{work.done}/{work.updates} updates" + (f", F = {work.bound:.4f} nats" if work.bound is not None else "")
    cells = f"{work.cells} cell{'s' * (work.cells != 1)}"
    return (
        f"{work.name} | {cells} | {work.owner} for {_duration(work.since)} | {far} | "
        f"last sign of life {_duration(work.silent)} ago" + (f" | {work.log}" if work.log else "")
    )


def _duration(seconds: float) -> str:
    """Seconds in the largest two units.

    >>> _duration(59), _duration(150), _duration(7300)
    ('59 s', '2 min 30 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
