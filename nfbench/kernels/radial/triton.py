"""Fused radial chain on a GPU: one kernel forward, one backward, z in registers over all K maps.

A map's numbers are a row [centre (D), raw alpha, raw beta] of `maps (G, K, D + 2)`: alpha and s are their softplus, and
f(z) = z + q (z - c) with q = (s - alpha)/(alpha + r), r = |z - c| (Rezende & Mohamed 2015, eq. 14, App. A.2). The N
draws of a group share its maps.
"""

import triton.language as tl
from torch import Tensor

from nfbench.kernels.gpu import chain
from nfbench.kernels.gpu.elementary import kernel, sigmoid, softplus
from nfbench.kernels.radial.reference import LIMIT, numbers

__all__ = ["RESTARTS", "backward", "forward", "numbers"]
RESTARTS = True  # `backward` takes z_0


def forward(z: Tensor, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Push draws through the chain.

    Args:
        z: (G, N, D).
        maps: (G, K, D + 2).

    Returns:
        z_K (G, N, D), ln|det| (G, N) and the activations r = |z - c| (G, K, N).
    """
    return chain.forward(_forward, z, maps)


def backward(
    z: Tensor, r: Tensor, maps: Tensor, grad_z: Tensor, grad_log_det: Tensor, z_0: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients in z and in the maps; z_{k-1} = c + r (z_k - c) / |z_k - c| is rebuilt going down.

    With the saved r as its length, z_{k-1} - c does not take over what z_k lost where the map contracts; multiplied by
    (alpha + r)/(r + s) it would, and float32 gradients in few dimensions are then up to 400 times further off. Its
    direction does: where the maps that a draw came down have enlarged its rounding beyond `LIMIT`, the point is
    computed anew from z_0.

    Args:
        z: z_K (G, N, D).
        r: activations (G, K, N), of `forward`.
        maps: (G, K, D + 2).
        grad_z: gradient in z_K (G, N, D).
        grad_log_det: gradient in ln|det| (G, N).
        z_0: what `forward` was called with, (G, N, D).

    Returns:
        (G, N, D) and (G, K, D + 2).
    """
    return chain.backward(_backward, z, r, maps, grad_z, grad_log_det, z_0, LIMIT=LIMIT)


@kernel
def _forward(
    z: tl.tensor,
    maps: tl.tensor,
    out: tl.tensor,
    log_det: tl.tensor,
    r: tl.tensor,
    tiles: tl.tensor,
    num_draws: tl.tensor,
    num_maps: tl.tensor,
    D: tl.constexpr,
    DRAWS: tl.constexpr,
    DIMS: tl.constexpr,
    STAGES: tl.constexpr,
) -> None:
    """A program takes a tile of a group's draws through the chain.

    ln|det| = (D - 1) ln((r + s)/(alpha + r)) + ln((r^2 + 2 alpha r + alpha s)/(alpha + r)^2).
    """
    group = (tl.program_id(0) // tiles).to(tl.int64)
    draw = (tl.program_id(0) % tiles).to(tl.int64) * DRAWS + tl.arange(0, DRAWS)
    dim = tl.arange(0, DIMS)
    real, inside = dim < D, draw < num_draws
    both = inside[:, None] & real[None, :]
    at = group * num_draws + draw
    point = tl.load(z + at[:, None] * D + dim[None, :], both, 0.0)
    total = tl.zeros([DRAWS], point.dtype)
    row = maps + group * num_maps * (D + 2)
    saved = r + group * num_maps * num_draws + draw
    for _ in tl.range(num_maps, num_stages=STAGES):
        centre = tl.load(row + dim, real, 0.0)
        alpha = softplus(tl.load(row + D))
        s = softplus(tl.load(row + D + 1))
        offset = point - centre[None, :]
        radius = tl.sqrt(tl.sum(offset * offset, 1))
        tl.store(saved, radius, inside)
        reach = alpha + radius
        near, far = alpha / reach, radius / reach
        point += ((s - alpha) / reach)[:, None] * offset
        total += (D - 1) * tl.log((radius + s) / reach) + tl.log(far * (1.0 + near) + near * (s / reach))
        row += D + 2
        saved += num_draws
    tl.store(out + at[:, None] * D + dim[None, :], point, both)
    tl.store(log_det + at, total, inside)


@kernel
def _climb(point: tl.tensor, row: tl.tensor, count: tl.tensor, dim: tl.tensor, D: tl.constexpr) -> tl.tensor:
    """Take points through the first maps of a chain, whose rows begin at `row`."""
    for _ in range(count):
        centre = tl.load(row + dim, dim < D, 0.0)
        alpha = softplus(tl.load(row + D))
        s = softplus(tl.load(row + D + 1))
        offset = point - centre[None, :]
        radius = tl.sqrt(tl.sum(offset * offset, 1))
        point += ((s - alpha) / (alpha + radius))[:, None] * offset
        row += D + 2
    return point


@kernel
def _backward(
    z: tl.tensor,
    r: tl.tensor,
    maps: tl.tensor,
    grad_z: tl.tensor,
    grad_log_det: tl.tensor,
    start: tl.tensor,
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
    LIMIT: tl.constexpr,
) -> None:
    """A program goes down the chain with every slots-th tile of a group's draws, and sums up the gradients in the maps.

    It has a slot of its own in `sums (slots, G, K, D + 2)`, so that their order does not depend on which program is
    first. The derivatives of ln|det|, with rho = alpha + r and along = r^2 + 2 alpha r + alpha s: in r, (alpha - s)/rho
    ((D - 1)/(r + s) + 2 alpha/along); in alpha, ((r (s - 2 alpha) - alpha s)/along - (D - 1))/rho; in s, (D - 1)/(r +
    s) + alpha/along.
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
        row = maps + last * (D + 2)
        gain = sums + (slot.to(tl.int64) * num_groups * num_maps + last) * (D + 2)
        saved = r + last * num_draws + draw
        enlarged = tl.full([DRAWS], 1.0, point.dtype)
        for above in tl.range(num_maps, num_stages=STAGES):
            centre = tl.load(row + dim, real, 0.0)
            raw_alpha = tl.load(row + D)
            raw_beta = tl.load(row + D + 1)
            radius = tl.load(saved, inside, 1.0)
            alpha, s = softplus(raw_alpha), softplus(raw_beta)
            reach, spread = alpha + radius, radius + s
            across, along = (D - 1) / spread, radius * (reach + alpha) + alpha * s
            offset = point - centre[None, :]
            length = tl.sqrt(tl.sum(offset * offset, 1))
            shrink = tl.where(length > 0, radius / tl.where(length > 0, length, 1.0), 0.0)
            offset *= shrink[:, None]
            enlarged = tl.where((length > 0) | (radius == 0), tl.maximum(enlarged, 1.0) * shrink, 2.0 * LIMIT)
            enlarged = tl.where(inside, enlarged, 1.0)
            if tl.max(enlarged, 0) > LIMIT:
                exact = tl.load(start + at[:, None] * D + dim[None, :], both, 0.0)
                exact = _climb(exact, maps + group * num_maps * (D + 2), num_maps - 1 - above, dim, D)
                offset = tl.where((enlarged > LIMIT)[:, None] & real[None, :], exact - centre[None, :], offset)
                enlarged = tl.where(enlarged > LIMIT, 1.0, enlarged)
            by_q = tl.sum(back * offset, 1) / reach
            slope = (alpha - s) / reach
            by_r = slope * (back_log * (across + 2.0 * alpha / along) + by_q)
            ratio = (radius * (s - 2.0 * alpha) - alpha * s) / along - (D - 1)
            by_alpha = tl.sum(back_log * ratio / reach - by_q * (spread / reach), 0)
            by_s = tl.sum(back_log * (across + alpha / along) + by_q, 0)
            outward = tl.where(radius > 0, by_r / tl.where(radius > 0, radius, 1.0), 0.0)
            share = outward[:, None] * offset - slope[:, None] * back
            by_centre = -tl.sum(share, 0)
            by_alpha *= sigmoid(raw_alpha)
            by_s *= sigmoid(raw_beta)
            back += share
            point = centre[None, :] + offset
            if SHARED and tile != slot:
                by_centre += tl.load(gain + dim, real, 0.0)
                by_alpha += tl.load(gain + D)
                by_s += tl.load(gain + D + 1)
            tl.store(gain + dim, by_centre, real)
            tl.store(gain + D, by_alpha)
            tl.store(gain + D + 1, by_s)
            row -= D + 2
            gain -= D + 2
            saved -= num_draws
        tl.store(to_z + at[:, None] * D + dim[None, :], back, both)
        if SHARED:
            tl.debug_barrier()
