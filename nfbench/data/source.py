"""Where the data of a protocol come from: files with a proof of what they hold, and what may be done with them."""

from dataclasses import dataclass

from nfbench.data.protocol import Rows
from nfbench.data.storage.files import File, find, nowhere, read
from nfbench.foundation.deprecated import moved
from nfbench.foundation.errors import InputError
from nfbench.foundation.names import unknown
from nfbench.specification.registry import protocols


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
        """What is wrong with the files, a line each.

        Returns:
            One for each file that is missing or wrong.
        """
        lines = []
        for file in self.files:
            try:
                read(file, find(file) or nowhere(file, self.name))
            except InputError as error:
                lines.append(str(error))
        return lines

    def rows(self) -> list[Rows]:
        """What each file holds.

        Returns:
            (n, pixels) of each file, uint8.

        Raises:
            InputError: a file is missing, cannot be read, or holds something else than it should.
        """
        return [read(file, find(file) or nowhere(file, self.name)) for file in self.files]


def called(name: str) -> list[str]:
    """The protocol of that name, or all protocols of the source of that name.

    Args:
        name: such as ``mnist:dynamic``, or ``mnist``.

    Returns:
        Names of protocols, at least one.

    Raises:
        InputError: neither is known.
    """
    if name in protocols:
        return [name]
    sources = {protocol: source(protocol).name for protocol in protocols.names()}
    named = [protocol for protocol, origin in sources.items() if origin == name]
    if not named:
        raise unknown("data protocol", name, dict.fromkeys([*sources.values(), *sources]))
    return named


def source(name: str) -> Source:
    """Where the data of a protocol come from.

    Args:
        name: of the protocol, such as ``mnist:dynamic``.

    Returns:
        Its source; of a protocol that named none, one without files.

    Raises:
        InputError: no protocol of that name.
    """
    entry = protocols[name]
    return entry.origin or Source(entry.name, "unknown")


__getattr__ = moved(__name__, {"protocol": "nfbench.register_data"})
