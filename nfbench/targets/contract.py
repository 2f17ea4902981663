"""The contract of a target: an unnormalised density with whatever is exactly known about it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nfbench.foundation.errors import InputError


@dataclass(frozen=True)
class Box:
    """The square [-half_width, half_width]^D to which an improper target is truncated, with its exact ln Z there."""

    half_width: float
    log_z: float

    def contains(self, z: Tensor) -> Tensor:
        """`z (..., D) -> (...)`, True inside."""
        return (z.abs() <= self.half_width).all(-1)


class Splits(NamedTuple):
    """Observations x, one row a data point."""

    train: Tensor
    valid: Tensor
    test: Tensor


class Target(nn.Module, ABC):
    """What is being inferred: ln p(x, z) up to a constant, and its exact facts where they exist.

    Attributes:
        dim: D.
        log_z: ln of the integral of exp(log_joint), in nats; None where it is infinite or unknown.
        box: truncation of an improper target; None for others.
    """

    dim: int
    log_z: float | None = None
    box: Box | None = None

    @abstractmethod
    def log_joint(self, z: Tensor, batch: Tensor | None = None) -> Tensor:
        """`z (S, B, D), batch (B, ...) | None -> ln p(x, z) (S, B)`; targets without data take any leading shape.

        Raises:
            InputError: z has another number of coordinates than D; a target says so by taking `checked(z)`.
        """

    def checked(self, z: Tensor) -> Tensor:
        """Return `z (..., D)` as it is, after a look at its number of coordinates.

        Without it a density whose formula fits any number of coordinates gives a value of another density.

        Raises:
            InputError: the last dimension of z is not D.
        """
        if z.shape[-1:] != (self.dim,):
            raise InputError(f"{type(self).__name__}: z {tuple(z.shape)}: expected (..., D) = (..., {self.dim})")
        return z

    def sample(self, num: int, generator: torch.Generator) -> Tensor:
        """`-> (num, D)` exact draws of the normalised target, on the generator's device.

        Raises:
            NotImplementedError: no exact sampler is known.
        """
        raise NotImplementedError(f"{type(self).__name__} has no exact sampler")

    @property
    def has_sampler(self) -> bool:
        """Whether `sample` is implemented."""
        return type(self).sample is not Target.sample


class LatentVariableModel(Target):
    """A target with data: a decoder p(x|z) p(z), and an encoder trunk whose features feed an amortized posterior.

    Attributes:
        num_features: F of `features`.
        data: which observations these are, with their sha256: results of different data never share a table.
        shape: (C, H, W) of an observation as a picture.
        redraws: whether `observe` gives something new each time.
        width: numbers that ln p(x, z) holds at once for a draw: what decides how many draws fit memory.
    """

    num_features: int
    data: str
    shape: tuple[int, int, int]
    width: int
    redraws: bool = False

    @abstractmethod
    def features(self, batch: Tensor) -> Tensor:
        """`batch (B, ...) -> (B, F)`."""

    @abstractmethod
    def splits(self) -> Splits:
        """The data on the CPU: training rows for `observe`, validation and test observations."""

    @abstractmethod
    def mean(self, z: Tensor) -> Tensor:
        """`z (S, B, D) -> (S, B, pixels)`: the mean of p(x|z), or its median where the mean has no closed form."""

    def observe(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """`rows (B, ...) -> observations (B, pixels)`, drawn anew each time where the data protocol says so."""
        return rows
