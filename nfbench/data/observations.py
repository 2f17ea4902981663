"""What a data protocol gives: observations ready for a model, and how training rows become observations."""

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
        protocol: what a record keeps: the protocol's name, split and sha256.
        train: rows as stored, uint8 where they allow it; with `redraw`, what observations are drawn from.
        valid: observations `(n, pixels)`, drawn once.
        test: observations `(n, pixels)`, drawn once.
        shape: (C, H, W) of an observation as a picture, C H W = pixels.
        values: `binary`, 0 or 1, or `levels`, strictly between 0 and 1.
        redraw: `rows (B, ...), generator -> observations (B, pixels)`, anew each time rows are fed; None: rows are
            observations.
    """

    protocol: str
    train: Tensor
    valid: Tensor
    test: Tensor
    shape: tuple[int, int, int]
    values: Values
    redraw: Redraw | None = None

    def observe(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Training rows as observations."""
        return rows if self.redraw is None else self.redraw(rows, generator)
