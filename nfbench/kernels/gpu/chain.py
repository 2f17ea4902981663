"""How a chain's Triton kernels are launched, forward and backward: memory for results, tiles of draws, sums over them.

A kernel goes through all K maps with a tile of a group's draws in registers. One activation for each map and draw is
saved for the way back. The N draws of a group share the numbers of their maps, R for each map.
"""

from typing import Any

import torch
from torch import Tensor

from nfbench.kernels.gpu.launch import AHEAD, AHEAD_BACKWARD, launch, partial_sums, tile_of


def forward(kernel: Any, z: Tensor, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Push draws through a chain.

    Args:
        kernel: takes z, maps, z_K, ln|det|, activations, tiles in a group, N and K, then constants.
        z: (G, N, D).
        maps: (G, K, R).

    Returns:
        z_K (G, N, D), ln|det| (G, N) and the activations (G, K, N).
    """
    groups, draws, dim = z.shape
    depth = maps.shape[1]
    out = torch.empty_like(z, memory_format=torch.contiguous_format)
    log_det, activations = z.new_empty(groups, draws), z.new_empty(groups, depth, draws)
    if z.numel():
        tile = tile_of(z)
        tensors = (z.contiguous(), maps.contiguous(), out, log_det, activations)
        launch(kernel, groups * tile.parts, tile, *tensors, tile.parts, draws, depth, D=dim, STAGES=AHEAD)
    return out, log_det, activations


def backward(
    kernel: Any,
    z: Tensor,
    activations: Tensor,
    maps: Tensor,
    grad_z: Tensor,
    grad_log_det: Tensor,
    *start: Tensor,
    **further: Any,
) -> tuple[Tensor, Tensor]:
    """Gradients in z and in the maps; z before each map is rebuilt from z_K and the activations, going down.

    Args:
        kernel: takes z_K, activations, maps, both gradients, perhaps z_0, the gradient in z, slots for gradients in
            the maps (slots, G, K, R), their number, G, N and K, then constants.
        z: z_K (G, N, D).
        activations: (G, K, N), of `forward`.
        maps: (G, K, R).
        grad_z: gradient in z_K (G, N, D).
        grad_log_det: gradient in ln|det| (G, N).
        start: z_0 (G, N, D), for a kernel that takes it.
        further: constants of the kernel's own.

    Returns:
        (G, N, D) and (G, K, R).
    """
    groups, draws, dim = z.shape
    if not z.numel():
        return torch.zeros_like(z), torch.zeros_like(maps)
    tile = tile_of(z)
    sums, shared = partial_sums(tile, maps)
    to_z = torch.empty_like(z, memory_format=torch.contiguous_format)
    tensors = [tensor.contiguous() for tensor in (z, activations, maps, grad_z, grad_log_det, *start)]
    sizes = (len(sums), groups, draws, maps.shape[1])
    constants = {"D": dim, "SHARED": shared, "STAGES": 1 if shared else AHEAD_BACKWARD} | further
    launch(kernel, groups * len(sums), tile, *tensors, to_z, sums, *sizes, **constants)
    return to_z, sums[0] if len(sums) == 1 else sums.sum(0)
