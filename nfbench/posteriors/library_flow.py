"""Flows whose maps another library computes, behind the contract of nfbench's own."""

from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from nfbench.foundation.libraries import Library
from nfbench.posteriors.context_flow import ContextFlow
from nfbench.posteriors.cost import Cost
from nfbench.posteriors.map_flow import MapCost

Direction = Literal["draws", "density"]
"""An option of families: which of its two directions takes one call of the networks. The other one takes D."""


class LibraryFlow(ContextFlow):
    """K maps of another library with shared weights, and theta as their context: P = C, or 0 where there is none.

    A subclass sets the library's modules as submodules, so that their weights are the flow's parameters.

    Args:
        library: what computes the maps.
        name: of the family, as messages begin.
        dim: D.
        depth: K.
        context: C; 0 for a library whose maps cannot depend on a data point.
        least: the fewest dimensions that the family can have.

    Raises:
        InputError: `dim` is below `least`.

    Attributes:
        rows: the library takes tensors (S B, D) and (S B, C), not (S, B, D) and (B or 1, C).
    """

    rows = False

    def __init__(self, library: Library, name: str, dim: int, depth: int, context: int, least: int = 1) -> None:
        self.name = name
        super().__init__(dim, depth, context, least)
        self.library = library

    @abstractmethod
    def push(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Push points through the library's maps.

        Args:
            z: (S, B, D), or (S B, D) where the library takes rows.
            context: (B or 1, C), or (S B, C); None where C = 0.

        Returns:
            z_K, of the shape of z, and ln|det dz_K/dz|, without the last axis.
        """

    def pull(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Undo `push`.

        Args:
            z: z_K, as of `push`.
            context: as of `push`.

        Returns:
            z, and ln|det dz/dz_K|.

        Raises:
            NotImplementedError: the library has no inverse; the flow then says ``invertible = False``.
        """
        raise NotImplementedError(f"{self.library} has no inverse of {self.name}")

    def chain(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        return self._call(z, context, inverse=False)

    def chain_inverse(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        return self._call(z, context, inverse=True)

    def _call(self, z: Tensor, context: Tensor, *, inverse: bool) -> tuple[Tensor, Tensor]:
        shape = z.shape[:-1]
        if self.depth == 0 or shape.numel() == 0:  # libraries look at the smallest number of a tensor
            return z, z.new_zeros(shape)
        seen = context if self.num_params else None
        if self.rows:
            z = z.reshape(-1, self.dim)
            seen = None if seen is None else seen.expand(*shape, -1).reshape(-1, self.num_params)
        moved, log_det = (self.pull if inverse else self.push)(z, seen)
        return moved.reshape(*shape, self.dim), log_det.reshape(shape)

    def map_cost(self, *, gradient: bool) -> MapCost:
        raise NotImplementedError

    def cost(self, draws: int, batch: int, points: int, *, gradient: bool) -> Cost | None:  # type: ignore[override]
        """Unknown: what a library computes is its own affair.

        Args:
            draws: S.
            batch: B.
            points: rows of theta, B or 1.
            gradient: forward and backward, else forward alone.

        Returns:
            None.
        """
        return None


class LibraryChain(LibraryFlow):
    """A chain of a library's modules, through which points go one by one.

    Args:
        library: what computes the maps.
        name: of the family, as messages begin.
        dim: D.
        depth: K.
        context: C; 0: the modules take none.
        maps: modules, in the order in which noise goes through them: K maps, and what mixes coordinates in between.
        least: the fewest dimensions.
        invertible: whether the library has the direction from draws to noise too.
    """

    maps: Any

    def __init__(
        self,
        library: Library,
        name: str,
        dim: int,
        depth: int,
        context: int,
        maps: Iterable[Any],
        *,
        least: int = 1,
        invertible: bool = True,
    ) -> None:
        super().__init__(library, name, dim, depth, context, least)
        self.maps = nn.ModuleList(maps)
        self.invertible = invertible

    @abstractmethod
    def step(self, number: int, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Push points through one module.

        Args:
            number: of the module, from 0.
            z: as of `push`.
            context: as of `push`.

        Returns:
            The moved points, and ln|det|.
        """

    @abstractmethod
    def step_back(self, number: int, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Undo `step`; asked for only where the library has the inverse.

        Args:
            number: of the module, from 0.
            z: as of `push`.
            context: as of `push`.

        Returns:
            The points before, and ln|det| of the inverse.
        """

    def push(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return _through(self.step, range(len(self.maps)), z, context)

    def pull(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        if not self.invertible:
            return super().pull(z, context)
        return _through(self.step_back, reversed(range(len(self.maps))), z, context)


def _through(
    step: Callable[[int, Tensor, Tensor | None], tuple[Tensor, Tensor]],
    numbers: Iterable[int],
    z: Tensor,
    context: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Points after some steps, and the sum of their ln|det|."""
    log_det = z.new_zeros(z.shape[:-1])
    for number in numbers:
        z, change = step(number, z, context)
        log_det = log_det + change
    return z, log_det


class DirectedFlow(LibraryFlow):
    """A library's one transform with an inverse, of which `direction` says whether it draws.

    A subclass sets `direction`.

    Attributes:
        direction: ``draws``: noise goes through the transform; ``density``: through its inverse.
    """

    direction: Direction

    @abstractmethod
    def through(self, z: Tensor, context: Tensor | None, *, backwards: bool) -> tuple[Tensor, Tensor]:
        """Push points through the transform.

        Args:
            z: as of `push`.
            context: as of `push`.
            backwards: through its inverse.

        Returns:
            The moved points, and ln|det|.
        """

    def push(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self.through(z, context, backwards=self.direction == "density")

    def pull(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self.through(z, context, backwards=self.direction == "draws")


def reversal(dim: int) -> Tensor:
    """The order that turns a point around.

    Args:
        dim: D.

    Returns:
        (D,), D - 1 to 0.
    """
    return torch.arange(dim - 1, -1, -1)
