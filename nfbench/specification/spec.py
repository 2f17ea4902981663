"""Spec strings: ``name:option=value,option=value``, where a value ``a|b|c`` stands for a grid.

The name of a posterior of posteriordb may stand without ``name=``: ``posteriordb:arK-arK``.
What another library computes is called ``library:name``, its options follow after commas: ``zuko:nsf,K=4,hidden=32``.
Of a target, what follows ``file:`` is a path instead, such as ``file:my_model.py``; ``pyro:``, ``numpyro:`` and
``stan:`` likewise.
"""

import itertools
import re
from dataclasses import dataclass

from nfbench.foundation.checks import brief
from nfbench.foundation.errors import InputError

_NAME = re.compile(r"[a-z][a-z0-9_-]*")
PATH = "path"  # the option that the text after ``file:`` is
_OF_FILES = ("file", "pyro", "numpyro", "stan")  # names that a path follows
_BARE = {"posteriordb": "name"}  # names whose first option may stand alone: posteriordb:arK-arK
_FORM = "expected name or name:option=value,option=value"


@dataclass(frozen=True)
class Spec:
    """A name with its options, still as text: the registry knows their types.

    Attributes:
        name: of a family or target.
        options: (key, value) in the order in which they were written.
    """

    name: str
    options: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        if self.name in _OF_FILES:
            return ":".join([self.name, *(value for _, value in self.options)])
        options = [f"{key}={value}" for key, value in self.options]
        return self.name + first_separator(self.name) * bool(options) + ",".join(options)

    def without(self, option: str) -> "Spec":
        """The spec without one option, such as a family's without K: what a curve over K is a curve of.

        >>> str(parse("nice:K=10,mixing=orthogonal").without("K"))
        'nice:mixing=orthogonal'

        Args:
            option: a key; the spec need not have it.

        Returns:
            A spec with all other options, in their order.
        """
        return Spec(self.name, tuple(pair for pair in self.options if pair[0] != option))


def first_separator(spec: str) -> str:
    """What stands between a spec and a further option: a comma after a colon, else the colon itself.

    >>> first_separator("planar"), first_separator("planar:K=8"), first_separator("zuko:nsf")
    (':', ',', ',')

    Args:
        spec: a name, or a spec with options.

    Returns:
        ``:`` or ``,``.
    """
    return "," if ":" in spec else ":"


def expand(text: str) -> list[Spec]:
    """Parse a spec string and expand its lists, the last option fastest.

    Args:
        text: such as ``planar:K=2|8``.

    >>> [str(spec) for spec in expand("planar:K=2|8")]
    ['planar:K=2', 'planar:K=8']
    >>> [str(spec) for spec in expand("gaussian")]
    ['gaussian']
    >>> [str(spec) for spec in expand("posteriordb:arK-arK")]
    ['posteriordb:name=arK-arK']
    >>> expand("zuko:nsf,K=4")
    [Spec(name='zuko:nsf', options=(('K', '4'),))]
    >>> expand("file:my_model.py")
    [Spec(name='file', options=(('path', 'my_model.py'),))]

    Returns:
        One spec for each combination of the listed values.

    Raises:
        InputError: the text is not of that form, or an option stands twice or has no value.
    """
    if not isinstance(text, str):
        raise InputError(f"spec {brief(text)}: expected text; {_FORM}")
    name, colon, tail = text.strip().partition(":")
    if not _NAME.fullmatch(name):
        raise InputError(f"spec {text!r}: {name!r} is not a name; {_FORM}")
    if not colon:
        return [Spec(name)]
    if _is_path(name, tail):
        return [Spec(name, ((PATH, path.strip()),)) for path in tail.split("|")]
    choices: dict[str, list[str]] = {}
    parts = tail.split(",")
    if name not in _BARE and _NAME.fullmatch(parts[0].strip()):
        name = f"{name}:{parts.pop(0).strip()}"
    for place, part in enumerate(parts):
        if place == 0 and name in _BARE and "=" not in part:
            part = f"{_BARE[name]}={part}"
        key, equals, value = (piece.strip() for piece in part.partition("="))
        values = [piece.strip() for piece in value.split("|")]
        if not (key and equals and all(values)):
            hint = _list_meant(parts[place - 1], parts[place:]) if choices else ""
            raise InputError(f"spec {text!r}: {part!r} is not option=value;{hint} {_FORM}")
        if key in choices:
            raise InputError(f"spec {text!r}: option {key!r} stands twice")
        choices[key] = values
    return [Spec(name, tuple(zip(choices, values, strict=True))) for values in itertools.product(*choices.values())]


def is_of_file(text: str) -> bool:
    """Whether a spec names a file, whose code is run when it is built.

    >>> is_of_file("file:my_model.py"), is_of_file("u1"), is_of_file("pyro:iaf,K=4")
    (True, False, False)

    Args:
        text: a spec.

    Returns:
        True for ``file:my_model.py`` and its like, such as ``pyro:my.py::model``.
    """
    name, _, tail = text.partition(":")
    return _is_path(name.strip(), tail)


def _is_path(name: str, tail: str) -> bool:
    """Whether what follows a name is a path; of ``pyro:iaf,K=4`` it is a family of the library."""
    return name in _OF_FILES and (name == _OF_FILES[0] or not _NAME.fullmatch(tail.partition(",")[0].strip()))


def _list_meant(option: str, rest: list[str]) -> str:
    """A question, where values follow an option after commas: of ``K=2`` and ``8`` it asks for ``'K=2|8'``."""
    values = [part.strip() for part in itertools.takewhile(lambda part: part.strip() and "=" not in part, rest)]
    return f" did you mean {'|'.join([option.strip(), *values])!r}?" if values else ""


def parse(text: str) -> Spec:
    """Parse a spec string that names exactly one thing.

    Args:
        text: such as ``nice:K=10,mixing=orthogonal``.

    >>> parse("nice:K=10,mixing=orthogonal").options
    (('K', '10'), ('mixing', 'orthogonal'))

    Returns:
        The one spec.

    Raises:
        InputError: not a spec, or a list where one value is needed.
    """
    specs = expand(text)
    if len(specs) != 1:
        raise InputError(f"spec {text!r}: names {len(specs)} things where exactly one is needed")
    return specs[0]
