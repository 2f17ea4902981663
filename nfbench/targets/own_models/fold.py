"""A user's function of draws as one step of autograd, which sees plain tensors even where seeds train together."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

LogDensity = Callable[[Tensor], Tensor]


def folded(function: LogDensity, z: Tensor) -> Tensor:
    """Evaluate a function draw by draw; under `torch.vmap` the draws of all seeds in one call.

    A function need not work under `torch.vmap` then: it may print, look at values and call other libraries, as long as
    autograd can follow it. The gradient is that of the function; there is no second derivative under `torch.vmap`.

    Args:
        function: ``(S, B, D) -> (S, B)``, each draw on its own.
        z: (..., D), under `torch.vmap` without the axis of the seeds.

    Returns:
        (...).

    >>> import torch
    >>> def odd(z):  # a branch on values, which torch.vmap cannot follow
    ...     return -z.square().sum(-1) if bool((z < 9).all()) else z.sum(-1)
    >>> z = torch.ones(2, 3, 1, 4, requires_grad=True)
    >>> torch.vmap(lambda each: folded(odd, each))(z).sum().backward()
    >>> z.grad.shape, float(z.grad[0, 0, 0, 0])
    (torch.Size([2, 3, 1, 4]), -2.0)
    """
    if not torch._C._functorch.is_batchedtensor(z):
        return function(z)
    value: Tensor = _Folded.apply(z, function)[0]  # type: ignore[no-untyped-call]
    return value


class _Folded(torch.autograd.Function):
    """The value and the gradient of a function at once; `vmap` makes the seeds a part of the draws."""

    @staticmethod
    def forward(z: Tensor, function: LogDensity) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            points = z.detach().requires_grad_()
            value = function(points)
            (slope,) = torch.autograd.grad(value.sum(), points)
        return value.detach(), slope

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(output[1])
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return slopes[0].unsqueeze(-1) * slope, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int, None], z: Tensor, function: LogDensity) -> Any:
        seeds = z.movedim(in_dims[0], 0)
        value, slope = _Folded.apply(seeds.flatten(0, 1), function)  # type: ignore[no-untyped-call]
        return (value.unflatten(0, seeds.shape[:2]), slope.unflatten(0, seeds.shape[:2])), (0, 0)
