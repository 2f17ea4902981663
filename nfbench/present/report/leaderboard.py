"""A leaderboard as static pages: an index, and a page for each target with all that was run on it."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nfbench.analysis.leaderboard import ORIGINS, Board, Entry, boards
from nfbench.foundation.environment import installed_version
from nfbench.foundation.errors import InputError
from nfbench.present.plots.style import shortened, slug
from nfbench.present.report.build import write
from nfbench.present.results import Results
from nfbench.present.tables.labels import budget, spread
from nfbench.records.glossary import measure
from nfbench.records.rechecks import verdicts
from nfbench.specification.config import digest


class Page(NamedTuple):
    """The page of a target.

    Attributes:
        target: its spec.
        label: its name.
        file: name of the page.
        boards: one a block of records.
    """

    target: str
    label: str
    file: str
    boards: list[Board]


def leaderboard(results: Results, out: Path) -> Path:
    """Write ``index.html`` and a page for each target.

    Args:
        results: what is shown.
        out: folder to write to, made if missing.

    Returns:
        The index.

    Raises:
        InputError: no record can be ranked, or `out` cannot be written.
    """
    pages = _pages(list(boards(results.frame, verdicts(results))))
    if not pages:
        raise InputError(
            f"leaderboard: no record under {str(results.root)!r} can be ranked; expected some that are done"
        )
    common: dict[str, Any] = {
        "version": installed_version("nfbench"),
        "origins": ORIGINS,
        "value": lambda entry: entry.printed or spread(entry.value),
        "measure": measure,
        "budget": budget,
    }
    for page in pages:
        write(out / page.file, "leaderboard_target.html", common | {"page": page})
    counts = Counter(entry.origin for page in pages for board in page.boards for entry in board.entries)
    write(out / "index.html", "leaderboard.html", common | {"pages": pages, "counts": counts, "first": _first})
    return out / "index.html"


def _pages(every: Sequence[Board]) -> list[Page]:
    targets: dict[str, list[Board]] = {}
    for board in every:
        targets.setdefault(board.target, []).append(board)
    return [
        Page(target, those[0].target_label, f"{shortened(slug(target))}-{digest(target)[:6]}.html", those)
        for target, those in targets.items()
    ]


def _first(board: Board) -> Entry | None:
    """The best configuration of ours."""
    return next((entry for entry in board.entries if entry.rank == 1), None)
