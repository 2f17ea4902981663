"""Planar chain: f(z) = z + u_hat tanh(w.z + b), K times (Rezende & Mohamed 2015, eq. 10-13, App. A.1)."""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from nfbench.foundation.numerics import monotone_root
from nfbench.kernels import shapes
from nfbench.kernels.chain import operators

NAME = "planar"  # of the folder, of the operators `nfbench::planar`, and in messages


def constrain(w: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """`w, u (B, K, D) -> u_hat (B, K, D), s (B, K)`, with w.u_hat = s - 1 and s = softplus(w.u) > 0.

    u_hat = u + (m(w.u) - w.u) w / ||w||^2 with m(x) = -1 + ln(1 + e^x), App. A.1. It is singular at w = 0.
    """
    wu = (w * u).sum(-1)
    s = softplus(wu)
    return u + ((s - 1 - wu) / w.square().sum(-1)).unsqueeze(-1) * w, s


def log_det(h: Tensor, s: Tensor) -> Tensor:
    """`h = tanh(w.z + b) (S, B, K), s (B, K) -> (S, B)`: the sum over K of ln|1 + u_hat.psi|.

    1 + (s - 1)(1 - h^2) = h^2 + s (1 - h^2), a sum of non-negative terms: no absolute value and no cancellation.
    """
    square = h.square()
    return (square + s * (1 - square)).log().sum(-1)


def split(maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`maps (B, K, 2 D + 1) -> w (B, K, D), u (B, K, D), b (B, K)`."""
    dim = maps.shape[-1] // 2
    w, u, b = torch.split(maps, [dim, dim, 1], -1)
    return w, u, b.squeeze(-1)


def numbers(dim: int) -> int:
    """R = 2 D + 1, how many numbers a map has in D dimensions."""
    return 2 * dim + 1


def reference(z: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
    """`chain` in plain PyTorch: oracle of the fused kernels, and what runs where they do not."""
    w, u, b = split(maps)
    u_hat, s = constrain(w, u)
    activations = []
    for w_k, u_k, b_k in zip(w.unbind(-2), u_hat.unbind(-2), b.unbind(-1), strict=True):
        h = torch.tanh((z * w_k).sum(-1) + b_k)
        z = z + u_k * h.unsqueeze(-1)
        activations.append(h)
    if not activations:
        return z, z.new_zeros(z.shape[:-1])
    return z, log_det(torch.stack(activations, -1), s)


_fused = operators.fused(NAME, reference, numbers)


def chain(z: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
    """`z (S, B, D), maps (B or 1, K, 2 D + 1) -> z_K (S, B, D), ln|det| (S, B)`; a map's numbers are (w, u, b).

    Raises:
        InputError: tensors that do not fit each other, of several dtypes or on several devices (`shapes`).
    """
    return _fused.chain(z, maps)


def draw(noise: Tensor, base: Tensor, theta: Tensor, depth: int | None = None) -> tuple[Tensor, Tensor]:
    """`chain` of draws of the base: `noise (S, B, D), base (B or 1, 2 D) -> z_K (S, B, D), ln q(z_K) (S, B)`.

    Theta (B or 1, K (2 D + 1)) are the numbers of all maps; K is `depth`, or whatever theta holds where it is None.

    Raises:
        InputError: tensors that do not fit each other, of several dtypes or on several devices (`shapes`).
    """
    return _fused.draw(noise, base, theta, depth)


def inverse(z: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
    """Inverse of `chain`: `z_K (S, B, D) -> z (S, B, D), ln|det dz/dz_K| (S, B)`.

    Going down, a = w.z + b solves a + (s - 1) tanh(a) = right = w.z' + b (App. A.1): the left side increases in a, and
    |a - right| <= |s - 1|.

    Raises:
        InputError: tensors that do not fit each other, of several dtypes or on several devices (`shapes`).
    """
    shapes.check_chain(NAME, z, maps, numbers(shapes.dimensions(NAME, "z", z)))
    w, u, b = split(maps)
    u_hat, s = constrain(w, u)
    activations = []
    for k in reversed(range(w.shape[-2])):
        right = (z * w[..., k, :]).sum(-1) + b[..., k]
        h = torch.tanh(_solve(right, s[..., k]))
        z = z - u_hat[..., k, :] * h.unsqueeze(-1)
        activations.append(h)
    if not activations:
        return z, z.new_zeros(z.shape[:-1])
    return z, -log_det(torch.stack(activations[::-1], -1), s)


def _solve(right: Tensor, s: Tensor) -> Tensor:
    """The a with a + (s - 1) tanh(a) = right, differentiable in both arguments by the implicit function."""

    def equation(a: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.tanh(a)
        return a + (s - 1) * h - right, h.square() + s * (1 - h.square())

    width = (s - 1).abs()
    a = monotone_root(equation, right - width, right + width)
    value, slope = equation(a)
    return a - value / slope.detach()
