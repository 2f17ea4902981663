"""Kernels as nodes of autograd's graph, with less Python around them than torch's own wrappers: a small chain is short.

For callers that have made sure that nothing is transformed (`backend.transformed`).
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch.autograd import function

Backward = Callable[..., Any]


class Node(torch.autograd.Function):
    """A function whose `applied` is torch's `apply` without its care for functorch's wrappers, half of the time."""

    @classmethod
    def applied(cls, *given: Any) -> Any:
        """The outputs of ``forward``."""
        return super(torch.autograd.Function, cls).apply(*given)  # type: ignore[misc]


def once(backward: Backward) -> Backward:
    """Mark a way back that cannot itself be differentiated, as torch's `once_differentiable` does.

    A gradient without a graph has no gradients enabled, so nothing is left to guard: that of torch switches them off
    all the same, at each call.
    """
    guarded = function.once_differentiable(backward)

    @functools.wraps(backward)
    def chosen(ctx: Any, *grads: Any) -> Any:
        return guarded(ctx, *grads) if torch.is_grad_enabled() else backward(ctx, *grads)

    return chosen
