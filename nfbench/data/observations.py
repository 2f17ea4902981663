"""Observations of a data protocol, ready for a model, and how training rows become observations."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Values = Literal["binary", "levels"]
Redraw = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Observations:
    """Training, validation and test data under one protocol, one row a data point.

    Attributes:
        protocol: name, split and sha256 of the protocol, as records store them.
        train: (n, ...), training rows as stored, uint8 where possible; observations, or what `redraw` makes them of.
        valid: validation observations (n, pixels), drawn once.
        test: test observations (n, pixels), drawn once.
        shape: (C, H, W) of an observation as a picture, C H W = pixels.
        values: `binary`, 0 or 1, or `levels`, strictly between 0 and 1.
        redraw: a function of training rows (B, ...) and a generator that draws observations (B, pixels), anew each time
            rows are used; None if rows are observations.
    """

    protocol: str
    train: Tensor
    valid: Tensor
    test: Tensor
    shape: tuple[int, int, int]
    values: Values
    redraw: Redraw | None = None

    def observe(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Make observations of training rows.

        Args:
            rows: (B, ...) of `train`.
            generator: of random numbers, for protocols that draw observations anew; others leave it untouched.

        Returns:
            (B, pixels); the rows themselves where the protocol has no `redraw`.
        """
        return rows if self.redraw is None else self.redraw(rows, generator)
