"""The log-likelihood of binary pixels from logits: ln p(x) = -sum_i softplus((1 - 2 x_i) l_i).

On the CPU it takes one pass over the pixels forward and one product backward.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from nfbench.foundation.settings import backend
from nfbench.kernels import kinds, shapes
from nfbench.kernels.autograd import Node
from nfbench.kernels.dispatch import transformed
from nfbench.kernels.layers import bernoulli_cpu

_FAR = 40.0  # above it softplus(y) = y to float64's precision; torch's own threshold, 20, drops e^-20


def reference(logits: Tensor, x: Tensor) -> Tensor:
    """`log_prob`, operation by operation: the oracle of tests, and what runs under vmap and on other devices.

    Args:
        logits: (S, B, I) or (B, I).
        x: (B or 1, I) of 0 and 1.

    Returns:
        (S, B) or (B,).
    """
    return -functional.softplus((1 - 2 * x) * logits, threshold=_FAR).sum(-1)


def log_prob(logits: Tensor, x: Tensor) -> Tensor:
    """The log-likelihood ln p(x) in nats of I binary pixels.

    Compiled loops run on the CPU in float32 and float64, for logits (S, B, I) and x (B, I), if no gradient in x is
    wanted; else plain PyTorch.

    Args:
        logits: (S, B, I) or (B, I).
        x: (B or 1, I) of 0 and 1.

    Returns:
        (S, B) or (B,).

    Raises:
        InputError: tensors that do not fit each other, are not floating, or are on several devices (`shapes`).
    """
    form = "B I" if logits.dim() == 2 else "S B I"
    shapes.check_forms("bernoulli", ("logits", logits, form), ("x", x, "R I"))
    shapes.check_points("bernoulli", "logits", logits if logits.dim() == 3 else logits.unsqueeze(0), "x", x)
    kinds.check_kinds("bernoulli", "logits", logits, "x", x, mixed=True)
    if transformed() or backend() == "reference" or x.requires_grad or not _fits(logits, x):
        return reference(logits, x)
    if not (logits.requires_grad and torch.is_grad_enabled()):
        return bernoulli_cpu.log_prob(logits, x, learned=False)[0]
    log_p: Tensor = _Compiled.applied(logits, x)[0]
    return log_p


def _fits(logits: Tensor, x: Tensor) -> bool:
    """Whether the compiled loops take these tensors."""
    real = logits.dtype == x.dtype and x.dtype in (torch.float32, torch.float64)
    return real and logits.is_cpu and x.is_cpu and logits.dim() == 3 and logits.shape[1:] == x.shape


class _Compiled(Node):
    """`log_prob` and its derivatives in the logits by the loops of `bernoulli_cpu`; the derivatives are saved."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        log_p, slopes = bernoulli_cpu.log_prob(logits, x, learned=True)
        ctx.save_for_backward(slopes, x)
        ctx.set_materialize_grads(False)  # no zeros for the slopes: only second derivatives depend on them
        return log_p, slopes

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, to_slopes: Tensor | None) -> tuple[Tensor | None, None]:
        slopes, x = ctx.saved_tensors
        to_logits = None if grad is None else grad.unsqueeze(-1) * slopes
        if to_slopes is not None:  # slope = -s sigmoid(s l), s = 1 - 2 x
            more = to_slopes * slopes * (slopes + (1 - 2 * x))
            to_logits = more if to_logits is None else to_logits + more
        return to_logits, None
