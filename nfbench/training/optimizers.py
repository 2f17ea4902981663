"""Optimizers: torch's own updates, one pass over all parameters, with the state that a checkpoint keeps."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.rmsprop import rmsprop

# torch's defaults: the paper gives none.
_ADAM_DECAY, _ADAM_EPSILON = 0.999, 1e-8
_RMSPROP_DECAY, _RMSPROP_EPSILON = 0.99, 1e-8
_SWEEP = 100  # updates from one look for denormal moments to the next


class _Parts(NamedTuple):
    """What torch's update takes: tensors and their moments, in lists of the same length."""

    params: list[Tensor]
    first: list[Tensor]
    second: list[Tensor]
    steps: list[Tensor]


class Optimizer(ABC):
    """Parameters and running moments of their gradients; torch's own update without its bookkeeping.

    On the CPU, moments that are too small for a float of full precision are set to 0 every hundred updates. Those of a
    weight that has no gradient any more, as where a maxout unit never wins, come there by and by, and a processor takes
    ten times as long for such numbers. They are too small to move a parameter.

    Args:
        params: leaf tensors that are updated in place.
        momentum: RMSprop's momentum, Adam's beta_1.
        graph: whether updates are captured in a CUDA graph.
    """

    def __init__(self, params: Sequence[Tensor], momentum: float, *, graph: bool = False) -> None:
        self.params = list(params)
        self.momentum = momentum
        self.graph = graph
        self.first, self.second = ([torch.zeros_like(value) for value in self.params] for _ in range(2))
        self.steps = [torch.zeros((), device=value.device) for value in self.params]
        self._parts = _Parts(self.params, self.first, self.second, self.steps)

    def split(self) -> None:
        """From now on take a gradient for each row of each parameter, which spares copying rows into one tensor."""
        params, first, second = (
            [row for value in values for row in value.detach().unbind()]
            for values in (self.params, self.first, self.second)
        )
        self._parts = _Parts(params, first, second, [torch.zeros_like(self.steps[0]) for _ in params])

    @torch.no_grad()
    def update(self, grads: Sequence[Tensor], rate: float | Tensor) -> None:
        """Update the parameters in place.

        Args:
            grads: one gradient for each parameter, with its shape and strides; after `split` one for each row of the
                first parameter, then of the second, and so on.
            rate: learning rate; a tensor from `graph_rate` where updates are captured.
        """
        rows = self._parts.steps
        if rows is not self.steps:
            for count in rows:
                count.copy_(self.steps[0])
        self._update(self._parts, list(grads), rate)
        if rows is not self.steps:
            for count in self.steps:
                count.copy_(rows[0])
        if self.steps[0].device.type == "cpu" and int(self.steps[0]) % _SWEEP == 0:
            for moment in (*self.first, *self.second):
                moment.masked_fill_(moment.abs() < torch.finfo(moment.dtype).tiny, 0.0)

    @abstractmethod
    def _update(self, parts: _Parts, grads: list[Tensor], rate: float | Tensor) -> None:
        """Torch's update."""

    def graph_rate(self) -> Tensor:
        """The tensor from which a captured update reads its learning rate.

        Returns:
            A scalar on the parameters' device.
        """
        return self.params[0].new_ones(())

    def state(self) -> list[Tensor]:
        """The tensors that an update changes beside the parameters.

        Returns:
            First moments (of RMSprop the momentum buffers), second moments and step counts, one of each for every
            parameter. They are no copies: new values may be written into them.
        """
        return [*self.first, *self.second, *self.steps]


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015, Algorithm 1), fused into one pass over memory; beta_2 = 0.999, epsilon = 1e-8."""

    def graph_rate(self) -> Tensor:
        """In float32 whatever the parameters' dtype, as torch's fused update requires."""
        return super().graph_rate().float()

    def _update(self, parts: _Parts, grads: list[Tensor], rate: float | Tensor) -> None:
        adam(
            parts.params, grads, parts.first, parts.second, [], parts.steps,
            fused=True, amsgrad=False, maximize=False, weight_decay=0.0,
            lr=rate, beta1=self.momentum, beta2=_ADAM_DECAY, eps=_ADAM_EPSILON,
        )  # fmt: skip


class RMSprop(Optimizer):
    """RMSprop with momentum in torch's form (Tieleman & Hinton 2012, lecture 6.5).

    v = 0.99 v + 0.01 g^2; b = momentum b + g / (sqrt(v) + 1e-8); x = x - rate b.
    """

    def _update(self, parts: _Parts, grads: list[Tensor], rate: float | Tensor) -> None:
        rmsprop(
            parts.params, grads, parts.second, [], parts.first, parts.steps,
            foreach=True, capturable=self.graph, centered=False, weight_decay=0.0,
            lr=rate, alpha=_RMSPROP_DECAY, eps=_RMSPROP_EPSILON, momentum=self.momentum,  # type: ignore[arg-type]
        )  # fmt: skip


OPTIMIZERS: dict[str, type[Optimizer]] = {"adam": Adam, "rmsprop": RMSprop}
