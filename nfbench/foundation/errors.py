"""Exceptions and what to say of them: `InputError` means that what was asked for cannot be done as written."""

import traceback
from pathlib import Path

_LIBRARIES = ("torch", "numpy", "numba", "pandas", "scipy", "pydantic", "safetensors", "triton")


class InputError(ValueError):
    """Input that names an unknown thing or an impossible value.

    The message is one line: the thing, its value, and what was expected. The command line prints it and exits with 2.
    """


class MissingDataError(InputError):
    """Data that are not on this machine, but could be."""


def first_line(error: BaseException) -> str:
    r"""The first line of an error's message; a word for it where there is none.

    >>> first_line(ValueError("wrong\nin many ways")), first_line(ValueError())
    ('wrong', 'no message')

    Args:
        error: any.

    Returns:
        Type and first line of its message.
    """
    return next(iter(str(error).strip().splitlines()), "no message")


def reason(error: BaseException) -> str:
    """An error in one line: its type, the first line of its message, and where in somebody else's code it came from.

    Args:
        error: one that was caught, so that it has a traceback.

    Returns:
        Such as ``TypeError: unsupported operand (mine.py:12)``; the place is the innermost line of code that is neither
        nfbench's, nor Python's, nor of a library that nfbench needs, where there is one.
    """
    place = _place(error)
    return f"{type(error).__name__}: {first_line(error)}" + (f" ({place})" if place else "")


def _place(error: BaseException) -> str | None:
    """``file:line`` of the innermost frame of somebody else's code: a user's own, or an installed plug-in's."""
    ours = str(Path(__file__).parents[1])
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        _, installed, inside = frame.filename.partition("site-packages/")
        of_library = Path(inside).parts[0] in _LIBRARIES if installed else "/lib/python" in frame.filename
        if not (of_library or frame.filename.startswith((ours, "<frozen"))):
            return f"{Path(frame.filename).name}:{frame.lineno}"
    return None
