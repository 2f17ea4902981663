"""The log-likelihood of binary pixels: on the CPU one pass over them, and one product on the way back."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from nfbench.foundation.settings import backend
from nfbench.kernels import shapes
from nfbench.kernels.autograd import Node
from nfbench.kernels.dispatch import transformed
from nfbench.kernels.layers import bernoulli_cpu

_FAR = 40.0  # from where on softplus(y) is y in float64, too: torch's own threshold, 20, drops e^-20


def reference(logits: Tensor, x: Tensor) -> Tensor:
    """`log_prob` operation by operation: oracle, and what runs under vmap, `torch.compile`, on other devices."""
    return -functional.softplus((1 - 2 * x) * logits, threshold=_FAR).sum(-1)


def log_prob(logits: Tensor, x: Tensor) -> Tensor:
    """`logits (S, B, I), x (B, I) -> -sum_i softplus((1 - 2 x_i) l_i) (S, B)`.

    float32 and float64 on the CPU go through compiled loops, if no gradient in x is wanted. Logits (B, I),
    and one observation x (1, I) for all of them, go through plain PyTorch.

    Raises:
        InputError: tensors that do not fit each other, are not floating, or are on several devices (`shapes`).
    """
    form = "B I" if logits.dim() == 2 else "S B I"
    shapes.check_forms("bernoulli", ("logits", logits, form), ("x", x, "R I"))
    shapes.check_points("bernoulli", "logits", logits if logits.dim() == 3 else logits.unsqueeze(0), "x", x)
    shapes.check_kinds("bernoulli", "logits", logits, "x", x, mixed=True)
    if transformed() or backend() == "reference" or x.requires_grad or not _fits(logits, x):
        return reference(logits, x)
    if not (logits.requires_grad and torch.is_grad_enabled()):
        return bernoulli_cpu.log_prob(logits, x, learned=False)[0]
    found: Tensor = _Compiled.applied(logits, x)[0]
    return found


def _fits(logits: Tensor, x: Tensor) -> bool:
    """Whether the compiled loops take these tensors."""
    real = logits.dtype == x.dtype and x.dtype in (torch.float32, torch.float64)
    return real and logits.is_cpu and x.is_cpu and logits.dim() == 3 and logits.shape[1:] == x.shape


class _Compiled(Node):
    """The value and its derivatives in the logits, which are kept instead of them, by the loops of `bernoulli_cpu`."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        found, slopes = bernoulli_cpu.log_prob(logits, x, learned=True)
        ctx.save_for_backward(slopes, x)
        ctx.set_materialize_grads(False)  # no zeros for the slopes, which only a second derivative depends on
        return found, slopes

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, to_slopes: Tensor | None) -> tuple[Tensor | None, None]:
        slopes, x = ctx.saved_tensors
        found = None if grad is None else grad.unsqueeze(-1) * slopes
        if to_slopes is not None:  # slope = -s sigmoid(s l), s = 1 - 2 x
            more = to_slopes * slopes * (slopes + (1 - 2 * x))
            found = more if found is None else found + more
        return found, None
