"""Fused planar chain on the CPU: one pass forward, one backward, and K scalars a draw in between."""

import torch
from torch import Tensor

from nfbench.kernels import planar_loops as loops
from nfbench.kernels.cpu import arrays, chosen, differentiable, grouped, ungrouped, zeros


def chain(z: Tensor, w: Tensor, u: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """As `planar.chain`: `z (S, B, D), w and u (B or 1, K, D), b (B or 1, K) -> z_K (S, B, D), ln|det| (S, B)`."""
    z_k, log_det, _, _ = _forward(grouped(z, len(w)), w, u, b)
    return ungrouped(z_k, z.shape), ungrouped(log_det, z.shape)


@torch.library.custom_op("nfbench::planar", mutates_args=())
def _forward(z: Tensor, w: Tensor, u: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`z (G, N, D), w and u (G, K, D), b (G, K) -> z_K (G, N, D), ln|det| (G, N), h (G, K, N), s (G, K)`."""
    out, log_det, h, s = _shapes(z, w, u, b)
    chosen(loops, z)[0](*arrays(z, w, u, b), *arrays(out, h, s))
    square = h.square()
    torch.sum((square + s.unsqueeze(-1) * (1 - square)).log_(), 1, out=log_det)
    return out, log_det, h, s


@torch.library.custom_op("nfbench::planar_backward", mutates_args=())
def _backward(
    z: Tensor, h: Tensor, s: Tensor, w: Tensor, u: Tensor, grad_z: Tensor, grad_log_det: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients in z, w, u and b, from z_K and the saved scalars: z_{k-1} = z_k - u_hat_k h_k is rebuilt going down."""
    grads = zeros(z, w, u, s)
    chosen(loops, z)[1](*arrays(z, h, s, w, u, grad_z, grad_log_det), *arrays(*grads))
    return grads[0], grads[1], grads[2], grads[3]


@_forward.register_fake
def _shapes(z: Tensor, w: Tensor, u: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    groups, draws, _ = z.shape
    return (
        z.new_empty(z.shape),
        z.new_empty(groups, draws),
        z.new_empty(groups, w.shape[1], draws),
        z.new_empty(groups, w.shape[1]),
    )


@_backward.register_fake
def _(
    z: Tensor, h: Tensor, s: Tensor, w: Tensor, u: Tensor, grad_z: Tensor, grad_log_det: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return z.new_empty(z.shape), w.new_empty(w.shape), u.new_empty(u.shape), s.new_empty(s.shape)


def _save(inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    _, w, u, _ = inputs
    z_k, _, h, s = output
    return z_k, h, s, w, u


differentiable(_forward, _backward, _save)
