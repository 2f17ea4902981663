"""Whose code a group runs, and so in which process it can run."""

import functools
import os
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points

from nfbench.foundation.errors import InputError
from nfbench.specification.config import Group
from nfbench.specification.entry import Entry
from nfbench.specification.registry import posteriors, protocols, targets

_MAIN = "__main__"
_REGISTRIES = (posteriors, targets, protocols)
_GROUPS = ("nfbench.posteriors", "nfbench.targets", "nfbench.data")  # of entry points


def may_run_here(group: Group) -> bool:
    """Whether a group needs no process of its own: nfbench's own code, and the script's, is trusted.

    Args:
        group: cells of one target and posterior.

    Returns:
        True where target and posterior are nfbench's own, or registered by the script or the session itself.
    """
    entries = _entries(group)
    foreign = [entry for entry in entries if not _is_own(entry.made_by.__module__)]
    return is_own(group) or (bool(foreign) and all(_of_session(entry) for entry in foreign))


def is_own(group: Group) -> bool:
    """Whether a group runs no code but nfbench's own.

    Args:
        group: cells of one target and posterior.

    Returns:
        True where target and posterior are nfbench's own; a user's Python file is not.
    """
    return not group.cells[0].sources and all(_is_own(entry.made_by.__module__) for entry in _entries(group))


def is_trusted_target(spec: str) -> bool:
    """Whether a target can be built in this process: it is nfbench's own, or the script's or the session's.

    Args:
        spec: of the target.

    Returns:
        False for a user's Python file, and for what a module outside nfbench registers.
    """
    entry = targets.choose(spec).entry
    return _is_own(entry.made_by.__module__) or _of_session(entry)


def check_importable(group: Group, jobs: int) -> None:
    """Refuse to start a process for a group where it would not know what this session has registered.

    Args:
        group: cells of one target and posterior.
        jobs: processes at once, for the message.

    Raises:
        InputError: the target or the posterior is registered by code that other processes cannot import.
    """
    for entry in _entries(group):
        of_script = entry.made_by.__module__ == _MAIN and _script() is not None
        if _of_session(entry) and not (of_script and "<locals>" not in entry.made_by.__qualname__):
            raise InputError(
                f"run: {entry.name!r} is registered in this session, which other processes cannot import: expected "
                f"jobs=1 and no limits (got jobs={jobs}), or a module that registers it"
            )


def needs_script(run: Callable[..., object]) -> bool:
    """Whether a process needs the script that this one runs, because something is registered there.

    Args:
        run: the function that runs groups.

    Returns:
        False where everything comes from modules; a script then needs no ``if __name__ == "__main__":``.
    """
    function = run.func if isinstance(run, functools.partial) else run
    return _MAIN in {*_modules(), getattr(function, "__module__", None)}


def foreign_modules() -> tuple[str, ...]:
    """The modules outside nfbench that have registered something; a process that is to know it imports them.

    Returns:
        Sorted names, without the script itself.
    """
    return tuple(sorted({module for module in _modules() if not (_is_own(module) or module == _MAIN)}))


def _entries(group: Group) -> tuple[Entry, Entry]:
    return posteriors.choose(group.posterior).entry, targets.choose(group.target).entry


def _modules() -> Iterator[str]:
    for registry in _REGISTRIES:
        yield from (entry.made_by.__module__ for entry in registry.in_order())


def _is_own(module: str) -> bool:
    return module.split(".")[0] == "nfbench"


def _of_session(entry: Entry) -> bool:
    """Whether a thing is registered by the script, a notebook or a call, which no import of a module repeats."""
    module = entry.made_by.__module__
    plugins = {point.module.split(".")[0] for group in _GROUPS for point in entry_points(group=group)}
    if module.split(".")[0] in plugins:
        return False
    return module == _MAIN or "<locals>" in entry.made_by.__qualname__


def _script() -> str | None:
    """The file of the script that this process runs; None for a notebook, a pipe or the interpreter's prompt."""
    file = getattr(sys.modules[_MAIN], "__file__", None)
    return file if file is not None and os.path.exists(file) else None  # noqa: PTH110
