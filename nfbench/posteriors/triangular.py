"""Unit lower triangular matrices: from the numbers below their diagonals, multiplied by points, and as a flow's map.

A row of a matrix has up to D - 1 numbers. They are divided by sqrt(D - 1), so that a step of an optimizer moves a
point about as far at every D.
"""

import math

import torch
from torch import Tensor, nn

from nfbench.foundation.numerics import full_product
from nfbench.posteriors.map_flow import MapFlow


def count(dim: int) -> int:
    """How many numbers lie below the diagonal.

    Args:
        dim: D.

    Returns:
        D (D - 1) / 2.
    """
    return dim * (dim - 1) // 2


class UnitTriangular(nn.Module):
    """The matrices L = I + (strictly lower triangular part), a row of numbers each.

    Args:
        dim: D.

    Attributes:
        scale: 1 / sqrt(D - 1), by which the numbers below the diagonal are multiplied; 1 for D = 1.
        places: (D (D - 1) / 2,), where they lie in a flattened (D, D), row by row.
    """

    places: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.scale = 1 / math.sqrt(max(1, dim - 1))
        rows, columns = torch.tril_indices(dim, dim, -1)
        self.register_buffer("places", rows * dim + columns, persistent=False)

    def below(self, numbers: Tensor) -> Tensor:
        """The matrices without their diagonals.

        >>> UnitTriangular(2).below(torch.tensor([[0.5]]))
        tensor([[[0.0000, 0.0000],
                 [0.5000, 0.0000]]])

        Args:
            numbers: (B or 1, D (D - 1) / 2).

        Returns:
            L - I (B or 1, D, D).
        """
        rows, size = len(numbers), self.dim
        flat = numbers.new_zeros(rows, size * size).index_copy(1, self.places, numbers * self.scale)
        return flat.reshape(rows, size, size)

    def multiply(self, z: Tensor, numbers: Tensor) -> Tensor:
        """L z.

        Args:
            z: (S, B, D).
            numbers: (B or 1, D (D - 1) / 2).

        Returns:
            (S, B, D).
        """
        return z + by_rows(z, self.below(numbers).mT)

    def solve(self, z: Tensor, numbers: Tensor) -> Tensor:
        """L^-1 z, by substitution.

        Args:
            z: (S, B, D).
            numbers: (B or 1, D (D - 1) / 2).

        Returns:
            (S, B, D).
        """
        columns = z.permute(1, 2, 0)
        below = self.below(numbers)
        solved: Tensor = torch.linalg.solve_triangular(below, columns, upper=False, unitriangular=True)
        return solved.permute(2, 0, 1)


class TriangularFlow(MapFlow):
    """One linear map z -> L z by a unit lower triangular matrix; a family says how theta gives L, and adds the rest.

    Args:
        dim: D.
        numbers: P.
    """

    def __init__(self, dim: int, numbers: int) -> None:
        super().__init__(dim, 1, numbers)
        self.triangular = UnitTriangular(dim)

    def below(self, theta: Tensor) -> Tensor:
        """The numbers below the diagonal of L; here theta is these.

        Args:
            theta: (B or 1, P).

        Returns:
            (B or 1, D (D - 1) / 2), row by row, as `UnitTriangular` takes them.
        """
        return theta

    def chain(self, z: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        moved = self.triangular.multiply(z, self.below(maps.squeeze(1)))
        return moved, moved.new_zeros(moved.shape[:-1])

    def chain_inverse(self, z: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        moved = self.triangular.solve(z, self.below(maps.squeeze(1)))
        return moved, moved.new_zeros(moved.shape[:-1])


def by_rows(z: Tensor, matrices: Tensor) -> Tensor:
    """Multiply each data point's draws, as rows, by its matrix; one matrix serves every data point.

    >>> by_rows(torch.ones(5, 3, 2), torch.ones(3, 2, 4)).shape
    torch.Size([5, 3, 4])

    Args:
        z: (S, B, D); with one data point it serves every matrix.
        matrices: (B or 1, D, M).

    Returns:
        (S, B, M).
    """
    if len(matrices) == 1:
        return full_product(z, matrices[0])
    return full_product(z.transpose(0, 1), matrices).transpose(0, 1)
