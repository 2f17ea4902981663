"""Planar chain: f(z) = z + u_hat tanh(w.z + b), K times (Rezende & Mohamed 2015, eq. 10-13, App. A.1)."""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from nfbench.foundation.numerics import monotone_root
from nfbench.kernels import shapes
from nfbench.kernels.chain import operators

NAME = "planar"  # of the folder, of the operators `nfbench::planar`, and in messages


def constrain(w: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """Make planar maps invertible: u_hat = u + (m(w.u) - w.u) w / ||w||^2 with m(x) = -1 + ln(1 + e^x) (App. A.1).

    It is singular at w = 0: m(0) = ln 2 - 1, so that u_hat grows like 0.31 / ||w|| as w goes to 0. At w = 0 itself,
    where ||w||^2 is 0 in the tensors' dtype, a map moves all points alike, z + u tanh(b), and needs no constraint:
    there u_hat = u and s = 1 + w.u, the limit of maps without constraint, in the gradients too, which are finite.

    Args:
        w: (B, K, D).
        u: (B, K, D).

    Returns:
        u_hat (B, K, D), and s = w.u_hat + 1 > 0 (B, K), which is softplus(w.u), and 1 at w = 0.
    """
    wu, ww = (w * u).sum(-1), w.square().sum(-1)
    zero = ww == 0
    s = torch.where(zero, 1 + wu, softplus(wu))
    return u + ((s - 1 - wu) / ww.masked_fill(zero, 1)).unsqueeze(-1) * w, s


def log_det(h: Tensor, s: Tensor) -> Tensor:
    """The sum over maps of ln|1 + u_hat.psi| (eq. 12).

    1 + (s - 1)(1 - h^2) = h^2 + s (1 - h^2) is a sum of non-negative terms: no absolute value, no cancellation.

    Args:
        h: activations tanh(w.z + b) (S, B, K).
        s: (B, K).

    Returns:
        (S, B).
    """
    square = h.square()
    return (square + s * (1 - square)).log().sum(-1)


def split(maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Split the numbers of maps into their parts.

    Args:
        maps: (B, K, 2 D + 1).

    Returns:
        w (B, K, D), u (B, K, D) and b (B, K).
    """
    dim = maps.shape[-1] // 2
    w, u, b = torch.split(maps, [dim, dim, 1], -1)
    return w, u, b.squeeze(-1)


def numbers(dim: int) -> int:
    """How many numbers a map has: w, u and b.

    Args:
        dim: D.

    Returns:
        R = 2 D + 1.
    """
    return 2 * dim + 1


def reference(z: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
    """`chain` in plain PyTorch: the oracle of the fused kernels, and what runs where they do not.

    Args:
        z: (S, B, D).
        maps: (B or 1, K, 2 D + 1).

    Returns:
        z_K (S, B, D) and ln|det dz_K/dz| (S, B).
    """
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
    """Push points through K maps, by the fastest kernel that fits.

    >>> z, maps = torch.zeros(5, 1, 2), torch.ones(1, 3, 5)
    >>> z_k, log_det = chain(z, maps)
    >>> z_k.shape, log_det.shape
    (torch.Size([5, 1, 2]), torch.Size([5, 1]))

    Args:
        z: (S, B, D).
        maps: (B or 1, K, 2 D + 1), the numbers of a map in the order (w, u, b).

    Returns:
        z_K (S, B, D) and ln|det dz_K/dz| (S, B).

    Raises:
        InputError: tensors that do not fit each other, of several dtypes or on several devices (`shapes`).
    """
    return _fused.chain(z, maps)


def draw(noise: Tensor, base: Tensor, theta: Tensor, depth: int | None = None) -> tuple[Tensor, Tensor]:
    """Draw from the diagonal Gaussian and push the draws through K maps, in one kernel where one fits.

    Args:
        noise: (S, B, D).
        base: (B or 1, 2 D), mean and ln sigma.
        theta: (B or 1, K (2 D + 1)), the numbers of all maps.
        depth: K; None for as many as theta has.

    Returns:
        z_K (S, B, D) and ln q(z_K) (S, B).

    Raises:
        InputError: tensors that do not fit each other, of several dtypes or on several devices (`shapes`).
    """
    return _fused.draw(noise, base, theta, depth)


def inverse(z: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
    """Invert `chain` by root finding: going down, a = w.z + b solves a + (s - 1) tanh(a) = w.z' + b (App. A.1).

    The left side increases in a, and a differs from the right side by at most |s - 1|.

    Args:
        z: z_K (S, B, D).
        maps: (B or 1, K, 2 D + 1).

    Returns:
        z (S, B, D) and ln|det dz/dz_K| (S, B).

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
    """Solve a + (s - 1) tanh(a) = right for a; differentiable in both by the implicit function theorem."""

    def equation(a: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.tanh(a)
        return a + (s - 1) * h - right, h.square() + s * (1 - h.square())

    width = (s - 1).abs()
    a = monotone_root(equation, right - width, right + width)
    value, slope = equation(a)
    return a - value / slope.detach()
