"""Compares a map's Triton kernels with plain PyTorch at their first use; where they disagree they are not used."""

import importlib
import importlib.util
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

Reference = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

_MESSAGE = 300  # characters of an error that a warning repeats


# Sizes (G, N, D, K) of the inputs that kernels must get right before they are used. The large one, on a real GPU only,
# has more tiles of draws than `launch` has slots.
_CASES = ((1, 300, 2, 5), (3, 9, 40, 3), (6, 1, 7, 4))
_LARGE_CASES = ((1, 9000, 513, 2),)
_verdicts: dict[tuple[str, str, torch.dtype], bool] = {}


def usable(name: str, reference: Reference, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether a map's Triton kernels agree with plain PyTorch: tried at the first call, then remembered.

    Args:
        name: the map; its kernels are `nfbench.kernels.<name>.triton`.
        reference: the chain in plain PyTorch, differentiable: `z (S, B, D), maps (B, K, R) -> z_K (S, B, D), ln|det|
            (S, B)`.
        device: where the kernels are to run.
        dtype: float32 or float64.

    Returns:
        False where they disagree, or do not run at all: one warning says so, and the caller should run the plain chain.
    """
    key = (name, str(device), dtype)
    if key not in _verdicts:
        _verdicts[key] = False  # should the reference ask in turn, it gets the plain chain
        # The caller's vmap, autocast, inference mode and tracing do not reach into another thread.
        with ThreadPoolExecutor(1) as thread:
            fault = thread.submit(_fault, name, reference, device, dtype).result()
        _verdicts[key] = fault is None
        if fault is not None:
            warnings.warn(f"Triton {name} in {dtype} on {device}: {fault}; plain PyTorch is used", stacklevel=2)
    return _verdicts[key]


def _fault(name: str, reference: Reference, device: torch.device, dtype: torch.dtype) -> str | None:
    """What is wrong with a map's kernels, in one line; None where nothing is."""
    try:
        kernels = importlib.import_module(f"nfbench.kernels.{name}.triton")
        for case in _CASES + _LARGE_CASES * (device.type == "cuda"):
            problem = _disagreement(kernels, reference, case, device, dtype)
            if problem is not None:
                return problem
    except Exception as error:  # whatever a compiler or a driver may raise
        return f"{type(error).__name__}: {' '.join(str(error).split())[:_MESSAGE]}"
    return None


def _disagreement(
    kernels: Any, reference: Reference, case: tuple[int, int, int, int], device: torch.device, dtype: torch.dtype
) -> str | None:
    """Compare kernels and plain PyTorch on random input of one size, with gradients.

    A result may be off by 16 times the error of plain PyTorch, both the norm of the difference to float64's result; a
    share 1e-5 (float32) or 1e-8 (float64: torch's softplus is the identity above 20, 2e-9 off) of that result's norm is
    always allowed.

    Returns:
        Which result is off by more, and by how much; None where none is.
    """
    groups, draws, dim, depth = case
    random = torch.Generator().manual_seed(draws)
    shapes = ((groups, draws, dim), (groups, depth, kernels.numbers(dim)), (groups, draws, dim), (groups, draws))
    inputs = [torch.randn(shape, generator=random, dtype=torch.float32).to(device) for shape in shapes]
    inputs[1] *= 2
    exact = _with_gradients(reference, *[tensor.double() for tensor in inputs])
    z, maps, grad_z, grad_log_det = (tensor.to(dtype) for tensor in inputs)
    plain = _with_gradients(reference, z, maps, grad_z, grad_log_det)
    z_k, log_det, activations = kernels.forward(z, maps)
    start = (z,) if kernels.RESTARTS else ()
    fused = (z_k, log_det, *kernels.backward(z_k, activations, maps, grad_z, grad_log_det, *start))
    granted = 1e-5 if dtype == torch.float32 else 1e-8
    results = zip(("z_K", "ln|det|", "gradient in z", "gradient in maps"), fused, plain, exact, strict=True)
    for result, ours, theirs, truth in results:
        off, allowed = float((ours - truth).norm()), float(16 * (theirs - truth).norm() + granted * truth.norm())
        if not off <= allowed:
            return f"{result} is off by {off:.1e}, {allowed:.1e} is allowed, at (groups, draws, D, K) = {case}"
    return None


def _with_gradients(
    reference: Reference, z: Tensor, maps: Tensor, grad_z: Tensor, grad_log_det: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """z_K (G, N, D), ln|det| (G, N) and the gradients in z and maps by autograd; `reference` takes groups as points."""
    z, maps = z.detach().requires_grad_(), maps.detach().requires_grad_()
    z_k, log_det = (part.transpose(0, 1) for part in reference(z.transpose(0, 1), maps))
    to_z, to_maps = torch.autograd.grad((z_k, log_det), (z, maps), (grad_z, grad_log_det))
    return z_k.detach(), log_det.detach(), to_z, to_maps
