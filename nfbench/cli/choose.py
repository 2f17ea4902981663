"""The command that chooses a family for a density: choose."""

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nfbench.foundation.terminal import is_quiet, is_verbose
from nfbench.specification.choices import Stop

if TYPE_CHECKING:
    from nfbench.analysis.ranking import Candidate

UNTRUSTED = 3  # exit code where no family can be trusted


def choose(
    target: Annotated[
        str,
        typer.Argument(metavar="TARGET", help="A density: file:my_model.py, pyro:my.py::model, or a spec such as u1."),
    ],
    *,
    families: Annotated[
        list[str] | None,
        typer.Option("--families", metavar="SPEC", help="Instead of all, cheapest first; repeatable."),
    ] = None,
    minutes: Annotated[float | None, typer.Option(metavar="N", help="Stop after so long.")] = None,
    updates: Annotated[int, typer.Option(min=1, help="Of each restart of each family.")] = 2000,
    seeds: Annotated[int, typer.Option(min=1, help="Restarts of each family.")] = 3,
    stop: Annotated[
        Stop, typer.Option(help="After the updates, or on evidence of convergence, and the updates are the most.")
    ] = "budget",
    margin: Annotated[float, typer.Option(help="Nats by which a cheaper family may be worse.")] = 0.05,
    every: Annotated[bool, typer.Option("--all", help="Try all families, also when a cheap one suffices.")] = False,
    device: Annotated[str, typer.Option(help="Torch device: cpu, cuda or cuda:N.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    results: Annotated[Path, typer.Option(help="Folder of records; the outcome goes to its folder choose.")] = Path(
        "results"
    ),
    out: Annotated[Path, typer.Option(help="Folder of the picture.")] = Path("reports/figures"),
) -> int:
    """Fit families to a density, cheapest first, and say which will do; exit code 3 if none can be trusted."""
    from nfbench.experiments.choose import choose as fit_families
    from nfbench.experiments.choose_files import write
    from nfbench.foundation.files import check_writable
    from nfbench.foundation.progress import Progress

    check_writable(results)
    check_writable(out)
    ended: list[Candidate] = []
    # What the user's code prints goes to standard error: the outcome may be JSON.
    with contextlib.redirect_stdout(sys.stderr), Progress(1, "families") as progress:

        def report(spec: str, done: int, total: int, bound: float) -> None:
            progress.show(spec, done, total, f"F = {bound:.3f}", "updates")

        def tell(candidate: "Candidate", total: int) -> None:
            ended.append(candidate)
            progress.total = total
            progress.report(len(ended), _line(candidate), candidate.posterior)

        budget: dict[str, Any] = {"updates": updates, "minutes": minutes, "seeds": seeds, "device": device}
        if stop != "budget":
            budget["stop"] = stop
        chosen = fit_families(
            target,
            families,
            **budget,
            margin=margin,
            all_families=every,
            report=report,
            ended=tell,
        )
        data = chosen.as_data()
        files = write(data, results, out, chosen.fitted.get(chosen.posterior or "", []))
    if as_json:
        print(json.dumps(data, indent=1))
    else:
        _show(data)
        if not is_quiet():
            print(*(f"wrote {file}" for file in files), sep="\n")
    return 0 if chosen.posterior is not None else UNTRUSTED


def _ends(data: dict[str, Any]) -> list[str]:
    """Why the training of each restart ended, where evidence may end it."""
    return [f"{row['posterior']}: {text}" for row in data["candidates"] for text in row["stopped"]]


def _line(candidate: "Candidate") -> str:
    from nfbench.analysis.ranking import khat_text

    energy = candidate.free_energy.mean
    numbers = "" if energy is None else f"F = {energy:.3f}, k-hat {khat_text(candidate.khat)}, "
    return f"{candidate.posterior}: {numbers}{', '.join(candidate.faults()) or 'can be trusted'}"


def _show(data: dict[str, Any]) -> None:
    from rich.console import Console

    from nfbench.present.tables import terminal
    from nfbench.present.tables.ranking import compared, moments, ranking
    from nfbench.present.tables.render import markdown

    tables = [table for table in (ranking(data), compared(data)) if table is not None]
    if sys.stdout.isatty():
        terminal.show(tables, Console(highlight=False, markup=False), verbose=is_verbose())
    else:
        print("\n".join(map(markdown, tables)))
    lines = moments(data)
    if is_verbose():
        print(*lines, *_ends(data), sep="\n")
    print(data["sentence"])
