"""A model of posteriordb: its parameters, its log-density, and how it is called."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nfbench.specification.named import Named
from nfbench.targets.constants import Constants
from nfbench.targets.posteriordb.parameters import Parameter, Values

Data = dict[str, Any]


class Model(ABC):
    """A Bayesian model with its data, in the parameters of Stan's program.

    Attributes:
        parameters: in the order of the unconstrained numbers.
        constants: numbers of the data that the density needs.
        has_exact_draws: whether `exact_draws` can draw.
    """

    parameters: Sequence[Parameter]
    constants: Constants
    has_exact_draws: bool = False

    @abstractmethod
    def log_density(self, values: Values) -> Tensor:
        """Evaluate ln p(parameters, data), with all constants of the densities that are named, without Jacobian.

        Args:
            values: of the parameters: (...) of a number, (..., n) of a vector.

        Returns:
            (...), in nats.
        """

    def drawn(self, values: Values) -> Values:
        """Compute what the reference draws hold, where it is something else than the parameters.

        Args:
            values: of the parameters.

        Returns:
            Name -> (...) or (..., n).
        """
        return values

    def undrawn(self, draws: Values) -> Values:
        """Undo `drawn`.

        Args:
            draws: of what reference draws hold.

        Returns:
            Values of the parameters.
        """
        return draws

    def exact_log_z(self) -> float | None:
        """Compute ln of the integral of the density where it has a closed form.

        Returns:
            Nats; None where there is no closed form.
        """
        return None

    def exact_draws(self, num: int, generator: torch.Generator) -> Values | None:
        """Draw exactly where that can be done.

        Args:
            num: how many draws.
            generator: of random numbers.

        Returns:
            Values of the parameters, (num,) or (num, n); None where it cannot be done.
        """
        return None


@dataclass(frozen=True)
class PosteriorModel:
    """A posterior of posteriordb: a model with a data set.

    Attributes:
        name: data set and model, such as ``arK-arK``.
        make: what makes the model of the data.
        draws: name of its reference draws.
        log_z: ln of the integral of the density by quadrature (right to 1e-4) or bridge sampling (to .005), in nats;
            None where it is known less well, or by the model itself.
    """

    name: str
    make: Callable[[Data], Model]
    draws: str
    log_z: float | None = None

    @property
    def made_by(self) -> Callable[..., Any]:
        """The function that makes the model."""
        return self.make

    @property
    def data(self) -> str:
        """Name of the data set."""
        return self.name.partition("-")[0]


MODELS = Named[PosteriorModel]("posterior of posteriordb", ("nfbench.targets.posteriordb.models",))


def add(name: str, make: Callable[[Data], Model], *, log_z: float | None = None, draws: str | None = None) -> None:
    """Make a posterior known.

    Args:
        name: data set and model.
        make: what makes the model of the data.
        log_z: ln of the evidence, where it is known from elsewhere.
        draws: name of its reference draws; None: its own.
    """
    MODELS.add(PosteriorModel(name, make, draws or name, log_z))
