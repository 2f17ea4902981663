"""A target that is a NumPyro model of the user's: ``numpyro:my.py::model``.

The model is a function without arguments, its data inside. z holds the unconstrained numbers of its latent variables in
the order of the model, by the maps of ``numpyro.distributions.biject_to``, whose Jacobians are a part of the density.
The sha256 of the file, and of the files that it imports from its own folder, is a part of a cell's identity.
"""

import contextlib
import functools
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nfbench.foundation.errors import InputError, reason
from nfbench.specification import sources
from nfbench.targets.own_models.engine import EngineTarget, Numbers
from nfbench.targets.own_models.entries import Named, open_models
from nfbench.targets.own_models.labels import kind, labels
from nfbench.targets.own_models.libraries import imported
from nfbench.targets.own_models.python_files import model_function, split, without_arguments

_EXAMPLE = "numpyro:my.py::model"
_MOST = 2048  # draws of a call
_LEAST = 64  # draws of a call; more are rounded up to a power of two, as JAX compiles for each number of them anew


class NumpyroTarget(EngineTarget):
    """The posterior of a NumPyro model's latent variables, up to the evidence of its data.

    Values and gradients come from JAX in float64, all draws in one compiled call. The file is run, and the model
    called, while JAX has numbers of 64 bits, which does not stay so afterwards.

    Args:
        model: a function with NumPyro's sample statements, or file and name of one, such as ``my.py::model``.

    Attributes:
        dim: D, the unconstrained numbers of all latent variables.
        names: of the numbers that `constrain` gives: latent variables and deterministic sites.

    Raises:
        InputError: NumPyro is not installed, there is no such model, or it is no density over continuous variables: one
            line with the file's line, the point z and the first site that is not finite.
    """

    def __init__(self, model: str | Callable[[], Any]) -> None:
        owner = f"target 'numpyro:{model}'" if isinstance(model, str) else "the NumPyro model"
        imported(owner, "numpyro", "numpyro")
        if isinstance(model, str):
            path, name = split(model, owner, _EXAMPLE)
            engine = _engine(path, name, sources.of_file(path), owner)
        else:
            engine = _Numpyro(without_arguments(model, owner), owner)
        super().__init__(owner, engine)


class _Numpyro:
    """A NumPyro model as a compiled function of flat unconstrained numbers.

    Args:
        model: without arguments.
        owner: the target in messages.
    """

    def __init__(self, model: Callable[[], Any], owner: str) -> None:
        import jax

        self._model = model
        with _double():
            try:
                trace = _trace(model)
            except Exception as error:  # whatever the user's model raises
                raise InputError(f"{owner}: running the model: {reason(error)}") from error
            self._shapes = _latent_shapes(trace, owner)
            self.dim = sum(int(np.prod(shape)) for shape in self._shapes.values())
            self._both = jax.jit(jax.vmap(jax.value_and_grad(self._log_joint)))
            self._shown = jax.jit(jax.vmap(lambda z: self._in_order(self._constrained(z))))
            latent = self._constrained(np.zeros(self.dim))
        self.names = [text for name, value in latent.items() for text in labels(name, np.shape(value))]

    def evaluate(self, z: Numbers) -> tuple[Numbers, Numbers]:
        value, slope = zip(*self._in_parts(self._both, z), strict=True)
        return np.concatenate(value), np.concatenate(slope)

    def constrain(self, z: Numbers) -> Numbers:
        return np.concatenate([shown for (shown,) in self._in_parts(lambda part: (self._shown(part),), z)])

    def first_not_finite(self, z: Numbers) -> str | None:
        from numpyro.infer.util import compute_log_probs

        with _double():
            terms, trace = compute_log_probs(self._model, (), {}, self._constrained(z))
            for name, term in terms.items():
                if not np.isfinite(term):
                    return f"site {name!r} ({kind(trace[name]['fn'])})"
        return None

    @staticmethod
    def _in_parts(function: Callable[[Numbers], tuple[Any, ...]], z: Numbers) -> Iterator[tuple[Numbers, ...]]:
        """Values of a function of draws, some draws at a time, as a model may hold its data once a draw."""
        with _double():
            for start in range(0, len(z), _MOST):
                part = z[start : start + _MOST]
                yield tuple(np.asarray(value)[: len(part)] for value in function(_padded(part)))

    def _log_joint(self, z: Any) -> Any:
        """`(D,) -> ()`, with the Jacobians."""
        from numpyro.infer.util import potential_energy

        return -potential_energy(self._model, (), {}, self._pieces(z))

    def _pieces(self, z: Any) -> dict[str, Any]:
        """The unconstrained numbers (D,) of each latent variable."""
        sizes = [int(np.prod(shape)) for shape in self._shapes.values()]
        ends = np.cumsum(sizes)
        return {
            name: z[end - size : end].reshape(shape)
            for (name, shape), size, end in zip(self._shapes.items(), sizes, ends, strict=True)
        }

    def _constrained(self, z: Any) -> dict[str, Any]:
        """`(D,) -> ` the value of each latent variable and each deterministic site, in the order of the model."""
        from numpyro.infer.util import constrain_fn

        values: dict[str, Any] = constrain_fn(self._model, (), {}, self._pieces(z), return_deterministic=True)
        return values

    @staticmethod
    def _in_order(values: dict[str, Any]) -> Any:
        import jax.numpy as jnp

        return jnp.concatenate([jnp.ravel(value) for value in values.values()])


