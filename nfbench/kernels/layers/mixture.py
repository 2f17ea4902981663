"""Draws of a mixture of diagonal Gaussians by the Rosenblatt transform (`mixture_reference`), in float64.

On the CPU compiled loops find the roots of all coordinates of a draw one after the other: one pass over the draws
forward, one backward, in which only densities are computed anew.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from nfbench.foundation.errors import InputError
from nfbench.foundation.settings import backend
from nfbench.kernels import kinds, shapes
from nfbench.kernels.autograd import Node, by_kernel
from nfbench.kernels.chain.groups import grouped, ungrouped
from nfbench.kernels.chain.operators import folding
from nfbench.kernels.diagonal.reference import for_each
from nfbench.kernels.dispatch import differentiated, transformed
from nfbench.kernels.layers import mixture_cpu
from nfbench.kernels.layers.mixture_reference import draw as reference

_NAMES = ("noise", "log_weights", "means", "log_scales")
_FORMS = ("S B D", "R C", "R C D", "R C D")


def draw(noise: Tensor, log_weights: Tensor, means: Tensor, log_scales: Tensor) -> tuple[Tensor, Tensor]:
    """Draw from mixtures, differentiably in everything.

    >>> numbers = torch.zeros(1, 2, 1, dtype=torch.float64)
    >>> z, log_q = draw(torch.full((1, 1, 1), 0.5).double(), numbers[..., 0] - 0.6931471805599453, numbers, numbers)
    >>> round(z.item(), 6), round(log_q.item(), 6)
    (0.5, -1.043939)

    Args:
        noise: (S, B, D), standard normal, in float64.
        log_weights: (B or 1, C), normalised: their exponentials have the sum 1.
        means: (B or 1, C, D).
        log_scales: (B or 1, C, D).

    Returns:
        z (S, B, D) and ln q(z) (S, B).

    Raises:
        InputError: tensors that do not fit each other, of another dtype or on several devices (`shapes`).
    """
    tensors = noise, log_weights, means, log_scales
    _check(*tensors)
    noise = for_each(noise, log_weights)
    if not _compiled(noise):
        return reference(noise, *tensors[1:])
    if not transformed():
        results: tuple[Tensor, Tensor] = _Direct.applied(noise, *tensors[1:])
        return results
    z, log_q = _forward(grouped(noise, len(log_weights)), *tensors[1:])
    return ungrouped(z, noise.shape), ungrouped(log_q, noise.shape)


def _check(noise: Tensor, log_weights: Tensor, means: Tensor, log_scales: Tensor) -> None:
    """Raise an `InputError` for what `draw` cannot take."""
    tensors = noise, log_weights, means, log_scales
    sizes = shapes.check_forms("mixture", *zip(_NAMES, tensors, _FORMS, strict=True))
    if not sizes["C"]:
        raise InputError(f"mixture: log_weights {tuple(log_weights.shape)} has C = 0 components: expected at least 1")
    shapes.check_points("mixture", "noise", noise, "log_weights", log_weights)
    for name, tensor in zip(_NAMES[1:], tensors[1:], strict=True):
        kinds.check_kinds("mixture", "noise", noise, name, tensor)


def _compiled(noise: Tensor) -> bool:
    """Whether compiled loops run: on the CPU, in float64, where ``NFBENCH_BACKEND`` and `differentiated` let them."""
    fits = noise.device.type == "cpu" and noise.dtype == torch.float64 and noise.numel() > 0
    return fits and backend() in ("auto", "numba") and not differentiated()


class _Direct(Node):
    """The compiled loops as one node of autograd's graph: a call costs less than one of the operator."""

    @staticmethod
    def forward(
        ctx: Any, noise: Tensor, log_weights: Tensor, means: Tensor, log_scales: Tensor
    ) -> tuple[Tensor, Tensor]:
        z, log_q = mixture_cpu.forward(grouped(noise, len(means)), log_weights, means, log_scales)
        ctx.save_for_backward(noise, log_weights, means, log_scales, z)
        return ungrouped(z, noise.shape), ungrouped(log_q, noise.shape)

    @staticmethod
    @by_kernel
    def backward(ctx: Any, grad: Tensor, grad_log_q: Tensor) -> tuple[Tensor, ...]:
        noise, log_weights, means, log_scales, z = ctx.saved_tensors
        rows = len(means)
        to_z, to_log_q = grouped(grad, rows), grouped(grad_log_q.unsqueeze(-1), rows).squeeze(-1)
        to_noise, *to_numbers = mixture_cpu.backward(
            grouped(noise, rows), log_weights, means, log_scales, z, to_z, to_log_q
        )
        return ungrouped(to_noise, noise.shape), *to_numbers

    @staticmethod
    def plain(ctx: Any) -> tuple[Callable[..., tuple[Tensor, Tensor]], tuple[Tensor | None, ...]]:
        return reference, ctx.saved_tensors[:4]


@torch.library.custom_op("nfbench::mixture", mutates_args=())
def _forward(noise: Tensor, log_weights: Tensor, means: Tensor, log_scales: Tensor) -> tuple[Tensor, Tensor]:
    return mixture_cpu.forward(noise, log_weights, means, log_scales)


@torch.library.custom_op("nfbench::mixture_backward", mutates_args=())
def _backward(
    noise: Tensor,
    log_weights: Tensor,
    means: Tensor,
    log_scales: Tensor,
    z: Tensor,
    grad: Tensor,
    grad_log_q: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return mixture_cpu.backward(noise, log_weights, means, log_scales, z, grad, grad_log_q)


@_forward.register_fake
def _(noise: Tensor, *_: Tensor) -> tuple[Tensor, Tensor]:
    return noise.new_empty(noise.shape), noise.new_empty(noise.shape[:2])


@_backward.register_fake
def _(
    noise: Tensor, log_weights: Tensor, means: Tensor, log_scales: Tensor, *_: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    to_noise, to_weights, to_means, to_scales = (
        tensor.new_empty(tensor.shape) for tensor in (noise, log_weights, means, log_scales)
    )
    return to_noise, to_weights, to_means, to_scales


def _setup(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs, output[0])


def _differentiate(ctx: Any, grad: Tensor, grad_log_q: Tensor) -> tuple[Tensor, ...]:
    noise, log_weights, means, log_scales, z = ctx.saved_tensors
    gradients: tuple[Tensor, ...] = _backward(noise, log_weights, means, log_scales, z, grad, grad_log_q)
    return gradients


_forward.register_autograd(_differentiate, setup_context=_setup)
for _operator in (_forward, _backward):
    _operator.register_vmap(folding(_operator))
