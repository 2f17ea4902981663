"""Registries: named factories with their facts, found by dropping a file in a folder or by an entry point.

A factory is a function whose signature *is* its schema: reserved parameters are supplied by the package, every other
parameter is an option with a type and a default, set in a spec string and checked by pydantic. No list is kept by hand.

A module registers its factory with `register_posterior`, `register_target` or `register_data`.
"""

import functools
import inspect
import re
import sys
import typing
from collections.abc import Callable
from types import NoneType
from typing import Annotated, Any, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from nfbench.foundation.checks import brief, instance
from nfbench.foundation.deprecated import moved
from nfbench.foundation.errors import InputError
from nfbench.foundation.libraries import Library
from nfbench.foundation.names import did_you_mean
from nfbench.specification.choices import KINDS, Kind
from nfbench.specification.entry import Choice, Declared, Entry, Fact
from nfbench.specification.named import Named
from nfbench.specification.registrations import GROUP, RESERVED
from nfbench.specification.sources import of_module
from nfbench.specification.spec import PATH, Spec, parse

F = TypeVar("F", bound=Callable[..., Any])

_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_OF_TWO = re.compile(r"[a-z][a-z0-9_-]*(:[a-z][a-z0-9_-]*)?")  # data and how they become observations; library:family
_DEPTH = Annotated[int, Field(ge=0)]


class Registry(Named[Entry]):
    """Factories of one kind.

    Args:
        kind: what an entry is called in messages.
        group: the entry-point group of other distributions.
        packages: of nfbench, whose modules register entries.
        reserved: parameters of a factory that are no options.
        pattern: of a name.
    """

    def __init__(
        self,
        kind: str,
        group: str,
        packages: tuple[str, ...],
        reserved: tuple[str, ...] = (),
        pattern: re.Pattern[str] = _NAME,
    ) -> None:
        super().__init__(kind, packages, group)
        self._pattern = pattern
        self._reserved = reserved
        self._of_files: dict[str, Callable[[str], Entry]] = {}
        self._examples: dict[str, str] = {}

    def open_files(self, name: str, entry: Callable[[str], Entry], example: str) -> None:
        """Make specs known that name a file, such as ``file:my_model.py``.

        Args:
            name: before the colon.
            entry: what makes an entry of a path, with the file's sha256.
            example: a right spec.
        """
        self._of_files[name], self._examples[name] = entry, example

    def of_files(self) -> list[str]:
        """Right specs that name a file.

        Returns:
            An example of each kind, sorted by its name.
        """
        self.names()
        return [self._examples[name] for name in sorted(self._examples)]

    def register(
        self,
        name: str,
        *,
        label: str,
        cite: str,
        year: int | None = None,
        origin: Any = None,
        declared: Declared | None = None,
        library: Library | None = None,
    ) -> Callable[[F], F]:
        """Decorate a factory so that it is known by `name`.

        Args:
            name: lower-case letters, digits, ``-`` and ``_``.
            label: for people; ``{option}`` stands for an option's value.
            cite: who published it.
            year: of the publication.
            origin: of data, a `nfbench.data.source.Source`.
            declared: what a posterior family says of itself.
            library: what computes it, where that is not nfbench or the plug-in itself.

        Returns:
            A decorator that gives the factory back as it is.

        Raises:
            InputError: another factory has the name, or the name is malformed, an option has no default or type, the
                label asks for an option that is not there, the docstring is missing.
        """

        def decorate(factory: F) -> F:
            owner = f"{self.kind} {brief(name)}"
            for field, value in (("name", name), ("label", label), ("cite", cite)):
                instance(owner, field, value, str, "text")
            instance(owner, "year", year, (int, NoneType), "a year, or None")
            if not (callable(factory) and hasattr(factory, "__name__")):
                raise InputError(f"{owner}: factory={brief(factory)}: expected a function")
            if not self._pattern.fullmatch(name):
                raise InputError(f"{self.kind} name {name!r}: expected lower-case letters, digits, - and _")
            options = _options(f"{self.kind} {name!r}", factory, self._reserved)
            try:
                label.format(**{key: default for key, (_, default) in options.items()})
            except (LookupError, ValueError) as error:
                raise InputError(f"{self.kind} {name!r}: label {label!r} names no option: {error}") from None
            summary = self._summary(name, label, factory)
            source = of_module(factory)
            self.add(Entry(name, factory, label, cite, year, summary, options, origin, declared, source, library))
            return factory

        return decorate

    def _summary(self, name: str, label: str, factory: Callable[..., Any]) -> str:
        if factory.__doc__:
            return factory.__doc__.strip().splitlines()[0]
        if sys.flags.optimize >= 2:
            return label
        raise InputError(f"{self.kind} {name!r}: its factory needs a docstring; the first line is its summary")

    def choose(self, spec: str | Spec) -> Choice:
        """Look up a spec and give its options their types.

        Args:
            spec: such as ``planar:K=8``, of exactly one choice.

        Returns:
            The entry with a typed value for every option.

        Raises:
            InputError: unknown name, unknown option, or a value outside its type.
        """
        spec = spec if isinstance(spec, Spec) else parse(spec)
        self._load()
        if spec.name in self._of_files:
            return Choice(self._of_files[spec.name](dict(spec.options).get(PATH, "")), dict(spec.options))
        entry = self[spec.name]
        options = {key: default for key, (_, default) in entry.options.items()}
        for key, text in spec.options:
            if key not in entry.options:
                known = ", ".join(entry.options) or "none"
                hint = did_you_mean(key, entry.options)
                raise InputError(f"{self.kind} {str(spec)!r}: no option {key!r};{hint} {entry.name} takes: {known}")
            try:
                options[key] = TypeAdapter(entry.options[key][0]).validate_python(text)
            except ValidationError as error:
                told = [one["msg"].removeprefix("Value error, ") for one in error.errors()]  # one an alternative
                reasons = [text[:1].lower() + text[1:] for text in told]
                raise InputError(f"{self.kind} {str(spec)!r}: {key}={text}: {' or '.join(reasons)}") from None
        return Choice(entry, options)


