"""The command that runs random cells of a folder of results again: recheck."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nfbench.cli.data import DataDir
from nfbench.cli.folder import Folder
from nfbench.cli.run import INTERRUPTED, GroupMemory, GroupSeconds, Jobs
from nfbench.foundation.errors import InputError
from nfbench.foundation.terminal import is_quiet, is_verbose, say
from nfbench.specification.choices import RECHECKS

if TYPE_CHECKING:
    from nfbench.experiments.recheck import Checked
    from nfbench.experiments.recheck_sample import Sample
    from nfbench.records.outcomes import Outcomes
    from nfbench.specification.config import Cell

_MOST_CELLS = 3  # named of those that cannot be run here for one reason


def recheck(
    results: Folder = Path("results"),
    *,
    sample: Annotated[int, typer.Option(min=1, metavar="N", help="Cells to run again.")] = 5,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the random choice; if omitted, a random one, which is printed.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(metavar="M", help="Pick cells that together took at most so many core-minutes.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N; that of each record if omitted.")] = None,
    data_dir: DataDir = None,
    jobs: Jobs = None,
    group_seconds: GroupSeconds = None,
    group_memory: GroupMemory = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be run and its cost, and stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Run random cells of a folder of results again; exit code 1 if one does not hold."""
    from nfbench.executors.limits import Limits
    from nfbench.experiments.recheck import recheck as run
    from nfbench.experiments.recheck import seed_of_chance
    from nfbench.experiments.recheck_sample import draw
    from nfbench.foundation.environment import check_device
    from nfbench.foundation.interrupts import Interrupt
    from nfbench.records.outcomes import outcomes
    from nfbench.records.rechecks import HOLDS

    limits = Limits(group_seconds, group_memory)
    if device is not None:
        check_device(device)
    stored = outcomes(results)
    chosen = seed_of_chance() if seed is None else seed
    picked = draw(stored, sample, chosen, minutes=minutes, device=device)
    told = [*([] if is_quiet() else _plan(picked, chosen)), *_absent(picked), *_faults(stored)]
    if as_json or not dry_run:
        for line in told:
            say(line)
    else:
        print(*told, sep="\n")
    if not picked.picks:
        longer = f"; {picked.too_long} would take longer" if picked.too_long else ""
        raise InputError(f"recheck: none of {picked.finished} finished cells can be run here{longer}")
    if dry_run:
        return 0
    try:
        checked = run(picked, results, jobs, limits)
    except KeyboardInterrupt as error:
        say(f"nfbench: interrupted: no recheck is stored; the same command with --seed {chosen} begins again")
        return error.exit_code if isinstance(error, Interrupt) else INTERRUPTED
    if as_json:
        print(json.dumps([_as_data(each) for each in checked], indent=1))
    else:
        for each in checked:
            print(f"{each.verdict or 'not run'}: {_name(each.cell)}: {each.detail}")
        held = sum(each.verdict in HOLDS for each in checked)
        stored_in = (
            f"; the rechecks are stored in {results / RECHECKS}" if any(each.verdict for each in checked) else ""
        )
        print(f"{held} of {len(checked)} hold{stored_in}")
    return int(bool(stored.faults) or not all(each.verdict in HOLDS for each in checked))


def _plan(picked: "Sample", seed: int) -> Iterator[str]:
    groups = len({pick.group.key for pick in picked.picks})
    longer = f"; {picked.too_long} were passed over as they took longer" if picked.too_long else ""
    yield (
        f"{len(picked.picks)} of {picked.finished} finished cells (--seed {seed}), in {groups} "
        f"training{'s' * (groups != 1)} that took {picked.seconds / 60:.2g} minutes of a core or GPU{longer}"
    )
    if is_verbose():
        yield from (f"  {_name(pick.cell)} on {pick.device}" for pick in picked.picks)


def _absent(picked: "Sample") -> Iterator[str]:
    from nfbench.experiments.recheck_sample import in_words

    for reason, cells in in_words(picked.absent).items():
        shown = cells if is_verbose() else cells[:_MOST_CELLS]
        more = f" and {len(cells) - len(shown)} more" if len(cells) > len(shown) else ""
        yield f"cannot be run here: {reason}: {'; '.join(map(_name, shown))}{more}"


def _faults(stored: "Outcomes") -> list[str]:
    return [f"no record, and not in the sample: {fault}" for fault in stored.faults]


def _name(cell: "Cell") -> str:
    return f"{cell.experiment} {cell.profile} {cell.target} {cell.name} seed {cell.seed} ({cell.id})"


def _as_data(checked: "Checked") -> dict[str, str | int | None]:
    cell = checked.cell
    fields = ("id", "experiment", "profile", "variation", "target", "posterior", "seed")
    names = {name: getattr(cell, name) for name in fields}
    return names | {"verdict": checked.verdict, "detail": checked.detail}
