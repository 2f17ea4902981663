"""What the GPU kernels share: how work is cut into programs, whether Triton is there, and whether it is right here.

The sizes are the best of those tried on an H200 (torch 2.11, Triton 3.6, float32; 1 to 10,000 groups, 1 to 1,000,000
draws, 2 to 513 dimensions).
"""

import functools
import importlib
import importlib.util
import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

Reference = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

AHEAD, AHEAD_BACKWARD = 5, 3  # maps whose numbers are on their way from memory at once
_THREAD_BYTES = 128  # of z that a thread holds: the more draws, the rarer are sums over all threads for a map's numbers
_WARPS = 4  # the most that a program has: sums across warps are slow, so that there is one where draws are small ...
_LEAST_DRAWS = 4  # ... enough for so many of them
_LEAST_BYTES = 128  # of z in a program: a smaller one only idles its threads
_FILL = 528  # programs that keep an H200 busy: one for each of the four schedulers of its 132 multiprocessors
_SLOTS = 2048  # programs that may hold sums of their own at once
_SUMS_BYTES = 1 << 27  # and the memory of all these sums

_MESSAGE = 300  # characters of an error that a warning repeats

# Groups, draws, dimensions, depth of what a kernel must get right before it is used. The last, on a real GPU only, has
# more tiles of draws than `_SLOTS`.
_CASES = ((1, 300, 2, 5), (3, 9, 40, 3), (6, 1, 7, 4))
_LARGE_CASES = ((1, 9000, 513, 2),)
_verdicts: dict[tuple[str, str, torch.dtype], bool] = {}


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
    return (device == "cuda" or (device == "cpu" and interpreted())) and installed()


def interpreted() -> bool:
    """Whether Triton runs its kernels in Python on the CPU: ``TRITON_INTERPRET=1``, set before its first import."""
    return os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "yes", "on", "y")


def usable(name: str, reference: Reference, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether a map's Triton kernels agree with plain PyTorch here: tried at the first call, then remembered.

    Where they do not, or do not run at all, one warning says so, and the caller takes the plain chain.

    Args:
        name: the map; its kernels are `nfbench.kernels.<name>.triton`.
        reference: the chain in plain PyTorch, differentiable: `z (S, B, D), maps (B, K, P) -> z_K (S, B, D), ln|det|
            (S, B)`.
        device: where the kernels are to run.
        dtype: float32 or float64.
    """
    key = (name, str(device), dtype)
    if key not in _verdicts:
        _verdicts[key] = False  # should the reference ask in turn, it gets the plain chain
        # A thread of its own is free of the caller's vmap, autocast, inference mode and tracing.
        with ThreadPoolExecutor(1) as apart:
            fault = apart.submit(_fault, name, reference, device, dtype).result()
        _verdicts[key] = fault is None
        if fault is not None:
            warnings.warn(f"Triton {name} in {dtype} on {device}: {fault}; plain PyTorch is used", stacklevel=2)
    return _verdicts[key]


def _fault(name: str, reference: Reference, device: torch.device, dtype: torch.dtype) -> str | None:
    """What is wrong with a map's kernels, in one line; None where nothing is."""
    try:
        kernels = importlib.import_module(f"nfbench.kernels.{name}.triton")
        for case in _CASES + _LARGE_CASES * (device.type == "cuda"):
            found = _disagreement(kernels, reference, case, device, dtype)
            if found is not None:
                return found
    except Exception as error:  # whatever a compiler or a driver may raise
        return f"{type(error).__name__}: {' '.join(str(error).split())[:_MESSAGE]}"
    return None


def _disagreement(
    kernels: Any, reference: Reference, case: tuple[int, int, int, int], device: torch.device, dtype: torch.dtype
) -> str | None:
    """The result of a fixed wild case that is off by more than 16 times plain PyTorch's own error, or None.

    The error is the norm of the difference to float64's result; 1e-5 (float32) or 1e-8 (float64: torch's softplus is
    the identity above 20, 2e-9 off) of that result's norm is always granted.
    """
    groups, draws, dim, depth = case
    random = torch.Generator().manual_seed(draws)
    shapes = ((groups, draws, dim), (groups, depth, kernels.numbers(dim)), (groups, draws, dim), (groups, draws))
    drawn = [torch.randn(shape, generator=random, dtype=torch.float32).to(device) for shape in shapes]
    drawn[1] *= 2
    exact = _plainly(reference, *[one.double() for one in drawn])
    given = [one.to(dtype) for one in drawn]
    plain = _plainly(reference, *given)
    z_k, log_det, saved = kernels.forward(given[0], given[1])
    fused = (z_k, log_det, *kernels.backward(z_k, saved, given[1], given[2], given[3]))
    granted = 1e-5 if dtype == torch.float32 else 1e-8
    results = zip(("z_K", "ln|det|", "gradient in z", "gradient in maps"), fused, plain, exact, strict=True)
    for what, ours, theirs, truth in results:
        off, allowed = float((ours - truth).norm()), float(16 * (theirs - truth).norm() + granted * truth.norm())
        if not off <= allowed:
            return f"{what} is off by {off:.1e}, {allowed:.1e} is allowed, at (groups, draws, D, K) = {case}"
    return None


def _plainly(
    reference: Reference, z: Tensor, maps: Tensor, grad_z: Tensor, grad_log_det: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """z_K (G, N, D), ln|det| (G, N) and the gradients in z and maps, by autograd; a group is a point of `reference`."""
    z, maps = z.detach().requires_grad_(), maps.detach().requires_grad_()
    z_k, log_det = (one.transpose(0, 1) for one in reference(z.transpose(0, 1), maps))
    to_z, to_maps = torch.autograd.grad((z_k, log_det), (z, maps), (grad_z, grad_log_det))
    return z_k.detach(), log_det.detach(), to_z, to_maps
