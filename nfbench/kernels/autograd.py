"""Kernels as nodes of autograd's graph, with less Python around them than torch's own wrappers.

For a small chain those wrappers take longer than the kernel. Use these only where `dispatch.transformed` is False.

A kernel's gradient has no derivative of its own. Where a graph of the gradient is asked for (``create_graph=True``, a
penalty on a gradient, a Hessian), the gradient is computed by the plain form of the node instead: `by_kernel`.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Backward = Callable[..., Any]
# Within a ``backward``: whether the graph can be gone through again afterwards (``retain_graph=True``).
keeps_graph: Callable[[], bool] = torch._C._autograd._get_current_graph_task_keep_graph
_batched: Callable[[Tensor], bool] = torch._C._functorch.is_legacy_batchedtensor


class Node(torch.autograd.Function):
    """A `torch.autograd.Function` with a faster `apply`, and a plain form that second derivatives go through."""

    @classmethod
    def applied(cls, *arguments: Any) -> Any:
        """The outputs of ``forward``: torch's `apply` in half its time, as it skips the checks for `torch.func`.

        Args:
            arguments: of ``forward`` but for the context.

        Returns:
            The tensor, or tuple of tensors, that ``forward`` returns, as outputs of a node of the graph.
        """
        return super(torch.autograd.Function, cls).apply(*arguments)  # type: ignore[misc]

    @staticmethod
    def plain(ctx: Any) -> tuple[Callable[..., Any], Sequence[Tensor | None]]:
        """The node in plain PyTorch.

        Args:
            ctx: the node's context, as ``forward`` left it.

        Returns:
            A function of the node's differentiable inputs with its outputs, and for every argument of ``forward`` the
            input itself, as it was saved, or None for one that has no gradient.

        Raises:
            NotImplementedError: the node has no plain form.
        """
        raise NotImplementedError


def by_kernel(backward: Backward) -> Backward:
    """Mark a ``backward`` that runs a kernel, whose result has no graph.

    Where no graph of the gradient is made it is called directly; else, and for batches of gradients (vmap over
    `backward`, ``is_grads_batched``), the gradient is that of `Node.plain`, in torch's own operations.

    Args:
        backward: of a `Node`, a static method of the context and the gradients of the outputs.

    Returns:
        The ``backward`` that chooses between the two.
    """

    @functools.wraps(backward)
    def chosen(ctx: Any, *grads: Any) -> Any:
        if torch.is_grad_enabled() or torch._C._are_functorch_transforms_active() or any(map(_batched, grads)):
            return _plainly(ctx, grads)
        return backward(ctx, *grads)

    return chosen


def _plainly(ctx: Any, grads: Sequence[Tensor | None]) -> tuple[Tensor | None, ...]:
    """The gradients of all arguments of ``forward`` by `Node.plain`, with a graph of their own where one is made."""
    graph = torch.is_grad_enabled()
    function, saved = ctx._forward_cls.plain(ctx)
    with torch.enable_grad():
        # Names of their own: one input may be made from another, and its gradient must not go on to that one here.
        inputs = [None if value is None else value.view_as(value) for value in saved]
        outputs = function(*[value for value in inputs if value is not None])
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    wanted = [value for value, needed in zip(inputs, ctx.needs_input_grad, strict=True) if needed and value is not None]
    used = [(output, grad) for output, grad in zip(outputs, grads, strict=True) if output.requires_grad]
    values, weights = zip(*used, strict=True) if used else ((), ())
    gradients = iter(torch.autograd.grad(values, wanted, weights, create_graph=graph, allow_unused=True))
    needs = zip(inputs, ctx.needs_input_grad, strict=True)
    return tuple(next(gradients) if needed and value is not None else None for value, needed in needs)
