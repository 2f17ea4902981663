"""The command that writes a leaderboard: leaderboard."""

from pathlib import Path
from typing import Annotated

import typer

from nfbench.cli.folder import Folder


def leaderboard(
    results: Folder = Path("results"),
    *,
    out: Annotated[Path, typer.Option(help="Folder of the pages.")] = Path("leaderboard"),
) -> None:
    """Write static pages that rank what was run on each target, with where each number is from."""
    from nfbench.foundation.files import check_writable
    from nfbench.present.report.leaderboard import leaderboard as write
    from nfbench.present.results import results as read

    stored = read(results)
    check_writable(out)
    print(f"leaderboard: {write(stored, out)}")
