"""Flows whose weights all data points share, and whose maps all see C numbers of each data point, its context."""

from abc import abstractmethod
from contextlib import nullcontext
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from nfbench.foundation.errors import InputError
from nfbench.kernels import kinds, shapes
from nfbench.kernels.diagonal.reference import for_each
from nfbench.posteriors.contract import Flow, Identity
from nfbench.posteriors.cost import Cost, combine
from nfbench.posteriors.map_flow import MapCost

Context = Annotated[int, Field(ge=0)]
"""C, an option of families."""
Units = Annotated[int, Field(ge=1)]
"""A number of hidden units or layers, an option of families."""


class ContextFlow(Flow):
    """K maps whose networks have shared weights and see theta, the context of a data point: P = C, or 0 where K = 0.

    A family says what `chain` and `chain_inverse` do, and gives `map_cost`. Under autocast maps keep their dtype: a
    product in bfloat16 is too coarse for a log-determinant.

    Args:
        dim: D.
        depth: K.
        context: C.
        least: the fewest dimensions that the family can have.

    Attributes:
        name: the family, as messages begin.

    Raises:
        InputError: `dim` is below `least`.
    """

    checks = True
    name: str

    def __init__(self, dim: int, depth: int, context: int, least: int = 1) -> None:
        if dim < least:
            raise InputError(f"posterior {self.name!r}: dim={dim}: expected at least {least}")
        super().__init__(dim, depth, context if depth else 0)

    @abstractmethod
    def chain(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Push points through the chain.

        Args:
            z: (S, B, D).
            context: (B or 1, P).

        Returns:
            z_K (S, B, D) and ln|det dz_K/dz| (S, B).
        """

    @abstractmethod
    def chain_inverse(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Undo `chain`.

        Args:
            z: z_K (S, B, D).
            context: (B or 1, P).

        Returns:
            z (S, B, D) and ln|det dz/dz_K| (S, B).
        """

    @abstractmethod
    def map_cost(self, *, gradient: bool) -> MapCost:
        """The cost of one map, counted as `Identity.cost` counts that of the base.

        Args:
            gradient: forward and backward, else forward alone.

        Returns:
            The costs for each draw, for each row of theta, and of what all data points share.
        """

    def forward(self, z: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        shapes.check_flow(self.name, z, theta, self.dim, self.num_params)
        with _own_dtype(z):
            return self.chain(for_each(z, theta), theta)

    def inverse(self, z: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        shapes.check_flow(self.name, z, theta, self.dim, self.num_params)
        with _own_dtype(z):
            return self.chain_inverse(for_each(z, theta), theta)

    def initial(self) -> Tensor:
        """A context of zeros, which moves no bias."""
        return torch.zeros(self.num_params)

    def cost(self, draws: int, batch: int, points: int, *, gradient: bool) -> Cost:
        """The base, K maps, and the context: P numbers a row, with gradient read again and their gradient written.

        Args:
            draws: S.
            batch: B.
            points: rows of theta, B or 1.
            gradient: forward and backward, else forward alone.

        Returns:
            Numbers moved and flops.
        """
        base = Identity(self.dim).cost(draws, batch, points, gradient=gradient)
        draw, row, shared = self.map_cost(gradient=gradient)
        context = Cost((3 if gradient else 1) * self.num_params, 0)
        one_map = combine((draws * batch, draw), (points, row), (1, shared))
        return combine((1, base), (points, context), (self.depth, one_map))


def _own_dtype(z: Tensor) -> torch.autocast | nullcontext[None]:
    """Within the block, products keep the dtype of z, also where autocast is on outside."""
    return torch.autocast(z.device.type, enabled=False) if kinds.autocast(z) else nullcontext()
