"""Where the data of a protocol come from, and the decorator by which a protocol is known."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

from nfbench.data.observations import Observations
from nfbench.data.protocol import Rows
from nfbench.data.storage.files import File, find, nowhere, read
from nfbench.foundation.errors import InputError
from nfbench.specification import registry

_sources: dict[str, "Source"] = {}


@dataclass(frozen=True)
class Source:
    """The files that protocols are made of.

    Attributes:
        name: by which ``nfbench data get`` knows them.
        licence: what may be done with them, as their authors state it.
        files: in the order of `rows`; none where a library brings the data along.
    """

    name: str
    licence: str
    files: tuple[File, ...] = ()

    def faults(self) -> list[str]:
        """What is wrong with the files, a line each."""
        lines = []
        for file in self.files:
            try:
                read(file, find(file) or nowhere(file, self.name))
            except InputError as error:
                lines.append(str(error))
        return lines

    def rows(self) -> list[Rows]:
        """What each file holds.

        Raises:
            InputError: a file is missing, cannot be read, or holds something else than it should.
        """
        return [read(file, find(file) or nowhere(file, self.name)) for file in self.files]


def protocol(
    name: str, origin: Source, *, label: str, cite: str, year: int
) -> Callable[[Callable[..., Observations]], Callable[..., Observations]]:
    """Register what makes the observations of a protocol from `origin`; they are made once a process.

    Args:
        name: as in ``mnist:dynamic``.
        origin: of its files.
        label: for people.
        cite: who published the data.
        year: of that.
    """

    def decorate(make: Callable[..., Observations]) -> Callable[..., Observations]:
        _sources[name] = origin
        return registry.protocol(name, label=label, cite=cite, year=year)(functools.cache(make))

    return decorate


def called(name: str) -> list[str]:
    """The protocol of that name, or all protocols of the source of that name.

    Raises:
        InputError: neither is known.
    """
    every = registry.protocols.names()
    named = [one for one in every if one == name] or [one for one in every if source(one).name == name]
    return named or [registry.protocols[name].name]


def source(name: str) -> Source:
    """Where the data of a protocol come from.

    Raises:
        InputError: no protocol of that name.
    """
    known = registry.protocols[name].name
    return _sources.get(known) or Source(known, "unknown")
