"""Fused planar chain on a GPU: one kernel forward, one backward, z in registers over all K maps.

A map's numbers are a row [w (D), u (D), b] of `maps (G, K, 2 D + 1)`, u as it is before the constraint of App. A.1 of
Rezende & Mohamed 2015. The N draws of a group share its maps.
"""

import triton.language as tl
from torch import Tensor

from nfbench.kernels.gpu import chain
from nfbench.kernels.gpu.elementary import kernel, log1p_exp, sigmoid, tanh
from nfbench.kernels.planar.reference import numbers

__all__ = ["RESTARTS", "backward", "forward", "numbers"]
RESTARTS = False  # `backward` takes no z_0


def forward(z: Tensor, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Push draws through the chain.

    Args:
        z: (G, N, D).
        maps: (G, K, 2 D + 1).

    Returns:
        z_K (G, N, D), ln|det| (G, N) and the activations h = tanh(w.z + b) (G, K, N).
    """
    return chain.forward(_forward, z, maps)


def backward(z: Tensor, h: Tensor, maps: Tensor, grad_z: Tensor, grad_log_det: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients in z and in the maps; z_{k-1} = z_k - u_hat_k h_k is rebuilt going down.

    Args:
        z: z_K (G, N, D).
        h: activations (G, K, N), of `forward`.
        maps: (G, K, 2 D + 1).
        grad_z: gradient in z_K (G, N, D).
        grad_log_det: gradient in ln|det| (G, N).

    Returns:
        (G, N, D) and (G, K, 2 D + 1).
    """
    return chain.backward(_backward, z, h, maps, grad_z, grad_log_det)


@kernel
def _constrain(w: tl.tensor, u: tl.tensor) -> tl.tensor:
    """`w, u (D,) -> w.u, ||w||^2, s, scale, zero` with s = softplus(w.u) and u_hat = u + scale w.

    scale ||w||^2 = m(w.u) - w.u = s - w.u - 1, where s - w.u = softplus(-w.u) keeps its digits. Where w = 0, zero is
    True, s = 1 + w.u and scale = 0, and ||w||^2 is given as 1.
    """
    wu = tl.sum(w * u, 0)
    ww = tl.sum(w * w, 0)
    rest = log1p_exp(-tl.abs(wu))
    zero = ww == 0.0
    ww = tl.where(zero, 1.0, ww)
    s = tl.where(zero, 1.0 + wu, tl.maximum(wu, 0.0) + rest)
    return wu, ww, s, tl.where(zero, 0.0, (tl.maximum(-wu, 0.0) + rest - 1.0) / ww), zero


@kernel
def _forward(
    z: tl.tensor,
    maps: tl.tensor,
    out: tl.tensor,
    log_det: tl.tensor,
    h: tl.tensor,
    tiles: tl.tensor,
    num_draws: tl.tensor,
    num_maps: tl.tensor,
    D: tl.constexpr,
    DRAWS: tl.constexpr,
    DIMS: tl.constexpr,
    STAGES: tl.constexpr,
) -> None:
    """A program takes a tile of a group's draws through the chain."""
    group = (tl.program_id(0) // tiles).to(tl.int64)
    draw = (tl.program_id(0) % tiles).to(tl.int64) * DRAWS + tl.arange(0, DRAWS)
    dim = tl.arange(0, DIMS)
    real, inside = dim < D, draw < num_draws
    at = group * num_draws + draw
    point = tl.load(z + at[:, None] * D + dim[None, :], inside[:, None] & real[None, :], 0.0)
    total = tl.zeros([DRAWS], point.dtype)
    row = maps + group * num_maps * (2 * D + 1)
    saved = h + group * num_maps * num_draws + draw
    for _ in tl.range(num_maps, num_stages=STAGES):
        w = tl.load(row + dim, real, 0.0)
        u = tl.load(row + D + dim, real, 0.0)
        b = tl.load(row + 2 * D)
        _, _, s, scale, _ = _constrain(w, u)
        active = tanh(tl.sum(point * w[None, :], 1) + b)
        tl.store(saved, active, inside)
        point += (u + scale * w)[None, :] * active[:, None]
        square = active * active
        total += tl.log(square + s * (1.0 - square))
        row += 2 * D + 1
        saved += num_draws
    tl.store(out + at[:, None] * D + dim[None, :], point, inside[:, None] & real[None, :])
    tl.store(log_det + at, total, inside)


@kernel
def _backward(
    z: tl.tensor,
    h: tl.tensor,
    maps: tl.tensor,
    grad_z: tl.tensor,
    grad_log_det: tl.tensor,
    to_z: tl.tensor,
    sums: tl.tensor,
    slots: tl.tensor,
    num_groups: tl.tensor,
    num_draws: tl.tensor,
    num_maps: tl.tensor,
    D: tl.constexpr,
    DRAWS: tl.constexpr,
    DIMS: tl.constexpr,
    STAGES: tl.constexpr,
    SHARED: tl.constexpr,
) -> None:
    """A program goes down the chain with every slots-th tile of a group's draws, and sums up the gradients in the maps.

    It has a slot of its own in `sums (slots, G, K, 2 D + 1)`, so that their order does not depend on which program is
    first.
    """
    slot = tl.program_id(0) % slots
    group = (tl.program_id(0) // slots).to(tl.int64)
    dim = tl.arange(0, DIMS)
    real = dim < D
    last = (group + 1) * num_maps - 1
    for tile in range(slot, tl.cdiv(num_draws, DRAWS), slots):
        draw = tile * DRAWS + tl.arange(0, DRAWS).to(tl.int64)
        inside = draw < num_draws
        both = inside[:, None] & real[None, :]
        at = group * num_draws + draw
        point = tl.load(z + at[:, None] * D + dim[None, :], both, 0.0)
        back = tl.load(grad_z + at[:, None] * D + dim[None, :], both, 0.0)
        back_log = tl.load(grad_log_det + at, inside, 0.0)
        row = maps + last * (2 * D + 1)
        gain = sums + (slot.to(tl.int64) * num_groups * num_maps + last) * (2 * D + 1)
        saved = h + last * num_draws + draw
        for _ in tl.range(num_maps, num_stages=STAGES):
            w = tl.load(row + dim, real, 0.0)
            u = tl.load(row + D + dim, real, 0.0)
            active = tl.load(saved, inside, 1.0)
            wu, ww, s, scale, zero = _constrain(w, u)
            u_hat = u + scale * w
            square = active * active
            flat = 1.0 - square
            share = back_log / (square + s * flat)
            inner = flat * (2.0 * share * active * (1.0 - s) + tl.sum(back * u_hat[None, :], 1))
            point -= u_hat[None, :] * active[:, None]
            by_u = tl.sum(back * active[:, None], 0)
            by_w = tl.sum(point * inner[:, None], 0)
            by_b = tl.sum(inner, 0)
            by_s = tl.sum(share * flat, 0)
            back += w[None, :] * inner[:, None]
            along = tl.sum(w * by_u, 0)
            by_wu = tl.where(zero, by_s, by_s * sigmoid(wu) - along * sigmoid(-wu) / ww)
            by_w += scale * by_u + by_wu * u - 2.0 * scale * along / ww * w
            by_u += by_wu * w
            if SHARED and tile != slot:
                by_w += tl.load(gain + dim, real, 0.0)
                by_u += tl.load(gain + D + dim, real, 0.0)
                by_b += tl.load(gain + 2 * D)
            tl.store(gain + dim, by_w, real)
            tl.store(gain + D + dim, by_u, real)
            tl.store(gain + 2 * D, by_b)
            row -= 2 * D + 1
            gain -= 2 * D + 1
            saved -= num_draws
        tl.store(to_z + at[:, None] * D + dim[None, :], back, both)
        if SHARED:
            tl.debug_barrier()
