"""Libraries that only some users' models need."""

import importlib
import warnings
from types import ModuleType

from nfbench.foundation.errors import InputError, first_line


def imported(owner: str, module: str, packages: str) -> ModuleType:
    """Import a library that is not one of nfbench's own needs.

    Args:
        owner: the target in messages.
        module: its name in Python.
        packages: what pip calls it, with what it needs besides.

    Returns:
        The module.

    Raises:
        InputError: it cannot be imported; the message has the command that installs it.

    >>> imported("target 'stan:my.stan'", "no_library", "no-library")
    Traceback (most recent call last):
    nfbench.foundation.errors.InputError: target 'stan:my.stan': No module named 'no_library': pip install no-library
    """
    try:
        with warnings.catch_warnings():  # Pyro changes the filters of warnings when it is imported
            return importlib.import_module(module)
    except ImportError as error:
        raise InputError(f"{owner}: {first_line(error)}: pip install {packages}") from None
