"""Where the data of a protocol come from, and the decorator by which a protocol is known."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

from nfbench import registry
from nfbench.data.files import File, find, nowhere, read
from nfbench.data.observations import Observations
from nfbench.data.protocol import Rows

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

    def rows(self) -> list[Rows]:
        """What each file holds.

        Raises:
            InputError: a file is missing, cannot be read, or holds something else than it should.
        """
        return [read(file, find(file) or nowhere(file, self.name)) for file in self.files]


def protocol(
    name: str, source: Source, *, label: str, cite: str, year: int
) -> Callable[[Callable[..., Observations]], Callable[..., Observations]]:
    """Register what makes the observations of a protocol from `source`; they are made once a process.

    Args:
        name: as in ``mnist:dynamic``.
        source: of its files.
        label: for people.
        cite: who published the data.
        year: of that.
    """

    def decorate(make: Callable[..., Observations]) -> Callable[..., Observations]:
        _sources[name] = source
        return registry.protocol(name, label=label, cite=cite, year=year)(functools.cache(make))

    return decorate


def source_of(name: str) -> Source:
    """The source of a protocol, or the one that is called so itself.

    Raises:
        InputError: no protocol of that name.
    """
    known = registry.protocols.names()
    if name not in known:
        for source in _sources.values():
            if source.name == name:
                return source
    return _sources[registry.protocols[name].name]
