"""The diagonal Gaussian's draws on a GPU: one kernel forward, one backward. Contract: `diagonal.Loops`."""

from typing import NamedTuple

import torch
import triton.language as tl
from torch import Tensor

from nfbench.kernels.elementary_triton import kernel
from nfbench.kernels.gpu import Tile, launch, slots_of, tile_of

# ln(2 pi) / 2 in two numbers of single precision, which is what a kernel takes a constant for.
_HIGH: tl.constexpr = tl.constexpr(0.91893851757049560546875)
_LOW: tl.constexpr = tl.constexpr(1.5634177e-08)


class _Rows(NamedTuple):
    """How draws lie in memory: that of draw n in group g is the row `n across + g apart` of D numbers.

    Attributes:
        tile: what a program takes, of N draws in each of G groups, each with a row of the base.
        size: G, N and D.
    """

    tile: Tile
    size: tuple[int, int, int]
    across: int
    apart: int


def forward(noise: Tensor, base: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`noise (S, B, D), base (B or 1, 2 D) -> z (S, B, D), ln q (S, B)` and the base; the results lie as the noise."""
    noise, base = _dense(noise, len(base)), base.contiguous()
    z, log_q = torch.empty_like(noise), _like(noise)
    if noise.numel():
        rows = _rows(noise, len(base))
        groups, draws, dim = rows.size
        given = noise, base, z, log_q, rows.tile.parts, draws, rows.across, rows.apart
        launch(_forward, groups * rows.tile.parts, rows.tile, *given, D=dim)
    return z, log_q, base


def backward(
    noise: Tensor, base: Tensor, grad_z: Tensor, grad_log_q: Tensor, *, to_noise: bool
) -> tuple[Tensor | None, Tensor]:
    """Gradients in the noise (S, B, D), where they are asked for, and in the base (B or 1, 2 D)."""
    mean_and_scale = base.chunk(2, -1)
    back = grad_z * mean_and_scale[1].exp() - grad_log_q.unsqueeze(-1) * noise if to_noise else None
    if not noise.numel():
        return back, torch.zeros_like(base)
    noise = _dense(noise, len(base))
    rows = _rows(noise, len(base))
    groups, draws, dim = rows.size
    slots = slots_of(rows.tile, base)
    sums = base.new_empty(slots, *base.shape)
    given = noise, base, _beside(grad_z, noise), _beside(grad_log_q, noise), sums
    launch(_backward, groups * slots, rows.tile, *given, slots, groups, draws, rows.across, rows.apart, D=dim)
    return back, sums.sum(0) if slots > 1 else sums[0]


def _dense(noise: Tensor, rows: int) -> Tensor:
    """The noise with its draws one after the other, for each point or for all at once."""
    return noise if rows > 1 and noise.transpose(0, 1).is_contiguous() else noise.contiguous()


def _like(noise: Tensor) -> Tensor:
    """Room for a number of each draw, which lie as the noise."""
    draws, points, _ = noise.shape
    return noise.new_empty(draws, points) if noise.is_contiguous() else noise.new_empty(points, draws).mT


def _beside(values: Tensor, noise: Tensor) -> Tensor:
    """Values of the noise's draws that lie as it does."""
    return values.contiguous() if noise.is_contiguous() else values.transpose(0, 1).contiguous().transpose(0, 1)


def _rows(noise: Tensor, rows: int) -> _Rows:
    draws, points, dim = noise.shape
    if rows == 1:
        size, across, apart = (1, draws * points, dim), 1, 0
    elif noise.is_contiguous():
        size, across, apart = (points, draws, dim), points, 1
    else:
        size, across, apart = (points, draws, dim), 1, draws
    return _Rows(tile_of(noise.new_empty(size, device="meta")), size, across, apart)


@kernel
def _forward(
    noise: tl.tensor,
    base: tl.tensor,
    z: tl.tensor,
    log_q: tl.tensor,
    tiles: tl.tensor,
    num_draws: tl.tensor,
    across: tl.tensor,
    apart: tl.tensor,
    D: tl.constexpr,
    DRAWS: tl.constexpr,
    DIMS: tl.constexpr,
) -> None:
    """A program draws a tile of a group."""
    group = (tl.program_id(0) // tiles).to(tl.int64)
    draw = (tl.program_id(0) % tiles).to(tl.int64) * DRAWS + tl.arange(0, DRAWS)
    dim = tl.arange(0, DIMS)
    real, inside = dim < D, draw < num_draws
    at, both = draw * across + group * apart, inside[:, None] & real[None, :]
    mean = tl.load(base + group * 2 * D + dim, real, 0.0)
    log_sigma = tl.load(base + group * 2 * D + D + dim, real, 0.0)
    x = tl.load(noise + at[:, None] * D + dim[None, :], both, 0.0)
    tl.store(z + at[:, None] * D + dim[None, :], mean[None, :] + tl.exp(log_sigma)[None, :] * x, both)
    rest = tl.sum(log_sigma, 0) + D * _LOW + D * _HIGH
    tl.store(log_q + at, -(0.5 * tl.sum(x * x, 1) + rest), inside)


@kernel
def _backward(
    noise: tl.tensor,
    base: tl.tensor,
    grad_z: tl.tensor,
    grad_log_q: tl.tensor,
    sums: tl.tensor,
    slots: tl.tensor,
    num_groups: tl.tensor,
    num_draws: tl.tensor,
    across: tl.tensor,
    apart: tl.tensor,
    D: tl.constexpr,
    DRAWS: tl.constexpr,
    DIMS: tl.constexpr,
) -> None:
    """A program sums over every slots-th tile of a group's draws, into a slot of its own, `sums (slots, G, 2 D)`."""
    slot = tl.program_id(0) % slots
    group = (tl.program_id(0) // slots).to(tl.int64)
    dim = tl.arange(0, DIMS)
    real = dim < D
    sigma = tl.exp(tl.load(base + group * 2 * D + D + dim, real, 0.0))
    by_mean, by_sigma = tl.zeros_like(sigma), tl.zeros_like(sigma)
    for tile in range(slot, tl.cdiv(num_draws, DRAWS), slots):
        draw = tile * DRAWS + tl.arange(0, DRAWS).to(tl.int64)
        inside = draw < num_draws
        at, both = draw * across + group * apart, inside[:, None] & real[None, :]
        x = tl.load(noise + at[:, None] * D + dim[None, :], both, 0.0)
        back = tl.load(grad_z + at[:, None] * D + dim[None, :], both, 0.0)
        log = tl.load(grad_log_q + at, inside, 0.0)
        by_mean += tl.sum(back, 0)
        by_sigma += tl.sum(back * x, 0) * sigma - tl.sum(log, 0)
    row = sums + (slot.to(tl.int64) * num_groups + group) * 2 * D
    tl.store(row + dim, by_mean, real)
    tl.store(row + D + dim, by_sigma, real)
