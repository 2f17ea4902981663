"""Commands about data sets: data ls, data get, data check; and the option that says where data lie."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nfbench.foundation.errors import InputError
from nfbench.foundation.terminal import say

if TYPE_CHECKING:
    from nfbench.data.source import Source

app = typer.Typer(rich_markup_mode=None, invoke_without_command=True)


def _look_first(folder: Path | None) -> Path | None:
    """Find data in that folder, in this process and in those that it starts."""
    if folder is not None:
        from nfbench.data.storage.files import prepend

        prepend(folder)
    return folder


DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", callback=_look_first, help="Folder of data files, before NFBENCH_DATA and the cache."),
]


@app.callback()
def _data(context: typer.Context) -> None:
    """List, download and check data sets."""
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command("ls")
def ls(
    *, data_dir: DataDir = None, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """List the data protocols.

    Files count as here by their names; 'nfbench data check' reads them.
    """
    from nfbench.specification.registry import protocols

    rows = [_facts(name) for name in protocols.names()]
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        print(f"{row['name']:<{width}}  {row['state']}{_size(row)}")
        print(f"    {row['summary']}", f"    {row['cite']}; licence: {row['licence']}", sep="\n")


@app.command("get")
def get(
    name: Annotated[str, typer.Argument(help="A data protocol, or what several have in common: mnist.")],
    *,
    data_dir: Annotated[Path | None, typer.Option(help="Folder to keep the files in; the cache if omitted.")] = None,
) -> None:
    """Download a data set, unless it is here."""
    from nfbench.data.source import called, source
    from nfbench.data.storage.download import get as download

    sources = list(dict.fromkeys(source(origin) for origin in called(name)))
    for origin in sources:
        if not origin.files:
            print(f"{origin.name}: needs no file ({origin.licence})")
        for path in download(origin, data_dir, lambda text: say(f"nfbench: {text}")):
            print(path)


@app.command("check")
def check(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Data protocols; all that are here if omitted.")
    ] = None,
    *,
    data_dir: DataDir = None,
) -> int:
    """Prove that data sets are right.

    They are loaded and compared with their protocols. Exit code 2 if one is wrong, or named and missing.
    """
    from nfbench.data.source import called, source
    from nfbench.specification.registry import protocols

    chosen = dict.fromkeys(protocol for name in names for protocol in called(name)) if names else protocols.names()
    told: dict[str, None] = {}
    for name in chosen:
        if not names and _state(source(name))[0] == "missing":
            print(f"{name}: missing")
            continue
        content, faults = _observed(name)
        if content:
            print(f"{name}: right: {content}")
        told |= dict.fromkeys(faults)
    for line in told:
        say(f"nfbench: error: {line}")
    return 2 if told else 0


def _observed(name: str) -> tuple[str | None, list[str]]:
    """What a record would keep of a protocol loaded anew, or what is wrong with its files."""
    import inspect

    from nfbench.data.source import source
    from nfbench.specification.registry import protocols

    faults = source(name).faults()
    if faults:
        return None, faults
    try:
        return inspect.unwrap(protocols[name].factory)().protocol, []
    except InputError as error:
        return None, [str(error)]


def _facts(name: str) -> dict[str, Any]:
    from nfbench.data.source import source
    from nfbench.specification.registry import protocols

    entry, origin = protocols[name], source(name)
    state, places, size = _state(origin)
    return {
        "name": name,
        "label": entry.label,
        "summary": entry.summary,
        "state": state,
        "places": places,
        "bytes": size,
        "cite": entry.cite,
        "licence": origin.licence,
        "options": {key: default for key, (_, default) in entry.options.items()},
    }


def _state(origin: "Source") -> tuple[str, list[str], int | None]:
    """Whether the files are here, where, and their bytes; of missing ones the bytes to be downloaded."""
    from nfbench.data.storage.files import find

    try:
        places = [find(file) for file in origin.files]
    except InputError as error:
        return str(error), [], None
    paths = [path for path in places if path is not None]
    if len(paths) == len(places):
        folders = dict.fromkeys(str(path.parent) for path in paths)
        return "here", list(folders), sum(path.stat().st_size for path in paths)
    if not any(file.mirrors for file in origin.files):
        return "missing", [], None
    sizes = [file.size for file, path in zip(origin.files, places, strict=True) if path is None]
    return "missing" if not paths else "incomplete", [], None if None in sizes else sum(size or 0 for size in sizes)


def _size(row: dict[str, Any]) -> str:
    """Size and place, as far as they are known.

    >>> _size({"bytes": 2_500_000, "places": []})
    ', 2.5 MB to download'
    """
    size = f", {row['bytes'] / 1e6:,.1f} MB" if row["bytes"] else ""
    if row["places"]:
        return f"{size} in {', '.join(row['places'])}"
    return f"{size} to download" if size else ""
