"""The diagonal Gaussian under every flow: z = mean + sigma noise and ln q(z), as one node of autograd's graph.

ln q(z) = -(|noise|^2 + D ln 2 pi) / 2 - sum ln sigma.
"""

from collections.abc import Callable
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from nfbench.foundation.numerics import standard_normal_log_prob
from nfbench.foundation.settings import backend
from nfbench.kernels import shapes
from nfbench.kernels.autograd import Node, by_kernel
from nfbench.kernels.diagonal import cpu, torch_node
from nfbench.kernels.dispatch import transformed


class Loops(Protocol):
    """A module that draws from the diagonal Gaussian, and has the gradients of that."""

    def forward(self, noise: Tensor, base: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Draw z = mean + sigma noise.

        Args:
            noise: (S, B, D).
            base: (B or 1, 2 D), mean and ln sigma.

        Returns:
            z (S, B, D), ln q (S, B), and sigma (B or 1, D), which `backward` takes.
        """

    def backward(
        self, noise: Tensor, sigma: Tensor, grad_z: Tensor, grad_log_q: Tensor, *, to_noise: bool
    ) -> tuple[Tensor | None, Tensor]:
        """Gradients in the noise and in the base.

        Args:
            noise: (S, B, D).
            sigma: (B or 1, D), of `forward`.
            grad_z: (S, B, D).
            grad_log_q: (S, B).
            to_noise: whether the gradient in the noise is wanted.

        Returns:
            The gradient in the noise (S, B, D), or None, and that in the base (B or 1, 2 D).
        """


def reference(noise: Tensor, base: Tensor) -> tuple[Tensor, Tensor]:
    """`draw`, operation by operation: the oracle of tests, and what runs under vmap and `torch.compile`.

    Args:
        noise: (S, B, D).
        base: (B or 1, 2 D), mean and ln sigma.

    Returns:
        z (S, B, D) and ln q(z) (S, B).
    """
    mean, log_sigma = base.chunk(2, -1)
    return mean + log_sigma.exp() * noise, standard_normal_log_prob(noise) - log_sigma.sum(-1)


def draw(noise: Tensor, base: Tensor) -> tuple[Tensor, Tensor]:
    """Draw z = mean + sigma noise.

    On a GPU the plain operations are faster than a node: they launch as many kernels, and autograd calls no Python.

    Args:
        noise: (S, B, D).
        base: (B or 1, 2 D), mean and ln sigma.

    Returns:
        z (S, B, D) and ln q(z) (S, B).

    Raises:
        InputError: tensors that do not fit each other, of several dtypes or on several devices (`shapes`).
    """
    shapes.check_base("diagonal", noise, base)
    module = None if noise.is_cuda else loops(noise, base)
    if module is None:
        return reference(noise, base)
    results: tuple[Tensor, Tensor] = _Draw.applied(module, noise, base)
    return results


def loops(noise: Tensor, base: Tensor) -> Loops | None:
    """The module that draws from this noise as one node of autograd's graph.

    Args:
        noise: (S, B, D).
        base: (B or 1, 2 D), mean and ln sigma.

    Returns:
        The compiled loops or torch's operations; None where `reference` should run, without a node.
    """
    choice = backend()
    if transformed() or choice == "reference":
        return None
    real = noise.dtype == base.dtype and noise.dtype in (torch.float32, torch.float64)
    compiled = choice != "triton" and real and noise.device.type == "cpu" and noise.numel() > 0
    return cast(Loops, cpu if compiled else torch_node)


def for_each(noise: Tensor, base: Tensor) -> Tensor:
    """Repeat noise for each row of the base, without a copy.

    Args:
        noise: (S, B or 1, D).
        base: (B or 1, ...), a row for each data point, or one for all.

    Returns:
        (S, B, D), where the noise has one data point and the base several rows; else the noise as it is.
    """
    return noise.expand(-1, len(base), -1) if noise.shape[1] == 1 < len(base) else noise


class _Draw(Node):
    """`reference` as one node of the graph, by a module that is given."""

    @staticmethod
    def forward(ctx: Any, module: Loops, noise: Tensor, base: Tensor) -> tuple[Tensor, Tensor]:
        z, log_q, sigma = module.forward(for_each(noise, base), base)
        ctx.loops, ctx.shape = module, noise.shape
        ctx.save_for_backward(noise, sigma, base)
        return z, log_q

    @staticmethod
    @by_kernel
    def backward(ctx: Any, grad_z: Tensor, grad_log_q: Tensor) -> tuple[None, Tensor | None, Tensor]:
        noise, sigma, base = ctx.saved_tensors
        loops: Loops = ctx.loops
        repeated, wanted = for_each(noise, base), ctx.needs_input_grad[1]
        to_noise, to_base = loops.backward(repeated, sigma, grad_z, grad_log_q, to_noise=wanted)
        return None, None if to_noise is None else to_noise.sum_to_size(ctx.shape), to_base

    @staticmethod
    def plain(ctx: Any) -> tuple[Callable[..., tuple[Tensor, Tensor]], tuple[Tensor | None, ...]]:
        noise, _, base = ctx.saved_tensors
        return reference, (None, noise, base)
