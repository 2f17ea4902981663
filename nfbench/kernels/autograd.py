"""Kernels as nodes of autograd's graph, with less Python around them than torch's own wrappers.

For a small chain those wrappers take longer than the kernel. Use these only where `dispatch.transformed` is False.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch.autograd import function

Backward = Callable[..., Any]


class Node(torch.autograd.Function):
    """A `torch.autograd.Function` with a faster `apply`."""

    @classmethod
    def applied(cls, *arguments: Any) -> Any:
        """The outputs of ``forward``: torch's `apply` in half its time, as it skips the checks for `torch.func`."""
        return super(torch.autograd.Function, cls).apply(*arguments)  # type: ignore[misc]


def once(backward: Backward) -> Backward:
    """Mark a ``backward`` that cannot itself be differentiated, as torch's `once_differentiable` does.

    Where no graph of the gradient is made, nothing has to be guarded and ``backward`` is called directly; torch's own
    decorator switches gradients off and on again at each call.

    Args:
        backward: of a `Node`, a static method of the context and the gradients of the outputs.
    """
    guarded = function.once_differentiable(backward)

    @functools.wraps(backward)
    def guarded_if_needed(ctx: Any, *grads: Any) -> Any:
        return guarded(ctx, *grads) if torch.is_grad_enabled() else backward(ctx, *grads)

    return guarded_if_needed
