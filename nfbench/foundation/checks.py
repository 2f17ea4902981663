"""Checks of single arguments, with one wording for everybody."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from nfbench.foundation.errors import InputError
from nfbench.foundation.names import did_you_mean

M = TypeVar("M", bound=BaseModel)


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
        raise InputError(f"{owner}: {name}={value!r}: expected a whole number of at least {least}")
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
        raise InputError(f"{owner}: {where}={first['input']!r}: {reason}") from None
