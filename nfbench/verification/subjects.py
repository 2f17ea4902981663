"""Subjects from what a user names: a spec of the registry, a flow in a file, or a class or factory at hand."""

import inspect
import runpy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from nfbench.foundation.environment import check_device
from nfbench.foundation.errors import InputError, reason
from nfbench.foundation.names import unknown
from nfbench.foundation.randomness import seeded
from nfbench.posteriors.build import posterior
from nfbench.posteriors.contract import Flow, Posterior
from nfbench.posteriors.flow_posterior import FlowPosterior
from nfbench.specification.registry import posteriors
from nfbench.specification.spec import Spec, expand, parse
from nfbench.verification.subject import Reference, Subject, file_and_name

DEPTH = 4  # K of a flow in a file, where none is said
Factory = Callable[..., Flow | Posterior]


def subject(
    named: str | Factory,
    dim: int = 2,
    depth: int | None = None,
    *,
    dtype: str = "float32",
    device: str = "cpu",
    reference: Reference | None = None,
) -> Subject:
    """Find what is to be verified.

    Args:
        named: a spec such as ``planar:K=8``, ``file.py:flow``, or a class or factory that takes ``(dim, depth)``.
        dim: D.
        depth: K in place of the spec's; None: as the spec says, or 4 for what has no spec.
        dtype: precision of trainings, which is compared with float64.
        device: of torch.
        reference: an oracle in plain Python, (z_0, theta, weights) -> (z_K, ln|det|).

    Returns:
        The subject.

    Raises:
        InputError: an unknown spec, file, name, dtype or device, a depth for a family that has none, or a factory that
            returns neither a `Flow` nor a `Posterior`.
    """
    if dtype not in ("float32", "float64"):
        raise unknown("dtype", dtype, ["float32", "float64"])
    rest: dict[str, Any] = {
        "dim": dim,
        "dtype": getattr(torch, dtype),
        "device": check_device(device),
        "reference": reference,
    }
    if not isinstance(named, str):
        name = getattr(named, "__name__", type(named).__name__)
        return _of_factory(name, named, depth, (f"# {name}: your class or factory",), name, rest)
    if place := file_and_name(named):
        file, name = place
        return _of_factory(
            named, _load(file, name), depth, (f"import runpy\n{name} = runpy.run_path({file!r})[{name!r}]",), name, rest
        )
    return _of_spec(named, depth, rest)


def every(*, libraries: bool = False) -> list[str]:
    """The specs of all registered families, one for each variant.

    Args:
        libraries: those that other libraries compute too, as far as these are installed.

    Returns:
        Specs without K, which is then the family's default.
    """
    chosen = [entry for entry in posteriors if entry.library is None or (libraries and entry.installed)]
    return [variant for entry in chosen for variant in entry.variants()]


def expanded(text: str) -> list[str]:
    """The specs that a text with lists names.

    >>> expanded("planar:K=2|8"), expanded("my.py:flow")
    (['planar:K=2', 'planar:K=8'], ['my.py:flow'])

    Args:
        text: as the user wrote it.

    Returns:
        One text for each.
    """
    return [text] if file_and_name(text) else [str(spec) for spec in expand(text)]


def _of_spec(text: str, depth: int | None, rest: dict[str, Any]) -> Subject:
    spec = parse(text)
    entry = posteriors.choose(spec).entry
    if depth is not None and not entry.has_depth:
        raise InputError(f"verify {text!r}: depth={depth}: the family has no depth; expected none")
    plain = spec.without("K")

    def at(depth: int) -> Spec:
        return Spec(spec.name, (("K", str(depth)), *plain.options)) if entry.has_depth else plain

    def make(dim: int, depth: int, features: int | None, points: int, seed: int) -> Posterior:
        return posterior(at(depth), dim, features, points=points, seed=seed)

    def code(dim: int, depth: int) -> tuple[str, ...]:
        return "from nfbench import posterior", f'q = posterior("{at(depth)}", {dim}, dtype=torch.float64)'

    chosen = posteriors.choose(at(posteriors.choose(spec).depth if depth is None else depth))
    found = Subject(
        name=text,
        make=make,
        code=code,
        depth=chosen.depth,
        has_depth=entry.has_depth,
        facts=lambda depth: posteriors.choose(at(depth)).facts,
        **rest,
    )
    return _with_features(found, entry.factory)


def _of_factory(
    name: str, factory: Factory, depth: int | None, imports: tuple[str, ...], called: str, rest: dict[str, Any]
) -> Subject:
    parameters = inspect.signature(factory).parameters
    has_depth = "depth" in parameters or len(parameters) >= 2
    if depth is not None and not has_depth:
        raise InputError(f"verify {name!r}: depth={depth}: {called} takes no depth; expected none")

    def arguments(dim: int, depth: int, features: int | None) -> tuple[tuple[int, ...], dict[str, Any]]:
        wanted = {"features": features} if "features" in parameters else {}
        return ((dim, depth) if has_depth else (dim,)), wanted

    def make(dim: int, depth: int, features: int | None, points: int, seed: int) -> Posterior:
        positional, named = arguments(dim, depth, features)
        with seeded(seed, "posterior"):
            try:
                built = factory(*positional, **named)
            except (TypeError, AttributeError, RuntimeError) as error:
                raise InputError(f"verify {name!r}: {called}{positional} failed: {reason(error)}") from error
            if isinstance(built, Flow):
                return FlowPosterior(built, features, points=points)
        if not isinstance(built, Posterior):
            raise InputError(f"verify {name!r}: {called} gave {type(built).__name__}; expected a Flow or a Posterior")
        return built

    def code(dim: int, depth: int) -> tuple[str, ...]:
        positional, _ = arguments(dim, depth, None)
        made = f"{called}({', '.join(map(str, positional))})"
        flow = isinstance(make(dim, depth, None, 1, 0), FlowPosterior)
        posterior_line = f"q = FlowPosterior({made}).double()" if flow else f"q = {made}.double()"
        known = ("from nfbench.posteriors.flow_posterior import FlowPosterior",) if flow else ()
        seed = (
            "from nfbench.foundation.randomness import seeded",
            'with seeded(0, "posterior"):',
            f"    {posterior_line}",
        )
        return *imports, *known, *seed

    entry = next((entry for entry in posteriors if entry.factory is factory), None)
    declared = entry.declared if entry else getattr(factory, "declared", None)
    found = Subject(
        name=name,
        make=make,
        code=code,
        depth=(DEPTH if depth is None else depth) if has_depth else 0,
        has_depth=has_depth,
        facts=(lambda depth: declared.facts({"K": depth}) if declared else {}),
        **rest,
    )
    return _with_features(found, factory)


def _with_features(found: Subject, factory: Factory) -> Subject:
    """The subject, which is built once to see whether that can be done, and whether it can be amortized."""
    flow = isinstance(found.build(), FlowPosterior)
    return replace(found, takes_features=flow or "features" in inspect.signature(factory).parameters)


def _load(file: str, name: str) -> Factory:
    if not Path(file).is_file():
        raise InputError(f"verify: no file {file!r}; expected file.py:name of a class or factory")
    try:
        names = runpy.run_path(file)
    except Exception as error:
        raise InputError(f"verify: {file!r} cannot be run: {reason(error)}") from error
    if name not in names:
        raise unknown(
            "class or factory", name, [key for key in names if not key.startswith("_")], place=f" in {file!r}"
        )
    factory = names[name]
    if not callable(factory):
        raise InputError(f"verify: {name!r} of {file!r} is a {type(factory).__name__}; expected a class or factory")
    return factory  # type: ignore[no-any-return]
