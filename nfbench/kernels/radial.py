"""Radial chain: f(z) = z + beta_hat (z - c) / (alpha + |z - c|), K times (Rezende & Mohamed 2015, eq. 14, App. A.2)."""

import torch
from torch import Tensor

from nfbench.kernels import radial_cpu
from nfbench.kernels.backend import fused


def log_det(r: Tensor, alpha: Tensor, s: Tensor, dim: int) -> Tensor:
    """`r (S, B, K), alpha and s (B, K) -> (S, B)`: the sum over K of the maps' ln|det|.

    With alpha + beta_hat = s > 0 the two factors of eq. 14 are 1 + beta_hat/(alpha + r) = (r + s)/(alpha + r), to the
    power D - 1, and 1 + alpha beta_hat/(alpha + r)^2 = (r^2 + 2 alpha r + alpha s)/(alpha + r)^2: positive by sight.
    """
    log_scale = (r + s).log() - (alpha + r).log()
    along = (r * (r + 2 * alpha) + alpha * s).log() - 2 * (alpha + r).log()
    return ((dim - 1) * log_scale + along).sum(-1)


def chain(z: Tensor, centre: Tensor, alpha: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """`z (S, B, D), centre (B or 1, K, D), alpha and s (B or 1, K) -> z_K (S, B, D), ln|det| (S, B)`.

    s = alpha + beta_hat is the softplus of the raw beta.
    """
    if fused(z) and centre.shape[-2]:
        return radial_cpu.chain(z, centre, alpha, s)
    return reference(z, centre, alpha, s)


def reference(z: Tensor, centre: Tensor, alpha: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """`chain` in plain PyTorch: oracle of the fused kernels, and what runs where they do not."""
    radii = []
    for c_k, alpha_k, s_k in zip(centre.unbind(-2), alpha.unbind(-1), s.unbind(-1), strict=True):
        offset = z - c_k
        r = torch.linalg.vector_norm(offset, dim=-1)
        z = z + ((s_k - alpha_k) / (alpha_k + r)).unsqueeze(-1) * offset
        radii.append(r)
    if not radii:
        return z, z.new_zeros(z.shape[:-1])
    return z, log_det(torch.stack(radii, -1), alpha, s, z.shape[-1])


def inverse(z: Tensor, centre: Tensor, alpha: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """Inverse of `chain`, in closed form: `z_K (S, B, D) -> z (S, B, D), ln|det dz/dz_K| (S, B)`.

    t = |z' - c| = r (r + s)/(alpha + r) is a quadratic in r; of its two forms the one without cancellation is taken.
    """
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
