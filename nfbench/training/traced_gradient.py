"""The gradient of several models as a flat list of torch operations, recorded once and run at every update.

An update of twenty seeds in two dimensions is nearly all bookkeeping: `vmap`, the modules' calls and autograd's graph
take longer than the arithmetic. `torch.fx` records what they let torch do, for tensors of these shapes, and the list is
run without them. The operations are the same in the same order, so the numbers are the same, to the last bit.

What Python does beside torch's operations is not recorded. So only models of this package and of torch are traced,
which are functions of their tensors, and never code that a user brings.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

from nfbench.targets.function import FunctionTarget

Loss = Callable[[dict[str, Tensor], dict[str, Tensor], Tensor, Tensor | None, Tensor], tuple[Tensor, Tensor]]
"""Parameters and buffers by name, noise, batch, beta -> what is minimised (), and the bounds (E,)."""

_PACKAGES = {"nfbench", "torch"}


def traceable(model: nn.Module) -> bool:
    """Whether a model is made of this package's and torch's modules only, and calls no function of a user's.

    Args:
        model: with all its parts.

    Returns:
        Whether no part is of another package, or stands for a user's function.
    """
    return all(
        type(part).__module__.partition(".")[0] in _PACKAGES and not isinstance(part, FunctionTarget)
        for part in model.modules()
    )


class TracedGradient:
    """Operations that give the bound and its gradient, as `Update.gradient` does.

    Args:
        loss: of which the gradient is taken.
        params: the parameters by name, which have gradients.
        buffers: by name.
        noise: an example of an update's noise, (E, S, B, N).
        batch: an example of an update's minibatches, (E, B, ...); None for a target without data.

    Raises:
        Exception: whatever torch raises where a model cannot be recorded: it looks at values, for example.
    """

    def __init__(
        self,
        loss: Loss,
        params: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor],
        noise: Tensor,
        batch: Tensor | None,
    ) -> None:
        def gradient(
            leaves: Sequence[Tensor], fixed: Sequence[Tensor], noise: Tensor, batch: Tensor | None, beta: Tensor
        ) -> tuple[Tensor, list[Tensor]]:
            named = dict(zip(params, leaves, strict=True)), dict(zip(buffers, fixed, strict=True))
            total, bound = loss(*named, noise, batch, beta)
            grads = torch.autograd.grad(total, leaves, materialize_grads=True)
            return bound, [grad.contiguous() for grad in grads]

        self._leaves, self._fixed = list(params.values()), list(buffers.values())
        # "real": what models keep from call to call, such as constants in a precision, are tensors with values then.
        self._run = make_fx(gradient, tracing_mode="real")(self._leaves, self._fixed, noise, batch, noise.new_ones(()))
        self._run.graph.eliminate_dead_code()
        self._run.recompile()

    @torch.no_grad()
    def __call__(self, noise: Tensor, batch: Tensor | None, beta: float | Tensor) -> tuple[Tensor, list[Tensor]]:
        """Run the operations, on the parameters as they are now.

        Args:
            noise: standard normal, (E, S, B, N).
            batch: observations, (E, B, ...); None for a target without data.
            beta: inverse temperature from 0 to 1.

        Returns:
            The bounds in nats, (E,), and one gradient for each parameter, with its shape.
        """
        scale = beta if isinstance(beta, Tensor) else noise.new_full((), beta)
        bound, grads = self._run(self._leaves, self._fixed, noise, batch, scale)
        return bound, grads
