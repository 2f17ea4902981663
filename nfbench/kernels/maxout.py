"""The largest of four, whose gradient goes to the first of those that are equal."""

from typing import Any

import torch
from torch import Tensor

from nfbench.kernels import maxout_cpu
from nfbench.kernels.backend import backend, transformed


def largest(windows: Tensor) -> Tensor:
    """`(U, 4, R) -> (U, R)`, the maximum over the windows' places.

    torch's own `amax` shares the gradient of equal places evenly, and spends five passes over all of them to find out
    how many there are. On the CPU compiled loops note the winner. Under vmap two rounds of pairs are compared once: 1
    where the first of a pair is the winner, else 0. On a GPU, where such small passes cost their launches, torch's
    maximum with its places takes the fewest.
    """
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():  # nobody will ask who won
        return windows.amax(-2)
    if windows.is_cuda:
        return windows.max(-2).values
    if transformed() or backend() == "reference" or windows.dtype not in (torch.float32, torch.float64):
        found: Tensor = _Largest.apply(windows)[0]  # type: ignore[no-untyped-call]
        return found
    largest: Tensor = _Compiled.apply(windows)  # type: ignore[no-untyped-call]
    return largest


class _Largest(torch.autograd.Function):
    """The maximum, and the winners of the three comparisons that it takes, for the way back."""

    @staticmethod
    def forward(windows: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        a, b, c, d = windows.unbind(-2)
        left, right = torch.maximum(a, b), torch.maximum(c, d)
        return torch.maximum(left, right), _wins(a, b), _wins(c, d), _wins(left, right)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, ...]) -> None:
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)  # no zeros for the winners
        ctx.save_for_backward(*output[1:])

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, *_: None) -> Tensor | None:
        if grad is None:
            return None
        first, third, final = ctx.saved_tensors
        grad = grad.contiguous()  # it comes in rows of units, against the winners' rows of draws
        left = grad * final
        right = grad - left
        a, c = left * first, right * third
        return torch.stack([a, left - a, c, right - c], -2)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int], windows: Tensor) -> tuple[Any, tuple[int, ...]]:
        return _Largest.apply(windows.movedim(in_dims[0], 0)), (0, 0, 0, 0)  # type: ignore[no-untyped-call]


class _Compiled(torch.autograd.Function):
    """The loops of `maxout_cpu`."""

    @staticmethod
    def forward(ctx: Any, windows: Tensor) -> Tensor:
        found, winners = maxout_cpu.forward(windows)
        ctx.save_for_backward(winners)
        return found

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        placed: Tensor = _Placed.apply(grad, *ctx.saved_tensors)  # type: ignore[no-untyped-call]
        return placed


class _Placed(torch.autograd.Function):
    """The gradient of `_Compiled`, which is linear, with its own."""

    @staticmethod
    def forward(ctx: Any, grad: Tensor, winners: Tensor) -> Tensor:
        ctx.save_for_backward(winners)
        return maxout_cpu.backward(grad, winners)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (winners,) = ctx.saved_tensors
        return grad.gather(-2, winners.long().unsqueeze(-2)).squeeze(-2), None


def _wins(one: Tensor, other: Tensor) -> Tensor:
    """1.0 where `one >= other`, else 0.0, in one pass."""
    return torch.ge(one, other, out=torch.empty_like(one))
