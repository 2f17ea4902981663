"""Maps z + Q R tanh(S Q^T z + b) with triangular R and S: their log-determinant, and their inverse unit by unit."""

from typing import NamedTuple

import torch
from torch import Tensor

from nfbench.foundation.numerics import bracketed_root
from nfbench.kernels.dispatch import transformed


class Maps(NamedTuple):
    """The numbers of K maps, each of shape (B or 1, K, ...).

    Attributes:
        q: (D, M) orthonormal columns.
        r: (M, M) lower triangular, the transpose of R.
        s: (M, M) lower triangular, the transpose of S.
        least: (M,), 1 + r_ii s_ii > 0, the least slope of each unit.
        b: (M,).
    """

    q: Tensor
    r: Tensor
    s: Tensor
    least: Tensor
    b: Tensor


def log_det(h: Tensor, least: Tensor) -> Tensor:
    """The sum of ln(1 + (1 - h^2) r_ii s_ii) over maps and units, as h^2 + least (1 - h^2): no term is negative.

    Args:
        h: activations (S, B, K, M).
        least: (B or 1, K, M).

    Returns:
        (S, B).
    """
    square = h.square()
    return (square + least * (1 - square)).log().sum((-2, -1))


def activations_of(image: Tensor, r: Tensor, s: Tensor, least: Tensor, b: Tensor) -> Tensor:
    """The activations tanh(a) at the point that one map takes to an image z', from the last unit to the first.

    With y = Q^T z, unit i solves y_i + r_ii tanh(s_ii y_i + c_i) = (Q^T z')_i - sum_(j > i) r_ij tanh(a_j), where
    c_i = b_i + sum_(j > i) s_ij y_j. The left side increases, and differs from y_i by at most |r_ii|.

    Args:
        image: Q^T z' (S, B, M).
        r: (B or 1, M, M), the transpose of R.
        s: (B or 1, M, M), the transpose of S.
        least: (B or 1, M).
        b: (B or 1, M).

    Returns:
        (S, B, M), differentiable by the implicit function theorem.
    """
    y: list[Tensor] = []
    h: list[Tensor] = []
    for i in reversed(range(image.shape[-1])):
        shift, right = b[:, i], image[..., i]
        if y:
            shift = shift + (s[:, i + 1 :, i] * torch.stack(y[::-1], -1)).sum(-1)
            right = right - (r[:, i + 1 :, i] * torch.stack(h[::-1], -1)).sum(-1)
        y_i, h_i = _solve(right, shift, r[:, i, i], s[:, i, i], least[:, i])
        y.append(y_i)
        h.append(h_i)
    return torch.stack(h[::-1], -1)


def _solve(right: Tensor, shift: Tensor, r: Tensor, s: Tensor, least: Tensor) -> tuple[Tensor, Tensor]:
    """The root y (S, B) of y + r tanh(s y + shift) = right (S, B), and tanh(s y + shift); all others ([S,] B or 1)."""

    def equation(y: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.tanh(s * y + shift)
        return y + r * h - right, h.square() + least * (1 - h.square())

    def newton(y: Tensor) -> tuple[Tensor, Tensor]:
        value, slope = equation(y)
        return value, value / slope

    y = bracketed_root(newton, right, right - r.abs(), right + r.abs(), stops=not transformed())
    value, slope = equation(y)
    y = y - value / slope.detach()
    return y, torch.tanh(s * y + shift)
