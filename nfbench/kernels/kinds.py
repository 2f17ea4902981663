"""Checks of what tensors are beside their shapes: dtypes, devices, autocast, inference mode."""

from contextlib import nullcontext

import torch
from torch import Tensor

from nfbench.foundation.errors import InputError


def check_kinds(
    owner: str, name: str, tensor: Tensor, second_name: str, second: Tensor, *, mixed: bool = False
) -> None:
    """Check that two tensors have the same floating dtype and device, and that gradients can be followed through both.

    Args:
        owner: the part that checks, the first word of the message.
        name: of the first tensor in the message.
        tensor: the first tensor.
        second_name: of the second tensor in the message.
        second: the second tensor.
        mixed: whether two floating dtypes are allowed.

    Raises:
        InputError: they differ, are not floating, or one was made in `torch.inference_mode` and a gradient is wanted.
    """
    floating = tensor.dtype.is_floating_point and second.dtype.is_floating_point
    if not floating or not (mixed or tensor.dtype == second.dtype):
        expected = "floating dtypes" if mixed else "one floating dtype"
        raise InputError(f"{owner}: {name} is {tensor.dtype}, {second_name} is {second.dtype}: expected {expected}")
    if tensor.device != second.device:
        raise InputError(
            f"{owner}: {name} is on {tensor.device}, {second_name} is on {second.device}: expected one device"
        )
    if from_inference_mode(tensor, second) and torch.is_grad_enabled() and not torch.is_inference_mode_enabled():
        for of, one in ((name, tensor), (second_name, second)):
            if one.is_inference() and (tensor.requires_grad or second.requires_grad):
                raise InputError(
                    f"{owner}: {of} was made in torch.inference_mode, which no gradient can be followed through: "
                    f"expected a normal tensor, such as its clone()"
                )


def from_inference_mode(first: Tensor, second: Tensor) -> bool:
    """Whether a tensor was made in `torch.inference_mode`, `first, second -> bool`; `torch.compile` cannot ask."""
    return not torch.compiler.is_compiling() and (first.is_inference() or second.is_inference())


def autocast(*tensors: Tensor) -> bool:
    """Whether autocast is on and casts all these tensors, `*tensors -> bool`: it leaves float64 alone."""
    return torch.is_autocast_enabled(tensors[0].device.type) and all(
        tensor.dtype != torch.float64 for tensor in tensors
    )


def own_dtype(tensor: Tensor) -> torch.autocast | nullcontext[None]:
    """Within the block, products keep the dtype of a tensor, also where autocast is on outside.

    Args:
        tensor: whose device says which autocast.

    Returns:
        A context manager.
    """
    return torch.autocast(tensor.device.type, enabled=False) if autocast(tensor) else nullcontext()