@functools.lru_cache(maxsize=16)
def _engine(path: Path, name: str, digest: str, owner: str) -> _Numpyro:
    """Compile a model once for each state of its file, which `digest` stands for."""
    return _Numpyro(model_function(path, name, owner, _double()), owner)


def _double() -> contextlib.AbstractContextManager[Any]:
    """Within it JAX has numbers of 64 bits."""
    import jax

    name = "enable_x64"  # where it is, depends on JAX's version
    place = jax if hasattr(jax, name) else importlib.import_module("jax.experimental")
    context: contextlib.AbstractContextManager[Any] = getattr(place, name)(True)  # noqa: FBT003
    return context


def _trace(model: Callable[[], Any]) -> dict[str, Any]:
    """Run the model once, with numbers near zero in unconstrained space for its latent variables."""
    from numpyro import handlers
    from numpyro.infer import init_to_uniform

    seeded = handlers.substitute(handlers.seed(model, 0), substitute_fn=init_to_uniform)
    trace: dict[str, Any] = handlers.trace(seeded).get_trace()
    return trace


def _latent_shapes(trace: dict[str, Any], owner: str) -> dict[str, tuple[int, ...]]:
    """The unconstrained shape of each latent variable; refuses what is no density over continuous ones."""
    from numpyro.distributions import biject_to

    shapes: dict[str, tuple[int, ...]] = {}
    for name, site in trace.items():
        if site["type"] == "param":
            raise InputError(f"{owner}: {name!r} is a parameter (numpyro.param): expected sites with a prior only")
        if site["type"] == "plate" and site["args"][1] not in (None, site["args"][0]):
            total, size = site["args"]
            raise InputError(
                f"{owner}: plate {name!r} takes {size} of {total} data: expected all of them, without subsample_size"
            )
        if site["type"] != "sample" or site["is_observed"]:
            continue
        support = site["fn"].support
        if support.is_discrete:
            raise InputError(
                f"{owner}: site {name!r} is discrete ({kind(site['fn'])}): expected continuous latent variables; sum a "
                "discrete one out, or observe it"
            )
        try:
            shapes[name] = tuple(biject_to(support).inverse_shape(np.shape(site["value"])))
        except NotImplementedError as error:
            raise InputError(
                f"{owner}: site {name!r}: {reason(error)}: expected a support that biject_to knows"
            ) from None
    if not shapes:
        raise InputError(f"{owner}: the model has no latent variable: expected at least one numpyro.sample")
    return shapes


def _padded(z: Numbers) -> Numbers:
    """Draws repeated up to a number that is a power of two, so that few programs are compiled."""
    number = max(_LEAST, 1 << (len(z) - 1).bit_length())
    return np.concatenate([z, np.repeat(z[:1], number - len(z), axis=0)])


def _look(text: str, owner: str) -> Named:
    path, name = split(text, owner, _EXAMPLE)
    return Named(path, f"{path.stem}::{name}", sources.of_file(path))


open_models("numpyro", _EXAMPLE, _look, NumpyroTarget)
