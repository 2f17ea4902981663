"""Named things of one kind, each registered by its own module and found by being there."""

import contextlib
import faulthandler
import importlib
import os
import pkgutil
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, Protocol, TypeVar

from nfbench.foundation.errors import InputError, reason
from nfbench.foundation.names import unknown

_LOADING = threading.RLock()  # one for all kinds: a module may register several, and look up others meanwhile


class _Registered(Protocol):
    """What can be registered."""

    @property
    def name(self) -> str:
        """By which it is known."""

    @property
    def made_by(self) -> Callable[..., Any]:
        """The function behind it: its module and qualified name say whose the name is."""


E = TypeVar("E", bound=_Registered)


class Named(Generic[E]):
    """Things of one kind by name, gathered from modules of this package and from an entry-point group of others.

    The modules are imported at the first look-up, which may come from several threads at once.

    Args:
        kind: what one of them is called in messages.
        packages: of nfbench, each of whose modules registers its things when it is imported.
        group: the entry-point group of other distributions; it keeps its name wherever nfbench's own modules are.
    """

    def __init__(self, kind: str, packages: tuple[str, ...] = (), group: str | None = None) -> None:
        self.kind = kind
        self._packages = packages
        self._group = group
        self._entries: dict[str, E] = {}
        self._loaded = False
        self._loading = False
        self._writing = threading.Lock()

    def add(self, entry: E) -> E:
        """Make a thing known by its name.

        A function of the same module and qualified name replaces the earlier one, as when a notebook's cell runs again.
        A name of nfbench's own is taken whoever comes first, so that all processes of a run agree.

        Args:
            entry: with its name.

        Returns:
            The entry itself.

        Raises:
            ValueError: another function's thing has the name.
        """
        owner = _owner(entry)
        if not self._is_own(owner[0]):
            self._import_packages()
        with self._writing:
            present = self._entries.get(entry.name)
            if present is not None and _owner(present) != owner:
                place = ".".join(_owner(present))
                raise InputError(f"{self.kind} name {entry.name!r} is taken by {place}; expected another name")
            self._entries[entry.name] = entry
        return entry

    def names(self) -> list[str]:
        """All known names, sorted.

        Returns:
            A new list.
        """
        self._load()
        return sorted(self._entries)

    def in_order(self) -> list[E]:
        """All things, in the order in which they were registered.

        Returns:
            A new list.
        """
        self._load()
        return list(self._entries.values())

    def __iter__(self) -> Iterator[E]:
        return iter([self._entries[name] for name in self.names()])

    def __contains__(self, name: str) -> bool:
        self._load()
        return name in self._entries

    def __getitem__(self, name: str) -> E:
        self._load()
        if name not in self._entries:
            raise unknown(self.kind, name, self.names())
        return self._entries[name]

    def _is_own(self, module: str) -> bool:
        return any(module == name or module.startswith(f"{name}.") for name in self._packages)

    def _import_packages(self) -> None:
        """Without a lock of ours: Python has one for each module, and this may run while a module is imported."""
        for name in self._packages:
            for module in pkgutil.iter_modules(importlib.import_module(name).__path__):
                importlib.import_module(f"{name}.{module.name}")

    def _load(self) -> None:
        if self._loaded:
            return
        with _LOADING:
            if self._loaded or self._loading:  # loading: a module that is being loaded looks something up
                return
            self._loading = True
            try:
                self._import_packages()
                self._import_entry_points()
                self._loaded = True
            finally:
                self._loading = False

    def _import_entry_points(self) -> None:
        for point in entry_points(group=self._group) if self._group else ():
            place = f"{self.kind} entry point {point.name!r} ({point.value})"
            try:
                _load_named(point, place)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # whatever another package does wrong, even exit: this one goes on
                warnings.warn(f"{place}: {reason(error)}; skipped", stacklevel=2)


def _load_named(point: EntryPoint, place: str) -> None:
    """Import an entry point's module; where that kills the process, its last words name the distribution.

    A crash is told by faulthandler, which says where the code was: the import has a frame whose file is a sentence.
    """
    distribution = f"distribution {point.dist.name} {point.dist.version}" if point.dist else "a distribution"
    exit_at_once: Callable[[int], Any] = os._exit
    importing = threading.get_ident()

    def exit_with_words(status: int) -> None:
        if threading.get_ident() == importing:
            with contextlib.suppress(Exception):
                text = f"nfbench: error: {place} of {distribution} ended the process while it was imported"
                print(f"{text}, with os._exit({status}); expected a module that registers", file=sys.stderr, flush=True)
        exit_at_once(status)

    told = faulthandler.is_enabled()
    with contextlib.suppress(Exception):  # standard error is closed, or no file
        if not told:
            faulthandler.enable()
    os._exit = exit_with_words  # type: ignore[assignment]
    try:
        exec(compile("load()", f"<nfbench imports {place} of {distribution}>", "exec"), {"load": point.load})
    finally:
        os._exit = exit_at_once  # type: ignore[assignment]
        if not told:
            faulthandler.disable()


def _owner(entry: _Registered) -> tuple[str, str]:
    maker = entry.made_by
    return getattr(maker, "__module__", None) or "?", getattr(maker, "__qualname__", None) or repr(maker)
