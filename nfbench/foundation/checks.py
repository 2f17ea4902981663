"""Checks of single arguments, with one wording for everybody."""

from nfbench.foundation.errors import InputError


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
