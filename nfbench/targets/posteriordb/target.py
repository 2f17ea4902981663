"""The target ``posteriordb:NAME``: a posterior of posteriordb on all of R^D, with its reference draws."""

import functools
from typing import Annotated

import torch
from pydantic import AfterValidator
from torch import Tensor

from nfbench.data.sets.posteriordb import content
from nfbench.specification.registry import register_target
from nfbench.targets.constants import Constants
from nfbench.targets.contract import Target
from nfbench.targets.own_models.labels import labels
from nfbench.targets.posteriordb.model import MODELS, Model
from nfbench.targets.posteriordb.parameters import Values

CHAINS = 10  # of all reference draws, one after the other
_DEFAULT = "eight_schools-eight_schools_noncentered"


class Posterior(Target):
    """ln p(u) = ln p(parameters(u), data) + ln|det d parameters/du|, computed in float64 whatever the dtype of u.

    The maps from u to the parameters, with their Jacobians, are those of `nfbench.targets.posteriordb.parameters`.

    Args:
        model: with its data.
        reference: reference draws of what the model's `drawn` computes: name -> (n,) or (n, entries).
        log_z: ln of the density's integral, where the model has no closed form of it.
        standardised: whether z = (u - mean) / sd with mean and sd of the reference draws, and ln p(z) with the Jacobian
            sum ln sd, which leaves ln Z as it is.
    """

    def __init__(self, model: Model, reference: Values, log_z: float | None, *, standardised: bool) -> None:
        super().__init__()
        self.model = model
        self.dim = sum(parameter.width for parameter in model.parameters)
        exact = model.exact_log_z()
        self.log_z = log_z if exact is None else exact
        draws = self._packed(model.undrawn(reference))
        shift, scale = (draws.mean(0), draws.std(0)) if standardised else (torch.zeros(self.dim), torch.ones(self.dim))
        self._units = Constants(shift=shift, scale=scale)
        self._log_scale = float(scale.log().sum())
        self._reference = self._standard(draws)
        self._shown = tuple(reference)
        self.names = [text for name, value in reference.items() for text in labels(name, tuple(value.shape[1:]), 1)]

    def log_joint(self, z: Tensor, batch: Tensor | None = None) -> Tensor:
        values, log_det = self._values(self.checked(z))
        return (self.model.log_density(values) + log_det + self._log_scale).to(z.dtype)

    def reference(self) -> Tensor:
        """The reference draws of posteriordb: ten chains, one after the other.

        Returns:
            (n, D), in float64.
        """
        return self._reference

    def constrain(self, z: Tensor) -> Tensor:
        values = self.model.drawn(self._values(z)[0])
        columns = [values[key].unsqueeze(-1) if values[key].ndim < z.ndim else values[key] for key in self._shown]
        return torch.cat(columns, -1).to(z.dtype)

    @property
    def has_sampler(self) -> bool:
        """Whether the model can be drawn from exactly."""
        return self.model.has_exact_draws

    def sample(self, num: int, generator: torch.Generator) -> Tensor:
        values = self.model.exact_draws(num, generator)
        if values is None:
            return super().sample(num, generator)
        return self._standard(self._packed(values)).to(torch.get_default_dtype())

    def _values(self, z: Tensor) -> tuple[Values, Tensor]:
        """The parameters at `z (..., D)`, and ln|det| of their map from u (...)."""
        u = z.double()
        units = self._units.like(u)
        u = u * units["scale"] + units["shift"]
        log_det = u.new_zeros(u.shape[:-1])
        values: Values = {}
        parts = torch.split(u, [each.width for each in self.model.parameters], -1)
        for parameter, part in zip(self.model.parameters, parts, strict=True):
            value, of_this = parameter.constrained(part, values)
            values[parameter.name] = value.squeeze(-1) if parameter.size is None else value
            log_det = log_det + of_this
        return values, log_det

    def _packed(self, values: Values) -> Tensor:
        """The unconstrained numbers (n, D) of parameters."""
        parts = []
        for parameter in self.model.parameters:
            value = values[parameter.name]
            parts.append(parameter.unconstrained(value.unsqueeze(-1) if parameter.size is None else value, values))
        return torch.cat(parts, -1)

    def _standard(self, u: Tensor) -> Tensor:
        units = self._units.like(u)
        return (u - units["shift"]) / units["scale"]


def _known(name: str) -> str:
    return MODELS[name].name


@register_target("posteriordb", label="{name}", cite="Magnusson et al. 2025 (posteriordb)", year=2025)
def posteriordb(name: Annotated[str, AfterValidator(_known)] = _DEFAULT, standardised: bool = False) -> Target:  # noqa: FBT001, FBT002
    """A posterior of posteriordb with its reference draws, on all of R^D.

    Args:
        name: data set and model, as posteriordb has it.
        standardised: shift and scale coordinates by the mean and sd of the reference draws, so that families are
            compared by the shape that they can follow, not by how their optimizer finds scales from 1e-3 to 1e4.

    Returns:
        The target.
    """
    posterior = MODELS[name]
    return Posterior(
        posterior.make(content("data", posterior.data)),
        _reference(posterior.draws),
        posterior.log_z,
        standardised=standardised,
    )


@functools.lru_cache(maxsize=4)
def _reference(name: str) -> Values:
    """Reference draws of ten chains, one after the other: name -> (n,), or (n, entries) of a vector."""
    chains = content("draws", name)
    columns: dict[str, list[Tensor]] = {}
    for key in chains[0]:
        column = torch.cat([torch.tensor(chain[key], dtype=torch.float64) for chain in chains])
        columns.setdefault(key.partition("[")[0], []).append(column)
    scalars = {key for key in chains[0] if "[" not in key}
    return {key: parts[0] if key in scalars else torch.stack(parts, -1) for key, parts in columns.items()}
