"""A data protocol: everything that decides which numbers a model sees, with a hash that proves it."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nfbench.errors import InputError

Rows = NDArray[np.uint8]


@dataclass(frozen=True)
class Protocol:
    """Which images, how made binary, how split. Results of two protocols never share a table.

    Attributes:
        name: of the data set.
        images: where the images come from.
        binarisation: `static` (drawn once, for ever), as the word in the protocol's string.
        seed: of the draw and of the shuffle.
        split: numbers of training, validation and test rows, in the order of the rows.
        sha256: of all rows in that order, uint8, one byte a pixel.
    """

    name: str
    images: str
    binarisation: str
    seed: int
    split: tuple[int, int, int]
    sha256: str

    def __str__(self) -> str:
        """What a record keeps: `name:binarisation,train+valid+test@sha256`, the hash cut to 12 digits."""
        return f"{self.name}:{self.binarisation},{'+'.join(map(str, self.split))}@{self.sha256[:12]}"

    def divide(self, rows: Rows) -> tuple[Rows, Rows, Rows]:
        """Training, validation and test rows, once `rows` are proved to be those of the protocol.

        Raises:
            InputError: other rows than the protocol's.
        """
        found = hashlib.sha256(np.ascontiguousarray(rows).tobytes()).hexdigest()
        if found != self.sha256 or len(rows) != sum(self.split):
            raise InputError(
                f"data {self.name!r}: {len(rows)} rows with sha256 {found}; "
                f"expected {sum(self.split)} rows with sha256 {self.sha256}"
            )
        train, valid, test = np.split(rows, np.cumsum(self.split)[:-1])
        return train, valid, test
