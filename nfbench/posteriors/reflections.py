"""Householder reflections I - 2 v v^T / ||v||^2, at once (Schreiber & Van Loan 1989, the WY form) or one by one."""

import torch
from torch import Tensor

from nfbench.foundation.numerics import full_product


def factors(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """The matrices V and W for which reflecting at v_1, then at v_2, ... takes a row z to z - (z V^T) W.

    A vector of zeros has no direction: its reflection is left out.

    >>> units, products = factors(torch.tensor([[[3.0, 4.0]]]))
    >>> torch.eye(2) - units.mT @ products
    tensor([[[ 0.2800, -0.9600],
             [-0.9600, -0.2800]]])

    Args:
        vectors: (B or 1, K, D), of any lengths.

    Returns:
        V, the unit vectors, and W = (I/2 + strictly upper part of V V^T)^-1 V, both (B or 1, K, D).
    """
    square = vectors.square().sum(-1, keepdim=True)
    units = vectors / torch.where(square > 0, square, 1).sqrt()
    if vectors.shape[1] == 0:
        return units, units
    half = 0.5 * torch.eye(vectors.shape[1], dtype=vectors.dtype, device=vectors.device)
    gram = full_product(units, units.mT)
    return units, torch.linalg.solve_triangular(half + gram.triu(1), units, upper=True)


def one_by_one(z: Tensor, vectors: Tensor) -> Tensor:
    """Reflect points at v_1, then at v_2, ..., each data point's at its own vectors; a vector of zeros is left out.

    >>> one_by_one(torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[3.0, 4.0]]]))
    tensor([[[ 0.2800, -0.9600]]])

    Args:
        z: (S, B, D).
        vectors: (B or 1, K, D), of any lengths.

    Returns:
        (S, B, D).
    """
    square = vectors.square().sum(-1, keepdim=True)
    scaled = vectors * (2 / torch.where(square > 0, square, 1))
    for vector, other in zip(vectors.unbind(1), scaled.unbind(1), strict=True):
        z = z - (z * vector).sum(-1, keepdim=True) * other
    return z
