"""The command that makes one folder of results of several: merge."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nfbench.foundation.terminal import is_quiet, is_verbose

if TYPE_CHECKING:
    from nfbench.records.merge import Merged

_TITLES = {
    "damaged": "damaged, left where they are",
    "unreadable": "not to be read, left where they are",
    "no place": "not taken, as what stands in their place cannot be read",
    "differs": "of other numbers than what is there, kept beside it",
    "unfinished": "not taken, as they are unfinished and there is an outcome",
    "left": "left out",
}
_MOST_LEFT = 5  # lines of what is left out


def merge(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folders of results; none is changed.")],
    *,
    into: Annotated[Path, typer.Option(metavar="DIR", help="Folder of results that gets what it has not yet.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: what became of every file.")] = False,
) -> int:
    """Make one folder of results of several; exit code 1 if anything is damaged, not to be read, or differs."""
    from nfbench.records.merge import NAMED
    from nfbench.records.merge import merge as merged_into

    merged = merged_into(folders, into)
    if as_json:
        print(json.dumps([_as_data(each) for each in merged], indent=1))
    else:
        print(*_lines(merged, into), sep="\n")
    return int(any(each.kind in NAMED for each in merged))


def _as_data(merged: "Merged") -> dict[str, str | None]:
    place = None if merged.place is None else str(merged.place)
    return {"file": str(merged.file), "kind": merged.kind, "reason": merged.reason, "place": place}


def _lines(merged: "Sequence[Merged]", into: Path) -> list[str]:
    kinds: list[str] = [each.kind for each in merged]
    taken = len(kinds) - kinds.count("left")
    counts = ", ".join(f"{count} {kind}" for kind in ("new", "equal", *_TITLES) if (count := kinds.count(kind)))
    lines = [f"{taken} outcome{'s' * (taken != 1)} into {into}: {counts}"]
    lines += [f"{each.file}: {each.reason}" for each in merged if each.kind in ("new", "equal") and each.reason]
    for kind, title in _TITLES.items():
        named = [f"  {each.file}: {each.reason}" for each in merged if each.kind == kind]
        shown = len(named) if is_verbose() or kind != "left" else 0 if is_quiet() else _MOST_LEFT
        if named[:shown]:
            lines += [f"{title}:", *named[:shown]]
            lines += [f"  and {len(named) - shown} more, which --verbose names"] * (len(named) > shown)
    return lines
