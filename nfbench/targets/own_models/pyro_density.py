"""The log-density of a Pyro model over unconstrained space, and its Jacobians, at one point; `torch.vmap` takes many.

Pyro's own checks of arguments are off meanwhile: they look at values, which `torch.vmap` cannot follow, and would raise
an error where a density is merely not finite.
"""

import functools
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import biject_to

from nfbench.foundation.errors import InputError, first_line, foreign_place, reason
from nfbench.targets.own_models.labels import kind, labels

Model = Callable[[], Any]


class _RefusedError(Exception):
    """What is wrong with a model, in words; no error of a kind to which Pyro adds the shapes of the trace."""


class _Site(NamedTuple):
    """A latent variable: where it lies in z, and its shape there."""

    start: int
    shape: torch.Size


class PyroDensity:
    """ln p(latents, observed data) plus ln|det| of the map from z to the latents.

    Args:
        model: a Pyro model without arguments, its data inside.
        owner: the target in messages.

    Attributes:
        dim: D, the unconstrained numbers of all latent variables.
        names: of the constrained numbers: latent variables in the order of the model, and deterministic sites.

    Raises:
        InputError: the model raises an error, or has something that is no density over continuous variables: discrete
            latent variables, parameters, or subsampled plates.
    """

    def __init__(self, model: Model, owner: str) -> None:
        self._model = model
        self._sites: dict[str, _Site] = {}
        self.dim = 0
        self.names: list[str] = []
        errors: list[Exception] = []
        for dtype in (torch.float32, torch.float64):  # a model may hold numbers of one of them only
            try:
                self._read(dtype)
                return
            except _RefusedError as error:
                raise InputError(f"{owner}: {error}") from None
            except Exception as error:  # whatever the user's model raises
                errors.append(error)
        raise InputError(f"{owner}: running the model: {reason(errors[0])}") from errors[0]

    def log_joint(self, z: Tensor) -> Tensor:
        """The log-density at one point.

        Args:
            z: (D,).

        Returns:
            (), in nats.
        """
        terms = self._terms(z)
        return sum(terms.values(), z.new_zeros(()))

    def constrain(self, z: Tensor) -> Tensor:
        """The latent variables and the deterministic sites at one point.

        Args:
            z: (D,).

        Returns:
            (C,), in the order of `names`.
        """
        trace, _ = self._traced(z, with_terms=False)
        return torch.cat([value.to(z.dtype).reshape(-1) for _, value in _shown(trace)])

    def first_not_finite(self, z: Tensor) -> str | None:
        """The first site whose term is not finite.

        Args:
            z: (D,).

        Returns:
            Such as ``site 'tau' (HalfCauchy, mine.py:7)``; None where all are finite.
        """
        places: dict[str, str] = {}
        for name, term in self._terms(z, places).items():
            if not bool(term.isfinite()):
                return f"site {name!r} ({places[name]})"
        return None

    def _terms(self, z: Tensor, places: dict[str, str] | None = None) -> dict[str, Tensor]:
        """The term () of each site, in the order of the model; of a latent variable with its Jacobian."""
        trace, jacobians = self._traced(z, places)
        terms = {
            name: node["log_prob"].sum() + jacobians.get(name, 0.0)
            for name, node in trace.nodes.items()
            if node["type"] == "sample" and "log_prob" in node
        }
        unseen = [name for name in self._sites if name not in jacobians]
        if unseen:
            raise _RefusedError(f"site {unseen[0]!r} is not always there: expected the same sites each time")
        return terms

    def _traced(
        self, z: Tensor, places: dict[str, str] | None = None, *, with_terms: bool = True
    ) -> tuple[Any, dict[str, Tensor]]:
        """Run the model at a point: its trace with the terms of its sites, and ln|det| () of each latent variable."""
        import pyro

        jacobians: dict[str, Tensor] = {}

        def place(name: str, distribution: Any) -> Tensor:
            if name not in self._sites:
                raise _RefusedError(f"site {name!r} is not always there: expected the same sites each time")
            start, shape = self._sites[name]
            transform = biject_to(distribution.support)
            numbers = z[start : start + shape.numel()].reshape(shape)
            value: Tensor = transform(numbers)
            jacobians[name] = transform.log_abs_det_jacobian(numbers, value).sum()
            return value

        with pyro.validation_enabled(is_validate=False):
            trace = pyro.poutine.trace(_placing(place, places)(self._model)).get_trace()
            for name, node in trace.nodes.items():
                if with_terms and node["type"] == "sample" and not _is_bookkeeping(node):
                    _add_term(trace, name)
        return trace, jacobians

    def _read(self, dtype: torch.dtype) -> None:
        """Run the model once, with zeros for all unconstrained numbers, and note what its latent variables are."""
        import pyro

        sites: dict[str, _Site] = {}

        def place(name: str, distribution: Any) -> Tensor:
            support = distribution.support
            if distribution.has_enumerate_support or support.is_discrete:
                raise _RefusedError(
                    f"site {name!r} is discrete ({kind(distribution)}): expected continuous latent variables; sum a "
                    "discrete one out, or observe it"
                )
            try:
                transform = biject_to(support)
                shape = torch.Size(transform.inverse_shape(distribution.batch_shape + distribution.event_shape))
            except NotImplementedError:
                raise _RefusedError(
                    f"site {name!r} has the support {support}, to which no map is known: expected one of "
                    "torch.distributions.constraints that biject_to knows"
                ) from None
            sites[name] = _Site(sum(each.shape.numel() for each in sites.values()), shape)
            value: Tensor = transform(torch.zeros(shape, dtype=dtype))
            return value

        # What torch imports for this at the first time (sympy) sets filters of warnings.
        with warnings.catch_warnings(), pyro.validation_enabled(is_validate=False), torch.no_grad():
            trace = pyro.poutine.trace(_placing(place)(self._model)).get_trace()
        for name, node in trace.nodes.items():
            if node["type"] == "param":
                raise _RefusedError(f"{name!r} is a parameter (pyro.param): expected sites with a prior only")
            size, total = (getattr(node.get("fn"), key, None) for key in ("subsample_size", "size"))
            if _is_subsample(node) and size is not None and size < total:
                raise _RefusedError(
                    f"plate {name!r} takes {size} of {total} data: expected all of them, without subsample_size"
                )
        if not sites:
            raise _RefusedError("the model has no latent variable: expected at least one pyro.sample")
        self._sites, self.dim = sites, sum(each.shape.numel() for each in sites.values())
        self.names = [text for name, value in _shown(trace) for text in labels(name, value.shape)]