def _options(owner: str, factory: Callable[..., Any], reserved: tuple[str, ...]) -> dict[str, tuple[Any, Any]]:
    hints = typing.get_type_hints(factory, include_extras=True)
    options: dict[str, tuple[Any, Any]] = {}
    for key, parameter in inspect.signature(factory).parameters.items():
        if key in reserved:
            continue
        if parameter.default is inspect.Parameter.empty or key not in hints:
            raise InputError(f"{owner}: parameter {key!r} needs a type and a default (reserved: {', '.join(reserved)})")
        options["K" if key == "depth" else key] = (_DEPTH if key == "depth" else hints[key], parameter.default)
    return options


posteriors = Registry(
    "posterior",
    GROUP,
    ("nfbench.posteriors.families", "nfbench.posteriors.libraries"),
    reserved=RESERVED,
    pattern=_OF_TWO,
)
targets = Registry(
    "target",
    "nfbench.targets",
    tuple(f"nfbench.targets.{room}" for room in ("densities", "data_models", "own_models", "posteriordb")),
)
protocols = Registry("data protocol", "nfbench.data", ("nfbench.data.sets",), pattern=_OF_TWO)


def sources_of(posterior: str | None, target: str | None) -> dict[str, str] | None:
    """The sources of a posterior and a target that are not nfbench's own.

    Args:
        posterior: spec; None where there is none.
        target: spec; None where there is none.

    Returns:
        By ``posterior`` and ``target`` the sha256 of the code; None where both are nfbench's own.

    >>> sources_of("planar:K=2", "u1") is None
    True

    Raises:
        InputError: no such posterior or target.
    """
    named = (("posterior", posteriors, posterior), ("target", targets, target))
    codes = {kind: registry.choose(spec).entry.source for kind, registry, spec in named if spec is not None}
    return {kind: code for kind, code in codes.items() if code is not None} or None


def register_posterior(
    name: str,
    *,
    label: str,
    cite: str,
    year: int | None = None,
    kind: Kind = "other",
    volume_preserving: Fact = False,
    linear: Fact = False,
    autoregressive: Fact = False,
    library: Library | None = None,
) -> Callable[[F], F]:
    """Decorate the factory of a posterior family, ``(dim, options) -> Flow`` or ``-> Posterior``.

    Args:
        name: by which specs call it.
        label: for tables and plots; ``{option}`` stands for an option's value.
        cite: who published it, and where in the publication it stands.
        year: of the publication.
        kind: the group in tables, one of `nfbench.specification.choices.KINDS`.
        volume_preserving: whether every chain of the family's maps has ln|det| = 0. This and the following facts are
            booleans, or functions of the options' values by name that return one; `nfbench verify` proves them.
        linear: whether z is an affine function of the noise.
        autoregressive: whether the Jacobian of one map is triangular, in some order of its rows and of its columns.
        library: what computes the family, where that is an optional library; the name is then ``library:family``.

    Returns:
        A decorator that gives the factory back as it is.

    Raises:
        ValueError: `kind` is not in the list; or as `Registry.register`.
    """
    if kind not in KINDS:
        raise InputError(f"posterior {name!r}: kind={brief(kind)}: expected one of {', '.join(KINDS)}")
    declared = Declared(kind, volume_preserving, linear, autoregressive)
    return posteriors.register(name, label=label, cite=cite, year=year, declared=declared, library=library)


def register_target(name: str, *, label: str, cite: str, year: int | None = None) -> Callable[[F], F]:
    """Decorate the factory of a target, ``(options) -> Target``.

    Args:
        name: by which specs call it.
        label: for tables and plots; ``{option}`` stands for an option's value.
        cite: who published it.
        year: of the publication.

    Returns:
        A decorator that gives the factory back as it is.

    Raises:
        InputError: as `Registry.register`.
    """
    return targets.register(name, label=label, cite=cite, year=year)


def register_data(
    name: str, origin: Any = None, *, label: str, cite: str, year: int | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate what makes the observations of a data protocol, ``(options) -> Observations``, once a process.

    Args:
        name: as in ``mnist:dynamic``.
        origin: a `nfbench.data.source.Source`: the files it is made of; None where nobody has said.
        label: for people.
        cite: who published the data.
        year: of the publication.

    Returns:
        A decorator that gives the function with a cache around it.

    Raises:
        InputError: as `Registry.register`.
    """
    register = protocols.register(name, label=label, cite=cite, year=year, origin=origin)
    return lambda make: register(functools.cache(make))


_OLD_NAMES = {"posterior": "posterior", "target": "target", "protocol": "data"}
__getattr__ = moved(__name__, {old: f"nfbench.register_{new}" for old, new in _OLD_NAMES.items()})
