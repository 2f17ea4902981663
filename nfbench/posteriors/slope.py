"""The gradient of a target's ln p(x, z) in z, which has a gradient of its own."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from nfbench.kernels.dispatch import transformed
from nfbench.posteriors.contract import LogJoint


def slope(log_joint: LogJoint, z: Tensor) -> Tensor:
    """The gradient of ln p(x, z) in z, draw by draw.

    It has a graph of its own where gradients are wanted, so that a loss may depend on it; under `torch.no_grad` it is a
    plain number. It is taken by `torch.func` where a transform or `torch.compile` is at work.

    >>> slope(lambda z: -0.5 * z.square().sum(-1), torch.ones(1, 1, 2)).detach()
    tensor([[[-1., -1.]]])

    Args:
        log_joint: z (S, B, D) -> (S, B), in nats; no draw depends on another.
        z: (S, B, D).

    Returns:
        (S, B, D).
    """
    if transformed() and not torch._C._get_tracing_state():
        with _TwiceDifferentiable():
            gradient: Tensor = torch.func.grad(lambda points: log_joint(points).sum())(z)
        return gradient
    graph = torch.is_grad_enabled()
    with torch.enable_grad(), _TwiceDifferentiable():
        points = z if graph and z.requires_grad else z.detach().requires_grad_()
        total = log_joint(points).sum()
        if not total.requires_grad:  # a constant density
            return torch.zeros_like(z)
        (found,) = torch.autograd.grad(total, points, create_graph=graph, materialize_grads=True)
    return found


class _TwiceDifferentiable(TorchFunctionMode):
    """Within the block `torch.logaddexp` is taken by `torch.logsumexp`, whoever calls it.

    The second derivative of torch's own, as of version 2.13, is inf / inf where the two terms are 88 nats apart in
    float32. Mixtures, U1, U3 and U4 among them, have many such points.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func in (torch.logaddexp, torch.Tensor.logaddexp):
            terms = torch.broadcast_tensors(*args)  # type: ignore[no-untyped-call]
            return torch.stack(terms).logsumexp(0)
        return func(*args, **(kwargs or {}))
