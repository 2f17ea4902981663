"""Checks of single arguments, with one wording for everybody."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from nfbench.foundation.errors import InputError
from nfbench.foundation.names import did_you_mean

M = TypeVar("M", bound=BaseModel)
_LONGEST = 80  # characters of a value in a message


def brief(value: object) -> str:
    """A value as a message shows it: its `repr` in one line, cut off after 80 characters.

    Args:
        value: any.

    Returns:
        Text without line ends.

    >>> brief([1,  2]), brief("a" * 100)[-5:]
    ('[1, 2]', 'a ...')
    """
    try:
        text = " ".join(repr(value).split())
    except Exception:  # a user's class, whose `__repr__` is wrong
        text = f"a {type(value).__name__}"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


def instance(owner: str, name: str, value: object, kinds: type | tuple[type, ...], expected: str) -> None:
    """Refuse a value of another type.

    Args:
        owner: who asks, the first word of the message.
        name: of the argument.
        value: what came.
        kinds: the types that are allowed.
        expected: these types in words.

    Raises:
        InputError: another type.

    >>> instance("results", "root", "results", str, "a path")
    """
    if not isinstance(value, kinds):
        raise InputError(f"{owner}: {name}={brief(value)}: expected {expected}")


def function(owner: str, name: str, value: object) -> None:
    """Refuse what is neither None nor a function.

    Args:
        owner: who asks, the first word of the message.
        name: of the argument.
        value: what came.

    Raises:
        InputError: it cannot be called.
    """
    if value is not None and not callable(value):
        raise InputError(f"{owner}: {name}={brief(value)}: expected a function, or None")


def whole_number(owner: str, name: str, value: object, least: int = 0) -> int:
    """The value, if it is a whole number that is large enough.

    Args:
        owner: who asks, the first word of the message.
        name: of the argument.
        value: what came.
        least: the smallest value that is allowed.

    Returns:
        The value.

    Raises:
        InputError: another type (True and False are no numbers here), or a smaller number.

    >>> whole_number("posterior", "dim", 2, least=1)
    2
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InputError(f"{owner}: {name}={brief(value)}: expected a whole number of at least {least}")
    return value


def settings(owner: str, model: type[M], defaults: Mapping[str, Any], changes: Mapping[str, Any]) -> M:
    """A configuration from keyword arguments.

    Args:
        owner: who asks, the first word of the message.
        model: of the configuration.
        defaults: its fields where `changes` says nothing.
        changes: what a user gave; types are taken strictly, so that ``"10"`` is no number.

    Returns:
        The configuration.

    Raises:
        InputError: a field that there is not, or a value outside its range; the message names it.
    """
    fields = model.model_fields
    for name in changes:
        if name not in fields:
            raise InputError(f"{owner}: no setting {name!r};{did_you_mean(name, fields)} known: {', '.join(fields)}")
    try:
        return model.model_validate({**defaults, **changes}, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "settings"
        reason = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{owner}: {where}={brief(first['input'])}: {reason}") from None
