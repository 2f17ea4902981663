"""What the GPU kernels share: how work is cut into programs, whether Triton is there, and whether it is right here.

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

AHEAD, AHEAD_BACKWARD = 5, 3  # maps whose numbers are on their way from memory at once
_THREAD_BYTES = 128  # of z that a thread holds: the more draws, the rarer are sums over all threads for a map's numbers
_WARPS = 4  # the most that a program has: sums across warps are slow, so that there is one where draws are small ...
_LEAST_DRAWS = 4  # ... enough for so many of them
_LEAST_BYTES = 128  # of z in a program: a smaller one only idles its threads
_FILL = 528  # programs that keep an H200 busy: one for each of the four schedulers of its 132 multiprocessors
_SLOTS = 2048  # programs that may hold sums of their own at once
_SUMS_BYTES = 1 << 27  # and the memory of all these sums


@dataclass(frozen=True)
class Tile:
    """The draws and the dimensions (padded to a power of 2) of a program, its warps, and how many tiles a group has."""

    draws: int
    dims: int
    warps: int
    parts: int


def tile_of(z: Tensor) -> Tile:
    """The tile for `z (G, N, D)`: as large as registers allow, but small enough that all multiprocessors get work."""
    groups, draws, dim = z.shape
    dims, warp, least = _power(dim), 32 * _THREAD_BYTES // z.element_size(), _LEAST_BYTES // z.element_size()
    warps = min(_WARPS, max(1, _LEAST_DRAWS * dims // warp))
    held = max(1, min(_power(draws), warps * warp // dims))
    while held > 1 and held * dims > least and groups * _parts(draws, held) < _FILL:
        held //= 2
    warps = min(warps, max(1, held * dims // warp))
    return Tile(held, dims, warps, _parts(draws, held))


def _power(number: int) -> int:
    return 1 << (number - 1).bit_length()


def _parts(number: int, size: int) -> int:
    return -(-number // size)


def partial_sums(tile: Tile, maps: Tensor) -> tuple[Tensor, bool]:
    """Memory `(slots, G, K, P)` for gradients in the maps, and whether tiles of draws must share a slot.

    Sums over slots replace atomic additions, whose order, and with it the rounding, changes from run to run.
    """
    fitting = _SUMS_BYTES // max(1, maps.numel() * maps.element_size())
    slots = max(1, min(tile.parts, _SLOTS // len(maps), fitting))
    return maps.new_empty(slots, *maps.shape), slots < tile.parts


def launch(kernel: Any, programs: int, tile: Tile, *given: Tensor | int, **constants: int) -> None:
    """Start a Triton kernel on the device of its tensors."""
    device = cast(Tensor, given[0]).device
    with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
        kernel[(programs,)](*given, **constants, DRAWS=tile.draws, DIMS=tile.dims, num_warps=tile.warps)


@functools.cache
def installed() -> bool:
    """Whether Triton can be imported."""
    return importlib.util.find_spec("triton") is not None


def runs(device: str) -> bool:
    """Whether Triton kernels can run on tensors of that device: CUDA, or the CPU while the interpreter is on."""
    return (device == "cuda" or (device == "cpu" and triton_interpreted())) and installed()
