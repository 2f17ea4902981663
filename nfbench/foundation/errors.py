"""Exceptions and what to say of them: `InputError` means that what was asked for cannot be done as written."""

import traceback
from collections.abc import Iterable
from pathlib import Path

_LIBRARIES = (  # whose lines are nobody's fault: nfbench's needs, and what users write their models with
    *("torch", "numpy", "numba", "pandas", "scipy", "pydantic", "safetensors", "triton"),
    *("pyro", "numpyro", "jax", "jaxlib", "bridgestan", "stanli"),
)
_LONGEST = 500  # characters of a message in a record, a table or on the terminal
_LONGEST_TRACEBACK = 20_000
_FRAMES = 60  # of a traceback, the innermost


class InputError(ValueError):
    """Input that names an unknown thing or an impossible value.

    The message is one line: the thing, its value, and what was expected. The command line prints it and exits with 2.
    """


class MissingDataError(InputError):
    """Data that are not on this machine, but could be."""


def first_line(error: BaseException) -> str:
    r"""The first line of an error's message, as text that every file and terminal takes.

    >>> first_line(ValueError("wrong\nin many ways")), first_line(ValueError())
    ('wrong', 'no message')

    Args:
        error: any.

    Returns:
        At most 500 characters; ``no message`` where there is none, or where the error fails to say it.
    """
    try:
        text = str(error)
    except Exception as fault:  # an error class of a plug-in, whose `__str__` is wrong too
        return f"no message, as its __str__ raised {type(fault).__name__}"
    line = next(iter(text.strip().splitlines()), "no message")
    return _storable(line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ...")


def reason(error: BaseException) -> str:
    """An error in one line: its type, the first line of its message, and where in somebody else's code it came from.

    Args:
        error: one that was caught, so that it has a traceback.

    Returns:
        Such as ``TypeError: unsupported operand (mine.py:12)``; the place is the innermost line of code that is neither
        nfbench's, nor Python's, nor of a library that nfbench needs, where there is one.
    """
    frames = traceback.extract_tb(error.__traceback__)
    place = foreign_place((frame.filename, frame.lineno or 0) for frame in reversed(frames))
    return f"{type(error).__name__}: {first_line(error)}" + (f" ({place})" if place else "")


def traceback_of(error: BaseException) -> str:
    """An error's whole traceback as text that every file takes, for whoever wrote the code that raised it.

    Args:
        error: one that was caught.

    Returns:
        Lines as Python prints them; of a deep recursion the innermost 60 frames.
    """
    try:
        shown = traceback.TracebackException.from_exception(error, limit=-_FRAMES)
        text = _storable("".join(shown.format()))
        half = _LONGEST_TRACEBACK // 2
        return text if len(text) <= _LONGEST_TRACEBACK else f"{text[:half]}\n...\n{text[-half:]}"
    except Exception as fault:  # what the error's class does when it is asked
        return f"no traceback, as {type(error).__name__} raised {type(fault).__name__} when asked for it"


def foreign_place(frames: Iterable[tuple[str, int]]) -> str | None:
    """The first frame of somebody else's code: a user's own, or an installed plug-in's.

    Args:
        frames: file and line of each frame, the innermost first.

    Returns:
        Such as ``mine.py:12``; None where all frames are nfbench's, Python's or of a library that nfbench needs.
    """
    ours = str(Path(__file__).parents[1])
    for file, line in frames:
        _, installed, inside = file.partition("site-packages/")
        of_library = Path(inside).parts[0] in _LIBRARIES if installed else "/lib/python" in file
        if not (of_library or file.startswith((ours, "<frozen", "<string>", "<nfbench"))):
            return _storable(f"{Path(file).name}:{line}")
    return None


def _storable(text: str) -> str:
    """The text without what UTF-8 cannot hold: half of a surrogate pair becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")
