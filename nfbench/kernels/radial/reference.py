"""Radial chain: f(z) = z + beta_hat (z - c) / (alpha + |z - c|), K times (Rezende & Mohamed 2015, eq. 14, App. A.2)."""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from nfbench.kernels import shapes
from nfbench.kernels.chain import operators

NAME = "radial"  # of the folder, of the operators `nfbench::radial`, and in messages
LIMIT = 8  # how far kernels let the rounding of a draw be enlarged on its way back before they compute it anew from z_0


def log_det(r: Tensor, alpha: Tensor, s: Tensor, dim: int) -> Tensor:
    """The sum over maps of ln|det| (eq. 14).

    With s = alpha + beta_hat > 0 its two factors are 1 + beta_hat/(alpha + r) = (r + s)/(alpha + r), to the power D -
    1, and 1 + alpha beta_hat/(alpha + r)^2 = (r^2 + 2 alpha r + alpha s)/(alpha + r)^2: both are seen to be positive.

    Args:
        r: radii |z - c| (S, B, K).
        alpha: (B, K).
        s: (B, K).
        dim: D.

    Returns:
        (S, B).
    """
    log_scale = (r + s).log() - (alpha + r).log()
    along = (r * (r + 2 * alpha) + alpha * s).log() - 2 * (alpha + r).log()
    return ((dim - 1) * log_scale + along).sum(-1)


def split(maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Split the numbers of maps into their parts.

    Args:
        maps: (B, K, D + 2), the numbers of a map in the order (c, raw alpha, raw beta).

    Returns:
        The centre c (B, K, D), and alpha (B, K) and s = alpha + beta_hat (B, K), softplus of the raw numbers.
    """
    centre, raw = torch.split(maps, [maps.shape[-1] - 2, 2], -1)
    alpha, s = softplus(raw).unbind(-1)
    return centre, alpha, s


def numbers(dim: int) -> int:
    """How many numbers a map has: centre, alpha and beta.

    Args:
        dim: D.

    Returns:
        R = D + 2.
    """
    return dim + 2


def reference(z: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
    """`chain` in plain PyTorch: the oracle of the fused kernels, and what runs where they do not.

    Args:
        z: (S, B, D).
        maps: (B or 1, K, D + 2).

    Returns:
        z_K (S, B, D) and ln|det dz_K/dz| (S, B).
    """
    centre, alpha, s = split(maps)
    radii = []
    for c_k, alpha_k, s_k in zip(centre.unbind(-2), alpha.unbind(-1), s.unbind(-1), strict=True):
        offset = z - c_k
        r = torch.linalg.vector_norm(offset, dim=-1)
        z = z + ((s_k - alpha_k) / (alpha_k + r)).unsqueeze(-1) * offset
        radii.append(r)
    if not radii:
        return z, z.new_zeros(z.shape[:-1])
    return z, log_det(torch.stack(radii, -1), alpha, s, z.shape[-1])


_fused = operators.fused(NAME, reference, numbers, restarts=True)


def chain(z: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
    """Push points through K maps, by the fastest kernel that fits.

    Of the points between maps the kernels keep only the radii: on the way back they rebuild the points from z_K. Where
    maps together contract towards one centre by a factor f, rebuilt points are off by about 1 / f times the dtype's
    rounding. Beyond 8 times a draw's points are computed anew from z, on the CPU in scratch memory of K D numbers for
    each of 128 draws a thread; gradients are then about as good as plain PyTorch's.

    >>> z, maps = torch.zeros(5, 1, 2), torch.ones(1, 3, 4)
    >>> z_k, log_det = chain(z, maps)
    >>> z_k.shape, log_det.shape
    (torch.Size([5, 1, 2]), torch.Size([5, 1]))

    Args:
        z: (S, B, D).
        maps: (B or 1, K, D + 2), the numbers of a map in the order (c, raw alpha, raw beta); alpha and s = alpha +
            beta_hat are the softplus of the raw ones.

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
        theta: (B or 1, K (D + 2)), the numbers of all maps.
        depth: K; None for as many as theta has.

    Returns:
        z_K (S, B, D) and ln q(z_K) (S, B).

    Raises:
        InputError: tensors that do not fit each other, of several dtypes or on several devices (`shapes`).
    """
    return _fused.draw(noise, base, theta, depth)


def inverse(z: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
    """Invert `chain` in closed form: t = |z' - c| = r (r + s)/(alpha + r) is a quadratic equation for r.

    Of the two forms of its solution the one without cancellation is taken.

    Args:
        z: z_K (S, B, D).
        maps: (B or 1, K, D + 2).

    Returns:
        z (S, B, D) and ln|det dz/dz_K| (S, B).

    Raises:
        InputError: tensors that do not fit each other, of several dtypes or on several devices (`shapes`).
    """
    shapes.check_chain(NAME, z, maps, numbers(shapes.dimensions(NAME, "z", z)))
    centre, alpha, s = split(maps)
    radii = []
    for k in reversed(range(centre.shape[-2])):
        alpha_k, s_k = alpha[..., k], s[..., k]
        offset = z - centre[..., k, :]
        t = torch.linalg.vector_norm(offset, dim=-1)
        half = 0.5 * (t - s_k)
        root = (half.square() + alpha_k * t).sqrt()
        r = torch.where(half > 0, half + root, alpha_k * t / (root - half).clamp_min(torch.finfo(t.dtype).tiny))
        z = centre[..., k, :] + offset * ((alpha_k + r) / (r + s_k)).unsqueeze(-1)
        radii.append(r)
    if not radii:
        return z, z.new_zeros(z.shape[:-1])
    return z, -log_det(torch.stack(radii[::-1], -1), alpha, s, z.shape[-1])
