"""What is registered: a factory with its facts, and an entry whose options have values."""

import inspect
import itertools
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from nfbench.foundation.libraries import Library
from nfbench.specification import sources
from nfbench.specification.choices import Kind
from nfbench.specification.spec import Spec

Fact = bool | Callable[[Mapping[str, Any]], bool]
"""Whether something holds: for all options, or a function of the options' values by name, K among them."""


@dataclass(frozen=True)
class Declared:
    """What a posterior family says of itself: its group in tables, and facts that `nfbench verify` proves.

    Attributes:
        kind: the group.
        volume_preserving: every chain of its maps has ln|det| = 0.
        linear: z is an affine function of the noise.
        autoregressive: the Jacobian of one map is triangular, in some order of its rows and of its columns.
    """

    kind: Kind = "other"
    volume_preserving: Fact = False
    linear: Fact = False
    autoregressive: Fact = False

    def facts(self, options: Mapping[str, Any]) -> dict[str, bool]:
        """Decide every fact for options.

        >>> Declared(linear=True, volume_preserving=lambda options: options["K"] == 0).facts({"K": 2})
        {'volume_preserving': False, 'linear': True, 'autoregressive': False}

        Args:
            options: a value for every option, by name.

        Returns:
            Fact -> whether it is declared.
        """
        declared = {fact.name: getattr(self, fact.name) for fact in fields(self) if fact.name != "kind"}
        return {name: bool(fact(options) if callable(fact) else fact) for name, fact in declared.items()}


@dataclass(frozen=True)
class Entry:
    """One registered factory and the facts that tables, plots and documents show of it.

    Attributes:
        name: by which specs call it.
        factory: what makes the thing.
        label: for people; ``{option}`` stands for an option's value.
        cite: who published it, and where in the publication it stands.
        year: of the publication.
        summary: the first line of the factory's docstring; the label where Python has dropped docstrings (``-OO``).
        options: option -> (type, default).
        origin: where data come from, a `nfbench.data.source.Source`; None for everything else.
        declared: what a posterior family says of itself; None for everything else.
        module_source: sha256 of the module that the factory is from; None for nfbench's own, and in a notebook.
        library: what computes it, where that is not nfbench or the plug-in itself; it may not be installed.
    """

    name: str
    factory: Callable[..., Any]
    label: str
    cite: str
    year: int | None
    summary: str
    options: dict[str, tuple[Any, Any]] = field(repr=False)
    origin: Any = field(default=None, repr=False)
    declared: Declared | None = field(default=None, repr=False)
    module_source: str | None = field(default=None, repr=False)
    library: Library | None = field(default=None, repr=False)

    @property
    def made_by(self) -> Callable[..., Any]:
        """The factory, by whose module and name a repeated registration is known."""
        return self.factory

    @property
    def source(self) -> str | None:
        """The sha256 of the code behind the factory, a part of a cell's identity; None for nfbench's own."""
        if self.module_source is not None or sources.is_own(self.factory):
            return self.module_source
        return sources.of_session(self.factory)

    @property
    def installed(self) -> bool:
        """Whether it can be built here: it needs no library, or one that is installed."""
        return self.library is None or self.library.installed

    @property
    def checked_library(self) -> str | None:
        """The library that computes it, with its version; None where nfbench or the plug-in itself does.

        Raises:
            InputError: the library is not installed.
        """
        if self.library is not None:
            self.library.check(self.name)
        return None if self.library is None else str(self.library)

    @property
    def has_depth(self) -> bool:
        """Whether the factory takes K, the number of maps in a flow."""
        return "K" in self.options

    def variants(self) -> list[str]:
        """Spec strings (without K), one for each combination of the options that are a `Literal` choice.

        Returns:
            One at least.
        """
        choices = {
            name: typing.get_args(kind)
            for name, (kind, _) in self.options.items()
            if typing.get_origin(kind) is Literal
        }
        return [
            str(Spec(self.name, tuple(zip(choices, values, strict=True))))
            for values in itertools.product(*choices.values())
        ]


@dataclass(frozen=True)
class Choice:
    """An entry with every option given a typed value: what a spec string means.

    Attributes:
        entry: what was chosen.
        options: a typed value for every option.
    """

    entry: Entry
    options: dict[str, Any]

    @property
    def spec(self) -> Spec:
        """The canonical spec: every option, defaults too, so that a changed default is a changed spec."""
        return Spec(self.entry.name, tuple((key, str(value)) for key, value in self.options.items()))

    def __str__(self) -> str:
        """The canonical spec as text."""
        return str(self.spec)

    @property
    def depth(self) -> int:
        """K; 0 for a family without depth."""
        return int(self.options.get("K", 0))

    @property
    def family(self) -> str:
        """The canonical spec without K: what a curve over K is a curve of."""
        return str(self.spec.without("K"))

    @property
    def facts(self) -> dict[str, bool]:
        """The declared facts that hold with these options, by name; none for what is not a posterior family."""
        return self.entry.declared.facts(self.options) if self.entry.declared else {}

    @property
    def label(self) -> str:
        """The entry's label, its ``{option}`` placeholders filled in; of a library, with its name and version."""
        label = self.entry.label.format(**self.options)
        return f"{label}, {self.entry.library}" if self.entry.library else label

    def build(self, **supplied: Any) -> Any:
        """Call the factory with the options and with those of `supplied` that it takes.

        Args:
            supplied: reserved parameters, such as `dim`.

        Returns:
            What the factory makes.
        """
        wanted = inspect.signature(self.entry.factory).parameters
        options = {"depth" if key == "K" else key: value for key, value in self.options.items()}
        return self.entry.factory(**{key: value for key, value in supplied.items() if key in wanted}, **options)
