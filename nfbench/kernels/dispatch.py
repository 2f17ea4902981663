"""Which implementation of a chain runs: the environment variable ``NFBENCH_BACKEND`` says."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from nfbench.foundation.errors import InputError
from nfbench.foundation.settings import VARIABLE, backend
from nfbench.kernels.gpu import launch, self_check

# z (S, B, D), maps (B or 1, K, R) -> z_K (S, B, D), ln|det| (S, B)
Chain = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def kernels(name: str, z: Tensor, reference: Chain) -> Literal["cpu", "triton"] | None:
    """Which fused kernels of a map run on these draws.

    Triton's kernels are compared with `reference` at their first use, and not used where they disagree.

    Args:
        name: the map, a folder of `nfbench.kernels`.
        z: draws (S, B, D).
        reference: the chain in plain PyTorch.

    Returns:
        The module of the folder, or None: plain PyTorch runs.

    Raises:
        InputError: the variable asks for kernels that cannot run on these draws.
    """
    choice, device = backend(), z.device.type
    fits = z.dtype in (torch.float32, torch.float64)
    if choice == "numba" and not (fits and device == "cpu"):
        raise InputError(f"{VARIABLE}=numba: draws are {z.dtype} on {z.device}; expected float32 or float64 on the CPU")
    if choice == "triton" and not (fits and launch.runs(device)):
        raise InputError(
            f"{VARIABLE}=triton: draws are {z.dtype} on {z.device}; expected float32 or float64 on a CUDA device "
            "(on the CPU only with TRITON_INTERPRET=1), and triton installed"
        )
    if choice == "reference" or not fits:
        return None
    if device == "cpu" and choice != "triton":
        return "cpu"
    return "triton" if launch.runs(device) and self_check.usable(name, reference, z.device, z.dtype) else None


def transformed() -> bool:
    """Whether tensors may be no plain ones: traced, under a transform of `torch.func`, or in a dispatch mode."""
    return bool(
        torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack()
    )
