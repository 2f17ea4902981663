"""The contract of a target: an unnormalised density ln p(x, z), with whatever is exactly known about it.

Families approximate the normalised p(z|x) of a target. Known facts (ln Z, an exact sampler) turn approximations of it
into exact errors.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nfbench.foundation.errors import InputError
from nfbench.foundation.numerics import standard_normal_log_prob


@dataclass(frozen=True)
class Box:
    """The box [-half_width, half_width]^D to which an improper target is truncated.

    Attributes:
        half_width: half the length of an edge.
        log_z: ln of the integral of exp(log_joint) over the box, in nats.
    """

    half_width: float
    log_z: float

    def contains(self, z: Tensor) -> Tensor:
        """Whether points lie in the box.

        Args:
            z: (..., D).

        Returns:
            Booleans (...).
        """
        return (z.abs() <= self.half_width).all(-1)


class Splits(NamedTuple):
    """The rows of a data set, one a data point: tensors (n, ...).

    Attributes:
        train: what `LatentVariableModel.observe` makes observations from.
        valid: observations.
        test: observations.
    """

    train: Tensor
    valid: Tensor
    test: Tensor


class Target(nn.Module, ABC):
    """What is being inferred: ln p(x, z) up to a constant, and its exact facts where they exist.

    Attributes:
        dim: D.
        log_z: ln of the integral of exp(log_joint), in nats; None where it is infinite or unknown.
        box: truncation of an improper target; None for others.
        names: of the coordinates of `constrain`; None where they have none.
    """

    dim: int
    log_z: float | None = None
    box: Box | None = None
    names: list[str] | None = None

    @abstractmethod
    def log_joint(self, z: Tensor, batch: Tensor | None = None) -> Tensor:
        """Evaluate ln p(x, z), up to a constant.

        Args:
            z: (S, B, D); targets without data take (..., D).
            batch: observations (B, ...); None for targets without data.

        Returns:
            (S, B), or (...), in nats.

        Raises:
            InputError: z has another number of coordinates than D. Implementations use `checked(z)` to this end.
        """

    def checked(self, z: Tensor) -> Tensor:
        """Refuse points of another dimension than the target's.

        A density whose formula works for any number of coordinates would otherwise give that of another dimension.

        Args:
            z: (..., D).

        Returns:
            z unchanged.

        Raises:
            InputError: the last dimension of z is not D.
        """
        if z.shape[-1:] != (self.dim,):
            raise InputError(f"{type(self).__name__}: z {tuple(z.shape)}: expected (..., D) = (..., {self.dim})")
        return z

    def sample(self, num: int, generator: torch.Generator) -> Tensor:
        """Draw exactly from the normalised target.

        Args:
            num: how many draws.
            generator: of random numbers; draws are on its device.

        Returns:
            (num, D), in torch's default dtype.

        Raises:
            NotImplementedError: no exact sampler is known.
        """
        raise NotImplementedError(f"{type(self).__name__} has no exact sampler")

    @property
    def has_sampler(self) -> bool:
        """Whether `sample` is implemented."""
        return type(self).sample is not Target.sample

    def reference(self) -> Tensor | None:
        """Draws of the density by another method, such as a long Markov chain, that approximations are compared with.

        Returns:
            (n, D), points of the space that `log_joint` is a density on; None where there are none.
        """
        return None

    def constrain(self, z: Tensor) -> Tensor:
        """Map points to the space that the model is about, such as standard deviations in place of their logarithms.

        Args:
            z: (n, D).

        Returns:
            (n, C), with the columns that `names` lists; z itself where the model is about z.
        """
        return z


class LatentVariableModel(Target):
    """A target with data: a prior and a decoder, p(z) p(x|z), and an encoder whose features amortized posteriors use.

    Attributes:
        num_features: F, width of the encoder's features.
        data: name, split and sha256 of the observations; results of different data never share a table.
        shape: (C, H, W), an observation as a picture: channels, height, width.
        redraws: whether `observe` returns new observations each time.
        width: how many numbers ln p(x, z) holds at once for a draw; decides how many draws fit into memory.
    """

    num_features: int
    data: str
    shape: tuple[int, int, int]
    width: int
    redraws: bool = False

    @abstractmethod
    def features(self, batch: Tensor) -> Tensor:
        """The encoder's features of observations.

        Args:
            batch: observations (B, ...).

        Returns:
            (B, F).
        """

    def log_prior(self, z: Tensor) -> Tensor:
        """Evaluate ln p(z): here that of a standard normal distribution.

        A model whose `log_joint` has another prior says so here too: training takes it out where it anneals the
        divergence from the prior alone.

        Args:
            z: (S, B, D).

        Returns:
            (S, B), in nats.
        """
        return standard_normal_log_prob(self.checked(z))

    @abstractmethod
    def splits(self) -> Splits:
        """The training, validation and test data.

        Returns:
            Rows on the CPU.
        """

    @abstractmethod
    def mean(self, z: Tensor) -> Tensor:
        """The mean of p(x|z), or its median where the mean has no closed form.

        Args:
            z: (S, B, D).

        Returns:
            (S, B, pixels).
        """

    def observe(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Make observations of training rows.

        Args:
            rows: (B, ...) of `splits().train`.
            generator: of random numbers, for data protocols that draw observations anew each time.

        Returns:
            (B, pixels).
        """
        return rows
