"""A data protocol: everything that decides which numbers a model sees, with a hash that proves it."""

import hashlib
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from nfbench.foundation.errors import InputError

Rows = NDArray[np.uint8]


@dataclass(frozen=True)
class Protocol:
    """Which images, how made observations, how split. Results of two protocols never share a table.

    Attributes:
        name: of the data set.
        kind: how images become observations, as the words in the protocol's string.
        split: numbers of training, validation and test rows.
        sha256: of the bytes of all rows in that order, one row after the other, as `Observations` holds them (uint8 or
            little-endian float32).
    """

    name: str
    kind: str
    split: tuple[int, int, int]
    sha256: str

    def __str__(self) -> str:
        """What a record keeps: `name:kind,train+valid+test@sha256`, the hash cut to 12 digits."""
        return f"{self.name}:{self.kind},{'+'.join(map(str, self.split))}@{self.sha256[:12]}"

    @classmethod
    def found(cls, name: str, kind: str, *parts: NDArray[Any]) -> Self:
        """The protocol that these training, validation and test rows are of, where nobody has said their hash yet."""
        train, valid, test = map(len, parts)
        return cls(name, kind, (train, valid, test), sha256(*parts))

    def prove(self, *parts: NDArray[Any]) -> None:
        """Check that these are the training, validation and test rows.

        Raises:
            InputError: other rows than the protocol's.
        """
        found, lengths = sha256(*parts), tuple(map(len, parts))
        if found != self.sha256 or lengths != self.split:
            raise InputError(
                f"data {self.name + ':' + self.kind!r}: {_plus(lengths)} rows with sha256 {found}; "
                f"expected {_plus(self.split)} rows with sha256 {self.sha256}"
            )

    def divide(self, rows: Rows) -> tuple[Rows, Rows, Rows]:
        """Training, validation and test rows, once `rows` are proved to be those of the protocol.

        Raises:
            InputError: other rows than the protocol's.
        """
        train, valid, test = np.split(rows, np.cumsum(self.split)[:-1])
        self.prove(train, valid, test)
        return train, valid, test


def sha256(*parts: NDArray[Any]) -> str:
    """Of the arrays' numbers, row by row, one array after the other.

    >>> sha256(np.arange(2, dtype=np.uint8), np.arange(3, dtype=np.uint8))[:12]
    '3b6840f7b45e'
    """
    digest = hashlib.sha256()
    for part in parts:
        digest.update(np.ascontiguousarray(part, part.dtype.newbyteorder("<")).data)
    return digest.hexdigest()


def _plus(numbers: tuple[int, ...]) -> str:
    return "+".join(map(str, numbers))
