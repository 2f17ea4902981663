"""Which implementation of a chain runs: the environment variable ``NFBENCH_BACKEND`` says."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch._C._functorch import TransformType
from torch.autograd import forward_ad

from nfbench.foundation.errors import InputError
from nfbench.foundation.settings import BACKEND_VARIABLE, backend
from nfbench.kernels.gpu import launch, self_check

# z (S, B, D), maps (B or 1, K, R) -> z_K (S, B, D), ln|det| (S, B)
Chain = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
_DIFFERENTIATING = (TransformType.Grad, TransformType.Jvp)


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
        raise InputError(
            f"{BACKEND_VARIABLE}=numba: draws are {z.dtype} on {z.device}; expected float32 or float64 on the CPU"
        )
    if choice == "triton" and not (fits and launch.runs(device)):
        raise InputError(
            f"{BACKEND_VARIABLE}=triton: draws are {z.dtype} on {z.device}; expected float32 or float64 "
            "on a CUDA device (on the CPU only with TRITON_INTERPRET=1), and triton installed"
        )
    if choice == "reference" or not fits:
        return None
    if device == "cpu" and choice != "triton":
        return "cpu"
    return "triton" if launch.runs(device) and self_check.usable(name, reference, z.device, z.dtype) else None


def transformed() -> bool:
    """Whether tensors may be no plain ones.

    Returns:
        True while `torch.compile` or `torch.jit.trace` traces, within a transform of `torch.func`, in a dispatch mode,
        and under forward-mode differentiation.
    """
    return bool(
        torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack()
        or forward_ad._current_level >= 0
        or torch._C._get_tracing_state()
    )


def differentiated() -> bool:
    """Whether `torch.func` or forward-mode differentiation follows what is computed, or `torch.jit.trace` records it.

    The custom operators of kernels have a gradient for `backward` and a rule for vmap, nothing else: within a
    `torch.func` transform that differentiates, under dual numbers and while a trace is recorded, plain PyTorch runs.

    Returns:
        Where it is True, `transformed` is True as well; False while `torch.compile` traces.
    """
    if torch.compiler.is_compiling():
        return False
    if forward_ad._current_level >= 0 or torch._C._get_tracing_state():
        return True
    if not torch._C._are_functorch_transforms_active():
        return False
    stack = torch._C._functorch.get_interpreter_stack() or ()
    return any(level.key() in _DIFFERENTIATING for level in stack)
