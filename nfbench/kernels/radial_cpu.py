"""Fused radial chain on the CPU: one pass forward, one backward, and K radii a draw in between."""

import torch
from torch import Tensor

from nfbench.kernels import radial_loops as loops
from nfbench.kernels.cpu import arrays, chosen, differentiable, grouped, ungrouped, zeros


def chain(z: Tensor, centre: Tensor, alpha: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """As `radial.chain`: `z (S, B, D), centre (B or 1, K, D), alpha and s (B or 1, K) -> (S, B, D), (S, B)`."""
    z_k, log_det, _ = _forward(grouped(z, len(centre)), centre, alpha, s)
    return ungrouped(z_k, z.shape), ungrouped(log_det, z.shape)


@torch.library.custom_op("nfbench::radial", mutates_args=())
def _forward(z: Tensor, centre: Tensor, alpha: Tensor, s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`z (G, N, D), centre (G, K, D), alpha and s (G, K) -> z_K (G, N, D), ln|det| (G, N), r (G, K, N)`."""
    out, log_det, r = _shapes(z, centre, alpha, s)
    chosen(loops, z)[0](*arrays(z, centre, alpha, s), *arrays(out, r))
    alpha, s = alpha.unsqueeze(-1), s.unsqueeze(-1)
    reach = alpha + r
    along = ((r * (r + 2 * alpha) + alpha * s) / reach.square()).log_()
    across = ((r + s) / reach).log_()
    torch.sum(along.add_(across, alpha=z.shape[-1] - 1), 1, out=log_det)
    return out, log_det, r


@torch.library.custom_op("nfbench::radial_backward", mutates_args=())
def _backward(
    z: Tensor, r: Tensor, centre: Tensor, alpha: Tensor, s: Tensor, grad_z: Tensor, grad_log_det: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients in z, centre, alpha and s, from z_K and the radii: z_{k-1} = c + (z_k - c)(alpha + r)/(r + s)."""
    grads = zeros(z, centre, alpha, s)
    chosen(loops, z)[1](*arrays(z, r, centre, alpha, s, grad_z, grad_log_det), *arrays(*grads))
    return grads[0], grads[1], grads[2], grads[3]


@_forward.register_fake
def _shapes(z: Tensor, centre: Tensor, alpha: Tensor, s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    groups, draws, _ = z.shape
    return z.new_empty(z.shape), z.new_empty(groups, draws), z.new_empty(groups, centre.shape[1], draws)


@_backward.register_fake
def _(
    z: Tensor, r: Tensor, centre: Tensor, alpha: Tensor, s: Tensor, grad_z: Tensor, grad_log_det: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return z.new_empty(z.shape), centre.new_empty(centre.shape), alpha.new_empty(alpha.shape), s.new_empty(s.shape)


def _save(inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    _, centre, alpha, s = inputs
    z_k, _, r = output
    return z_k, r, centre, alpha, s


differentiable(_forward, _backward, _save)
