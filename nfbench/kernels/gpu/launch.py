"""How work is cut into Triton programs, their launch, and whether Triton can run here.

The sizes are the best of those tried on an H200 (torch 2.11, Triton 3.6, float32; 1 to 10,000 groups, 1 to 1,000,000
draws, 2 to 513 dimensions).
"""

import functools
import importlib
import importlib.util
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from nfbench.foundation.settings import triton_interpreted

AHEAD, AHEAD_BACKWARD = 5, 3  # maps whose numbers are being loaded from memory at once
_THREAD_BYTES = 128  # of z that a thread holds: with more draws a thread, sums over all threads are rarer
_WARPS = 4  # the most that a program has; sums across warps are slow, so there is one where it holds enough draws:
_LEAST_DRAWS = 4  # so many
_LEAST_BYTES = 128  # of z in a program: in a smaller one threads would idle
_FILL = 528  # programs that keep an H200 busy: one for each of the four schedulers of its 132 multiprocessors
_SLOTS = 2048  # programs that may have memory of their own for sums over draws
_SUMS_BYTES = 1 << 27  # the most that this memory takes in all


@dataclass(frozen=True)
class Tile:
    """What one Triton program works on.

    Attributes:
        draws: how many of a group.
        dims: D, rounded up to a power of 2.
        warps: of the program.
        parts: into how many tiles the draws of a group are cut.
    """

    draws: int
    dims: int
    warps: int
    parts: int


def tile_of(z: Tensor) -> Tile:
    """Choose the tile: as large as registers allow, but small enough to keep all multiprocessors busy.

    Args:
        z: (G, N, D), not empty.

    Returns:
        The tile of each program of the launch.
    """
    groups, draws, dim = z.shape
    dims, warp, least = _power(dim), 32 * _THREAD_BYTES // z.element_size(), _LEAST_BYTES // z.element_size()
    warps = min(_WARPS, max(1, _LEAST_DRAWS * dims // warp))
    draws_held = max(1, min(_power(draws), warps * warp // dims))
    while draws_held > 1 and draws_held * dims > least and groups * _parts(draws, draws_held) < _FILL:
        draws_held //= 2
    warps = min(warps, max(1, draws_held * dims // warp))
    return Tile(draws_held, dims, warps, _parts(draws, draws_held))


def _power(number: int) -> int:
    """The least power of 2 that is not below `number`."""
    return 1 << (number - 1).bit_length()


def _parts(number: int, size: int) -> int:
    """How many parts of `size` cover `number`."""
    return -(-number // size)


def partial_sums(tile: Tile, maps: Tensor) -> tuple[Tensor, bool]:
    """Memory for gradients in the maps: slots that are summed up after the kernel has run.

    They replace atomic additions, whose order, and with it the rounding, would change from run to run.

    Args:
        tile: of the launch.
        maps: (G, K, R).

    Returns:
        (slots, G, K, R), and whether several tiles of draws must share a slot.
    """
    fitting = _SUMS_BYTES // max(1, maps.numel() * maps.element_size())
    slots = max(1, min(tile.parts, _SLOTS // len(maps), fitting))
    return maps.new_empty(slots, *maps.shape), slots < tile.parts


def launch(kernel: Any, programs: int, tile: Tile, *arguments: Tensor | int, **constants: int) -> None:
    """Start a Triton kernel on the device of its tensors.

    Args:
        kernel: a function under `elementary.kernel`.
        programs: how many.
        tile: the work of each.
        arguments: of the kernel, a tensor first.
        constants: compile-time arguments of the kernel beside the tile's.
    """
    device = cast(Tensor, arguments[0]).device
    with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
        kernel[(programs,)](*arguments, **constants, DRAWS=tile.draws, DIMS=tile.dims, num_warps=tile.warps)


@functools.cache
def installed() -> bool:
    """Whether Triton can be imported."""
    return importlib.util.find_spec("triton") is not None


def runs(device: str) -> bool:
    """Whether Triton kernels can run on tensors of a device.

    Args:
        device: type of the device, such as ``cuda``.

    Returns:
        Whether it is CUDA, or the CPU while Triton's interpreter is on, and Triton is installed.
    """
    return (device == "cuda" or (device == "cpu" and triton_interpreted())) and installed()