@functools.cache
def _handler() -> type[Any]:
    """Pyro's kind of object that sees each site while a model runs; Pyro is imported where it is asked for."""
    from pyro.poutine.messenger import Messenger

    class Placing(Messenger):  # type: ignore[misc]
        """Gives each latent variable a value, and says where the model has its sites."""

        def __init__(self, place: Callable[[str, Any], Tensor], places: dict[str, str] | None) -> None:
            super().__init__()
            self._place, self._places = place, places

        def _pyro_sample(self, message: Any) -> None:
            if self._places is not None:
                line = foreign_place((frame.filename, frame.lineno or 0) for frame in traceback.extract_stack()[::-1])
                self._places[message["name"]] = ", ".join(filter(None, [kind(message["fn"]), line]))
            if not (message["is_observed"] or _is_bookkeeping(message)):
                message["value"] = self._place(message["name"], message["fn"])
                message["done"] = True

    return Placing


def _placing(place: Callable[[str, Any], Tensor], places: dict[str, str] | None = None) -> Any:
    return _handler()(place, places)


def _add_term(trace: Any, name: str) -> None:
    """Let a trace compute the term of one site; an error names the site, whose distribution need not be the user's."""
    try:
        trace.compute_log_prob(lambda site, node: site == name)
    except Exception as error:
        raise RuntimeError(f"site {name!r}: {first_line(error)}") from error


def _shown(trace: Any) -> Iterator[tuple[str, Tensor]]:
    """Latent variables and deterministic sites of a trace, with their values."""
    for name, node in trace.nodes.items():
        deterministic = node["type"] == "sample" and node["infer"].get("_deterministic", False)
        if deterministic or (node["type"] == "sample" and not node["is_observed"] and not _is_bookkeeping(node)):
            yield name, node["value"]


def _is_subsample(node: Any) -> bool:
    return type(node.get("fn")).__name__ == "_Subsample"


def _is_bookkeeping(node: Any) -> bool:
    """Whether a site has no density of its own: a plate's, or a named value."""
    return _is_subsample(node) or bool(node["infer"].get("_deterministic", False))
