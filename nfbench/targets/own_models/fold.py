"""Somebody's density as one step of autograd, which sees plain tensors even where seeds train together."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._C import _functorch as functorch
from torch._functorch.pyfunctorch import temporarily_pop_interpreter_stack

from nfbench.foundation.errors import InputError
from nfbench.kernels.dispatch import differentiated

LogDensity = Callable[[Tensor], Tensor]
Evaluation = Callable[[Tensor], tuple[Tensor, Tensor]]
"""``(..., D) -> (...), (..., D)``: a log-density and its gradient, each draw on its own, without a graph."""


def folded(function: LogDensity, z: Tensor) -> Tensor:
    """Evaluate a function draw by draw; under `torch.vmap` the draws of all seeds in one call.

    A function need not work under `torch.vmap` then: it may print, look at values, draw random numbers and use steps of
    autograd without a rule for `torch.vmap`, as long as autograd can follow it. The gradient is that of the function,
    and so is the second derivative, also where `torch.func` takes the first, as families do that follow a target's
    gradient.

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
    if not functorch.is_batchedtensor(z):
        plain: Tensor = _Value.apply(z, function) if differentiated() else function(z)  # type: ignore[no-untyped-call]
        return plain
    level, axis = functorch.maybe_get_level(z), functorch.maybe_get_bdim(z)
    seeds: Tensor = functorch.get_unwrapped(z).movedim(axis, 0)
    with temporarily_pop_interpreter_stack():  # the function sees no `torch.vmap`
        value = folded(function, seeds.flatten(0, 1))
    batched: Tensor = functorch._add_batch_dim(value.reshape(*seeds.shape[:2], *value.shape[1:]), 0, level)
    return batched


def evaluated(evaluation: Evaluation, z: Tensor, owner: str) -> Tensor:
    """Evaluate what gives values and gradients of its own, such as a library that is not torch, as a step of autograd.

    Args:
        evaluation: is called once with the draws of all seeds.
        z: (..., D), under `torch.vmap` without the axis of the seeds.
        owner: whose density it is, in the message of the error below.

    Returns:
        (...), whose gradient is that of `evaluation`; asking for a second derivative raises an `InputError`.

    >>> import torch
    >>> z = torch.tensor([[1.0, 2.0]], requires_grad=True)
    >>> value = evaluated(lambda draws: (-0.5 * draws.square().sum(-1), -draws), z, "the unit Gaussian")
    >>> value.sum().backward()
    >>> value, z.grad
    (tensor([-2.5000], grad_fn=<_EvaluatedBackward>), tensor([[-1., -2.]]))
    """
    value: Tensor = _Evaluated.apply(z, evaluation, owner)[0]  # type: ignore[no-untyped-call]
    return value


class _Evaluated(torch.autograd.Function):
    """The value and the gradient of a density at once; `vmap` makes the seeds a part of the draws."""

    @staticmethod
    def forward(z: Tensor, evaluation: Evaluation, owner: str) -> tuple[Tensor, Tensor]:
        return evaluation(z.detach())

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(output[1], inputs[0])
        ctx.mark_non_differentiable(output[1])
        ctx.owner = inputs[2]

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None]:
        slope, z = ctx.saved_tensors
        return _FirstDerivative.apply(slopes[0].unsqueeze(-1) * slope, z, ctx.owner), None, None  # type: ignore[no-untyped-call]

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int, None, None], z: Tensor, evaluation: Evaluation, owner: str) -> Any:
        seeds = z.movedim(in_dims[0], 0)
        value, slope = _Evaluated.apply(seeds.flatten(0, 1), evaluation, owner)  # type: ignore[no-untyped-call]
        return (value.unflatten(0, seeds.shape[:2]), slope.unflatten(0, seeds.shape[:2])), (0, 0)


class _FirstDerivative(torch.autograd.Function):
    """A gradient that depends on z in a way that nobody knows: differentiating it again is refused, not ignored."""

    generate_vmap_rule = True

    @staticmethod
    def forward(gradient: Tensor, z: Tensor, owner: str) -> Tensor:
        return gradient.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.owner = inputs[2]

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> None:
        raise InputError(
            f"{ctx.owner} has values and gradients, but no second derivatives; expected what needs none, such as a "
            "posterior that does not follow the density's gradient"
        )


class _Value(torch.autograd.Function):
    """The value under a `torch.func` transform, which takes the gradient by `_Slope`."""

    @staticmethod
    def forward(z: Tensor, function: LogDensity) -> Tensor:
        with torch.no_grad():
            return function(z.detach())

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.function = inputs[1]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (z,) = ctx.saved_tensors
        slope: Tensor = _Slope.apply(z, ctx.function)  # type: ignore[no-untyped-call]
        return grad.unsqueeze(-1) * slope, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int, None], z: Tensor, function: LogDensity) -> Any:
        seeds = z.movedim(in_dims[0], 0)
        return _Value.apply(seeds.flatten(0, 1), function).unflatten(0, seeds.shape[:2]), 0  # type: ignore[no-untyped-call]


class _Slope(torch.autograd.Function):
    """The gradient of the function, (S, B, D), with a gradient of its own: the product with the second derivatives."""

    @staticmethod
    def forward(z: Tensor, function: LogDensity) -> Tensor:
        with torch.enable_grad():
            points = z.detach().requires_grad_()
            (slope,) = torch.autograd.grad(function(points).sum(), points)
        return slope

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.function = inputs[1]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (z,) = ctx.saved_tensors
        with torch.enable_grad():
            points = z.detach().requires_grad_()
            (slope,) = torch.autograd.grad(ctx.function(points).sum(), points, create_graph=True)
            if not slope.requires_grad:  # a linear function
                return torch.zeros_like(z), None
            (product,) = torch.autograd.grad(slope, points, grad, materialize_grads=True)
        return product, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int, None], z: Tensor, function: LogDensity) -> Any:
        seeds = z.movedim(in_dims[0], 0)
        return _Slope.apply(seeds.flatten(0, 1), function).unflatten(0, seeds.shape[:2]), 0  # type: ignore[no-untyped-call]
