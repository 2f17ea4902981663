"""The command that exports fitted posteriors: export."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from nfbench.foundation.terminal import is_quiet

_ENDINGS = {"netcdf": ".nc"}


def export(
    identity: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="A record's id, whose training is repeated; a name in results/choose; or a file of Fitted.save.",
        ),
    ],
    *,
    to: Annotated[Literal["netcdf"], typer.Option("--to", help="Format; ArviZ reads netcdf.")] = "netcdf",
    draws: Annotated[int, typer.Option(min=1, help="Of each seed.")] = 1000,
    target: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="The target's spec; needed if its code is in a file. The file is run."),
    ] = None,
    results: Annotated[Path, typer.Option(help="Folder of the records.")] = Path("results"),
    out: Annotated[Path | None, typer.Option(help="The new file; ID.nc if omitted.")] = None,
) -> None:
    """Write draws of fitted posteriors for ArviZ: seeds as chains, in the space of the model, with ln p and ln q."""
    from nfbench.experiments.export import export as write
    from nfbench.foundation.progress import Progress

    file = out or Path(Path(identity).stem + _ENDINGS[to])
    with Progress(1, "trainings") as progress:

        def report(done: int, bound: float) -> None:
            progress.show(identity, done, done, f"F = {bound:.3f}", "updates")

        write(identity, results, file, target=target, draws=draws, report=report)
    if not is_quiet():
        print(f"wrote {file}")
