"""Draws in groups: the N draws of a group share the numbers of their maps.

Where one row of numbers serves all data points, all S B draws are one group (G = 1, N = S B); where every data point
has a row, its S draws are a group (G = B, N = S). Both directions are here for tensors and for arrays.
"""

import numpy as np
import torch
from torch import Tensor


def grouped(draws: Tensor, rows: int) -> Tensor:
    """Put draws into groups.

    Args:
        draws: (S, B, D); B may be 1 where there are more rows, whose points then have the same draws.
        rows: of numbers, 1 or B.

    Returns:
        (G, N, D), not always contiguous.
    """
    if rows > 1:
        return draws.expand(draws.shape[0], rows, draws.shape[2]).transpose(0, 1)
    return draws.reshape(1, draws.shape[0] * draws.shape[1], draws.shape[2])


def ungrouped(values: Tensor, shape: torch.Size) -> Tensor:
    """Put draws that are in groups back into their order: the inverse of `grouped`.

    Args:
        values: (G, N, ...), a value of each draw.
        shape: begins with S, B.

    Returns:
        (S, B, ...), not always contiguous.
    """
    if values.shape[0] == 1:
        return values.reshape(shape[0], shape[1], *values.shape[2:])
    return values.transpose(0, 1)


def grouped_array(draws: np.ndarray, rows: int) -> np.ndarray:
    """`grouped` for arrays.

    Args:
        draws: (S, B, ...), contiguous.
        rows: of numbers, 1 or B.

    Returns:
        (G, N, ...), contiguous.
    """
    if rows == 1:
        return draws.reshape(1, draws.shape[0] * draws.shape[1], *draws.shape[2:])
    return np.ascontiguousarray(draws.swapaxes(0, 1))


def ungrouped_array(values: np.ndarray, shape: torch.Size) -> Tensor:
    """`ungrouped` for arrays, with a tensor as result.

    Args:
        values: (G, N, ...), contiguous.
        shape: begins with S, B; where G = 1 its first axes, as many as `values` has, are the result's shape.

    Returns:
        (S, B, ...), a tensor on the array's memory.
    """
    return torch.from_numpy(values.reshape(shape[: values.ndim]) if len(values) == 1 else values.swapaxes(0, 1))
