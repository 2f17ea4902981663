"""A density that a library computes which is not torch: values and gradients in float64, on the CPU."""

from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nfbench.foundation.errors import InputError
from nfbench.targets.own_models import faults
from nfbench.targets.own_models.fold import evaluated
from nfbench.targets.own_models.model import OwnModel

Numbers = NDArray[np.float64]


class Engine(Protocol):
    """A model with its data, in the hands of another library.

    Attributes:
        dim: D, the unconstrained numbers of all parameters.
        names: of the numbers that `constrain` gives.
    """

    dim: int
    names: list[str]

    def evaluate(self, z: Numbers) -> tuple[Numbers, Numbers]:
        """The log-density and its gradient.

        Args:
            z: (N, D).

        Returns:
            (N,) in nats, NaN where the library refuses a point; and (N, D).
        """

    def constrain(self, z: Numbers) -> Numbers:
        """The parameters in the model's own space.

        Args:
            z: (n, D).

        Returns:
            (n, C).
        """

    def first_not_finite(self, z: Numbers) -> str | None:
        """Which part of the model is not finite.

        Args:
            z: (D,).

        Returns:
            The library's own words, or a site of the model; None where nothing is known.
        """


class EngineTarget(OwnModel):
    """A density up to a constant, whose values and gradients come from an engine.

    It enters autograd as one operator: under `torch.vmap` the seeds become draws of one call, and second derivatives
    are refused. The engine gets float64 whatever the dtype of the draws, and its numbers are rounded to that dtype.

    Args:
        owner: the target in messages.
        engine: the model with its data.

    Attributes:
        dim: D.
        names: of the numbers that `constrain` gives.

    Raises:
        InputError: the model is no log-density on all of R^D.
    """

    def __init__(self, owner: str, engine: Engine) -> None:
        self._engine = _Shared(engine)
        super().__init__(owner, self._evaluated, engine.dim)
        self.names = engine.names
        self.probe()

    def log_joint(self, z: Tensor, batch: Tensor | None = None) -> Tensor:
        """The engine's log-density at z; under `torch.vmap` all seeds in one call.

        Args:
            z: (..., D).
            batch: ignored; the model knows its own data.

        Returns:
            (...), in nats and in the dtype of z.

        Raises:
            InputError: the engine raised an error; its gradient is differentiated again.
        """
        return self._evaluated(self.checked(z))

    def constrain(self, z: Tensor) -> Tensor:
        """The parameters in the model's own space, by the engine.

        Args:
            z: (n, D).

        Returns:
            (n, C), with the columns that `names` lists.
        """
        return self.mapped(lambda points: _like(points, self._engine.engine.constrain(_numbers(points))), z)

    def first_not_finite(self, z: Tensor) -> str | None:
        return self._engine.engine.first_not_finite(_numbers(z))

    def _evaluated(self, z: Tensor) -> Tensor:
        return evaluated(self._values, z, self.owner)

    def _values(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """`z (..., D) -> (...), (..., D)`: the log-density and its gradient at plain draws."""
        try:
            value, slope = self._engine.engine.evaluate(_numbers(z.reshape(-1, self.dim)))
        except Exception as error:  # whatever the user's code raises
            raise InputError(f"{self.owner}: {self.subject}: {faults.raised(self._value_at, z, error)}") from error
        return _like(z, value).reshape(z.shape[:-1]), _like(z, slope).reshape(z.shape)

    def _value_at(self, z: Tensor) -> Tensor:
        return _like(z, self._engine.engine.evaluate(_numbers(z.reshape(-1, self.dim)))[0])


class _Shared:
    """An engine that copies of a target share: it holds memory that is not Python's.

    Args:
        engine: of the target.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


def _numbers(z: Tensor) -> Numbers:
    numbers: Numbers = np.ascontiguousarray(z.detach().to(device="cpu", dtype=torch.float64).numpy())
    return numbers


def _like(z: Tensor, numbers: Numbers) -> Tensor:
    return torch.from_numpy(np.array(numbers, dtype=np.float64)).to(device=z.device, dtype=z.dtype)
