"""Parameters of a model: how numbers on all of R become what the model is about, with ln|det| of that map.

Each kind states its map x(u) and its ln|det dx/du|, which `log_joint` adds to the density of x.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

Values = dict[str, Tensor]


@dataclass(frozen=True)
class Parameter(ABC):
    """One parameter of a model, a number or a vector of them.

    Attributes:
        name: as Stan's program has it.
        size: entries of the vector; None for a number.
    """

    name: str
    size: int | None = None

    @property
    def width(self) -> int:
        """How many unconstrained numbers it is made of."""
        return self.size or 1

    @abstractmethod
    def constrained(self, u: Tensor, before: Values) -> tuple[Tensor, Tensor]:
        """Map unconstrained numbers to the parameter.

        Args:
            u: (..., width).
            before: parameters that come before this one, by name.

        Returns:
            x (..., size or width), and ln|det dx/du| (...).
        """

    @abstractmethod
    def unconstrained(self, x: Tensor, before: Values) -> Tensor:
        """Undo `constrained`.

        Args:
            x: (..., size or width).
            before: parameters that come before this one, by name.

        Returns:
            u (..., width).
        """


class Real(Parameter):
    """x = u, with ln|det| = 0."""

    def constrained(self, u: Tensor, before: Values) -> tuple[Tensor, Tensor]:
        return u, u.new_zeros(u.shape[:-1])

    def unconstrained(self, x: Tensor, before: Values) -> Tensor:
        return x


class Positive(Parameter):
    """x = exp(u), with ln|det| = sum u."""

    def constrained(self, u: Tensor, before: Values) -> tuple[Tensor, Tensor]:
        return u.exp(), u.sum(-1)

    def unconstrained(self, x: Tensor, before: Values) -> Tensor:
        return x.log()


@dataclass(frozen=True)
class Interval(Parameter):
    """x = b sigmoid(u) between 0 and b, with ln|det| = sum (ln b + ln sigmoid(u) + ln sigmoid(-u)).

    Attributes:
        upper: b as a function (...) of the parameters before; None: 1.
    """

    upper: Callable[[Values], Tensor] | None = None

    def constrained(self, u: Tensor, before: Values) -> tuple[Tensor, Tensor]:
        bound = self._bound(u, before)
        return bound * u.sigmoid(), (bound.log() + logsigmoid(u) + logsigmoid(-u)).sum(-1)

    def unconstrained(self, x: Tensor, before: Values) -> Tensor:
        return (x / self._bound(x, before)).logit()

    def _bound(self, like: Tensor, before: Values) -> Tensor:
        return torch.ones_like(like) if self.upper is None else self.upper(before).unsqueeze(-1)


class Pair(Parameter):
    """A simplex of two: x = (sigmoid(u), sigmoid(-u)), with ln|dx_1/du| = ln sigmoid(u) + ln sigmoid(-u)."""

    @property
    def width(self) -> int:
        return 1

    def constrained(self, u: Tensor, before: Values) -> tuple[Tensor, Tensor]:
        return torch.cat([u.sigmoid(), (-u).sigmoid()], -1), (logsigmoid(u) + logsigmoid(-u)).squeeze(-1)

    def unconstrained(self, x: Tensor, before: Values) -> Tensor:
        return (x[..., :1] / x[..., 1:]).log()


class Ordered(Parameter):
    """x_1 = u_1 and x_k = x_(k-1) + exp(u_k), with ln|det| = u_2 + u_3 + ..."""

    def constrained(self, u: Tensor, before: Values) -> tuple[Tensor, Tensor]:
        return torch.cat([u[..., :1], u[..., 1:].exp()], -1).cumsum(-1), u[..., 1:].sum(-1)

    def unconstrained(self, x: Tensor, before: Values) -> Tensor:
        return torch.cat([x[..., :1], x.diff(dim=-1).log()], -1)


class PositiveOrdered(Parameter):
    """x_1 = exp(u_1) and x_k = x_(k-1) + exp(u_k), with ln|det| = u_1 + u_2 + ..."""

    def constrained(self, u: Tensor, before: Values) -> tuple[Tensor, Tensor]:
        return u.exp().cumsum(-1), u.sum(-1)

    def unconstrained(self, x: Tensor, before: Values) -> Tensor:
        return torch.cat([x[..., :1], x.diff(dim=-1)], -1).log()
