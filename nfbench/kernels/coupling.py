"""Additive couplings with fixed mixing: NICE as a volume-preserving flow (Rezende & Mohamed 2015, eq. 16-19)."""

import torch
from torch import Tensor


def chain(z: Tensor, mixing: Tensor, w_in: Tensor, b_in: Tensor, w_out: Tensor, b_out: Tensor) -> Tensor:
    """K times: y = z M; z = (y_A, y_B + shift(y_A)). The log-determinant is zero: |det M| = 1.

    Args:
        z: (S, B, D), split into the first D - D//2 coordinates (A) and the last D//2 (B).
        mixing: (K, D, D) orthogonal.
        w_in: (K, |A|, H) weights of the one hidden tanh layer that all data points share.
        b_in: (B, K, H) its biases, for each data point.
        w_out: (K, H, |B|).
        b_out: (K, |B|).

    Returns:
        z_K (S, B, D).
    """
    split, hidden = w_in.shape[-2:]
    # The mixing is folded into the first layer, so that one product gives the units' inputs and y together.
    joint = torch.cat([mixing[..., :split] @ w_in, mixing], -1)
    layers = (joint.unbind(0), b_in.unbind(-2), w_out.unbind(0), b_out.unbind(0))
    for joint_k, b_in_k, w_out_k, b_out_k in zip(*layers, strict=True):
        inputs, kept, moved = torch.split(z @ joint_k, [hidden, split, z.shape[-1] - split], -1)
        z = torch.cat([kept, moved + torch.tanh(inputs + b_in_k) @ w_out_k + b_out_k], -1)
    return z


def inverse(z: Tensor, mixing: Tensor, w_in: Tensor, b_in: Tensor, w_out: Tensor, b_out: Tensor) -> Tensor:
    """Exact inverse of `chain`, same arguments: subtract the shift, then mix back by the transpose."""
    split = w_in.shape[-2]
    for k in reversed(range(mixing.shape[0])):
        kept = z[..., :split]
        shift = torch.tanh(kept @ w_in[k] + b_in[..., k, :]) @ w_out[k] + b_out[k]
        z = torch.cat([kept, z[..., split:] - shift], -1) @ mixing[k].mT
    return z
