"""A data protocol: which images, how made observations, how split, with a hash of the rows that prove it."""

import hashlib
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from nfbench.foundation.errors import InputError

Rows = NDArray[np.uint8]


@dataclass(frozen=True)
class Protocol:
    """Everything that decides which numbers a model sees. Results of two protocols never share a table.

    Attributes:
        name: of the data set.
        kind: how images become observations, such as ``static``.
        split: numbers of training, validation and test rows.
        sha256: hash of the training, validation and test rows, one after the other, as `Observations` holds them
            (uint8 or little-endian float32).
    """

    name: str
    kind: str
    split: tuple[int, int, int]
    sha256: str

    def __str__(self) -> str:
        """The protocol as records store it: `name:kind,train+valid+test@sha256`, the hash cut to 12 digits."""
        return f"{self.name}:{self.kind},{'+'.join(map(str, self.split))}@{self.sha256[:12]}"

    @classmethod
    def of_rows(cls, name: str, kind: str, *parts: NDArray[Any]) -> Self:
        """Make the protocol of rows whose hash is not known beforehand.

        Args:
            name: of the data set.
            kind: how images become observations.
            parts: training, validation and test rows.

        Returns:
            The protocol with the numbers of these rows and their sha256.
        """
        train, valid, test = map(len, parts)
        return cls(name, kind, (train, valid, test), sha256(*parts))

    def prove(self, *parts: NDArray[Any]) -> None:
        """Check that rows are those of the protocol.

        Args:
            parts: training, validation and test rows.

        Raises:
            InputError: the hash or the split differs.
        """
        digest, lengths = sha256(*parts), tuple(map(len, parts))
        if digest != self.sha256 or lengths != self.split:
            raise InputError(
                f"data {self.name + ':' + self.kind!r}: {_plus(lengths)} rows with sha256 {digest}; "
                f"expected {_plus(self.split)} rows with sha256 {self.sha256}"
            )

    def divide(self, rows: Rows) -> tuple[Rows, Rows, Rows]:
        """Split rows by the protocol, and check that they are its rows.

        Args:
            rows: training, validation and test rows, one after the other.

        Returns:
            Training, validation and test rows.

        Raises:
            InputError: other rows than the protocol's.
        """
        train, valid, test = np.split(rows, np.cumsum(self.split)[:-1])
        self.prove(train, valid, test)
        return train, valid, test


def sha256(*parts: NDArray[Any]) -> str:
    """Hash arrays' numbers in little-endian order, row by row, one array after the other.

    Args:
        parts: arrays of any shape and numeric type.

    Returns:
        64 hexadecimal digits.

    >>> sha256(np.arange(2, dtype=np.uint8), np.arange(3, dtype=np.uint8))[:12]
    '3b6840f7b45e'
    """
    digest = hashlib.sha256()
    for part in parts:
        digest.update(np.ascontiguousarray(part, part.dtype.newbyteorder("<")).data)
    return digest.hexdigest()


def _plus(numbers: tuple[int, ...]) -> str:
    """Write numbers as in ``50000+10000+10000``."""
    return "+".join(map(str, numbers))
