"""Flows whose weights all data points share, and whose maps all see C numbers of each data point, its context."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from nfbench.foundation.errors import InputError
from nfbench.kernels import kinds
from nfbench.kernels.diagonal.reference import for_each
from nfbench.posteriors.cost import Cost, combine
from nfbench.posteriors.map_flow import Chain, ChainFlow

Context = Annotated[int, Field(ge=0)]
"""C, an option of families."""
Units = Annotated[int, Field(ge=1)]
"""A number of hidden units or layers, an option of families."""


class ContextFlow(ChainFlow):
    """K maps whose networks have shared weights and see theta, the context of a data point: P = C, or 0 where K = 0.

    A chain gets the context (B or 1, P). Under autocast maps keep their dtype: a product in bfloat16 is too coarse for
    a log-determinant.

    Args:
        dim: D.
        depth: K.
        context: C.
        least: the fewest dimensions that the family can have.

    Raises:
        InputError: `dim` is below `least`.
    """

    def __init__(self, dim: int, depth: int, context: int, least: int = 1) -> None:
        if dim < least:
            raise InputError(f"posterior {self.name!r}: dim={dim}: expected at least {least}")
        super().__init__(dim, depth, context if depth else 0)

    def with_numbers(self, chain: Chain, z: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        with kinds.own_dtype(z):
            return chain(for_each(z, theta), theta)

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
        context = Cost((3 if gradient else 1) * self.num_params, 0)
        return combine((1, super().cost(draws, batch, points, gradient=gradient)), (points, context))
