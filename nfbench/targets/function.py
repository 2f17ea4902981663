"""A target made of a user's own function: an unnormalised log-density over z, known by its values only."""

from collections.abc import Callable

import torch
from torch import Tensor

from nfbench.foundation.checks import brief, whole_number
from nfbench.foundation.errors import InputError
from nfbench.targets.contract import Target

LogDensity = Callable[[Tensor], Tensor]


class FunctionTarget(Target):
    """A density whose logarithm a function computes, up to a constant.

    Args:
        function: ``log_joint(z (..., D)) -> (...)`` in nats, differentiable by autograd, draw by draw.
        dim: D.
        log_z: ln of the density's integral, where it is known; KL divergences need it.

    Attributes:
        normalised: whether `log_z` is known; where it is not, only differences of F between posteriors mean something.

    Raises:
        InputError: `function` cannot be called, or `dim` is no positive integer.

    >>> import torch
    >>> target = FunctionTarget(lambda z: -0.5 * z.square().sum(-1), dim=3)
    >>> target.log_joint(torch.zeros(5, 1, 3)).shape
    torch.Size([5, 1])
    """

    def __init__(self, function: LogDensity, dim: int, log_z: float | None = None) -> None:
        super().__init__()
        if not callable(function):
            raise InputError(f"target: {brief(function)} is no function; expected log_joint(z (..., D)) -> (...)")
        self.function = function
        self.dim = whole_number("target", "dim", dim, least=1)
        self.log_z = log_z
        self.normalised = log_z is not None

    def log_joint(self, z: Tensor, batch: Tensor | None = None) -> Tensor:
        """The function at z.

        Args:
            z: (..., D).
            batch: ignored; the function knows its own data.

        Returns:
            (...), in nats.

        Raises:
            InputError: the function returned something else than a tensor (...).
        """
        value = self.function(z)
        if not isinstance(value, Tensor) or value.shape != z.shape[:-1]:
            found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise InputError(
                f"target: the function returned {found} for z {tuple(z.shape)}: expected {tuple(z.shape[:-1])}, "
                "one value for each draw"
            )
        return value

    def stacks(self) -> bool:
        """Whether the function works under `torch.vmap`, so that several seeds can train as one program.

        Returns:
            False where a trial with zeros raises any error.
        """
        try:
            with torch.no_grad():
                torch.vmap(self.log_joint)(torch.zeros(2, 3, 1, self.dim))
        except Exception:  # whatever the user's function may raise
            return False
        return True
