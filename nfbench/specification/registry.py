"""Registries: named factories with their facts, found by dropping a file in a folder or by an entry point.

A factory is a function whose signature *is* its schema: reserved parameters are supplied by the package, every other
parameter is an option with a type and a default, set in a spec string and checked by pydantic. No list is kept by hand.
"""

import difflib
import importlib
import inspect
import itertools
import pkgutil
import re
import typing
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from nfbench.foundation.errors import InputError
from nfbench.specification.spec import Spec, parse

F = TypeVar("F", bound=Callable[..., Any])

_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_DEPTH = Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class Entry:
    """One registered factory and the facts that tables, plots and documents show of it."""

    name: str
    factory: Callable[..., Any]
    label: str
    cite: str
    year: int | None
    summary: str
    options: dict[str, tuple[Any, Any]] = field(repr=False)  # option -> (type, default)

    @property
    def has_depth(self) -> bool:
        """Whether the factory takes K, the number of maps in a flow."""
        return "K" in self.options

    def variants(self) -> list[str]:
        """Spec strings (without K), one for each combination of the options that are a `Literal` choice."""
        choices = {name: typing.get_args(kind) for name, (kind, _) in self.options.items() if _is_choice(kind)}
        return [
            str(Spec(self.name, tuple(zip(choices, values, strict=True))))
            for values in itertools.product(*choices.values())
        ]


@dataclass(frozen=True)
class Choice:
    """An entry with every option given a typed value: what a spec string means."""

    entry: Entry
    options: dict[str, Any]

    def __str__(self) -> str:
        """The canonical spec: every option, defaults too, so that a changed default is a changed spec."""
        return str(Spec(self.entry.name, tuple((key, str(value)) for key, value in self.options.items())))

    @property
    def depth(self) -> int:
        """K; 0 for a family without depth."""
        return int(self.options.get("K", 0))

    @property
    def family(self) -> str:
        """The canonical spec without K: what a curve over K is a curve of."""
        options = ((key, str(value)) for key, value in self.options.items() if key != "K")
        return str(Spec(self.entry.name, tuple(options)))

    @property
    def label(self) -> str:
        """The entry's label, its ``{option}`` placeholders filled in."""
        return self.entry.label.format(**self.options)

    def build(self, **supplied: Any) -> Any:
        """Call the factory with the options and with those of `supplied` that it takes."""
        wanted = inspect.signature(self.entry.factory).parameters
        options = {"depth" if key == "K" else key: value for key, value in self.options.items()}
        return self.entry.factory(**{key: value for key, value in supplied.items() if key in wanted}, **options)


class Registry:
    """Entries of one kind, gathered from packages' modules and from an entry-point group of other packages.

    Args:
        kind: what an entry is called in messages.
        group: the entry-point group of other packages; it keeps its name wherever our own modules are.
        packages: of this package, whose modules register entries.
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
        self.kind = kind
        self._pattern = pattern
        self._group = group
        self._packages = packages
        self._reserved = reserved
        self._entries: dict[str, Entry] = {}
        self._loaded = False

    def register(self, name: str, *, label: str, cite: str, year: int | None = None) -> Callable[[F], F]:
        """Decorate a factory so that it is known by `name`.

        Raises:
            ValueError: the name is taken or malformed, an option has no default or type, the label asks for an option
                that is not there, the docstring is missing.
        """

        def decorate(factory: F) -> F:
            if not self._pattern.fullmatch(name):
                raise ValueError(f"{self.kind} name {name!r}: expected lower-case letters, digits, - and _")
            if name in self._entries:
                raise ValueError(f"{self.kind} name {name!r} is taken by {self._entries[name].factory.__module__}")
            if not factory.__doc__:
                raise ValueError(f"{self.kind} {name!r}: its factory needs a docstring; the first line is its summary")
            summary = factory.__doc__.strip().splitlines()[0]
            options = _options(f"{self.kind} {name!r}", factory, self._reserved)
            try:
                label.format(**{key: default for key, (_, default) in options.items()})
            except (LookupError, ValueError) as error:
                raise ValueError(f"{self.kind} {name!r}: label {label!r} names no option: {error}") from None
            self._entries[name] = Entry(name, factory, label, cite, year, summary, options)
            return factory

        return decorate

    def names(self) -> list[str]:
        """All known names, sorted."""
        self._load()
        return sorted(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter([self._entries[name] for name in self.names()])

    def __getitem__(self, name: str) -> Entry:
        self._load()
        if name not in self._entries:
            close = difflib.get_close_matches(name, self._entries, n=3)
            hint = f" did you mean {' or '.join(close)}?" if close else ""
            raise InputError(f"no {self.kind} named {name!r};{hint} known: {', '.join(self.names())}")
        return self._entries[name]

    def choose(self, spec: str | Spec) -> Choice:
        """Look up a spec and give its options their types.

        Raises:
            InputError: unknown name, unknown option, or a value outside its type.
        """
        spec = spec if isinstance(spec, Spec) else parse(spec)
        entry = self[spec.name]
        options = {key: default for key, (_, default) in entry.options.items()}
        for key, text in spec.options:
            if key not in entry.options:
                known = ", ".join(entry.options) or "none"
                raise InputError(f"{self.kind} {str(spec)!r}: no option {key!r}; {entry.name} takes: {known}")
            try:
                options[key] = TypeAdapter(entry.options[key][0]).validate_python(text)
            except ValidationError as error:
                reason = error.errors()[0]["msg"]
                raise InputError(f"{self.kind} {str(spec)!r}: {key}={text}: {_lower(reason)}") from None
        return Choice(entry, options)

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        for name in self._packages:
            for module in pkgutil.iter_modules(importlib.import_module(name).__path__):
                importlib.import_module(f"{name}.{module.name}")
        for point in entry_points(group=self._group):
            try:
                point.load()
            except Exception as error:  # whatever another package does wrong, this one goes on
                reason = " ".join(f"{type(error).__name__}: {error}".split())
                place = f"{self.kind} entry point {point.name!r} ({point.value})"
                warnings.warn(f"{place}: {reason}; skipped", stacklevel=2)


def _options(owner: str, factory: Callable[..., Any], reserved: tuple[str, ...]) -> dict[str, tuple[Any, Any]]:
    hints = typing.get_type_hints(factory, include_extras=True)
    options: dict[str, tuple[Any, Any]] = {}
    for key, parameter in inspect.signature(factory).parameters.items():
        if key in reserved:
            continue
        if parameter.default is inspect.Parameter.empty or key not in hints:
            raise ValueError(f"{owner}: parameter {key!r} needs a type and a default (reserved: {', '.join(reserved)})")
        options["K" if key == "depth" else key] = (_DEPTH if key == "depth" else hints[key], parameter.default)
    return options


def _is_choice(kind: Any) -> bool:
    return typing.get_origin(kind) is Literal


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


posteriors = Registry("posterior", "nfbench.posteriors", ("nfbench.posteriors.families",), reserved=("dim", "features"))
targets = Registry("target", "nfbench.targets", ("nfbench.targets.densities", "nfbench.targets.data_models"))
protocols = Registry(
    "data protocol",
    "nfbench.data",
    ("nfbench.data.sets",),
    pattern=re.compile(r"[a-z][a-z0-9_-]*(:[a-z][a-z0-9_-]*)?"),
)
posterior = posteriors.register
target = targets.register
protocol = protocols.register
