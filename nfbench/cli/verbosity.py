"""The options ``--quiet`` and ``--verbose``, which every command that runs or shows something has."""

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from nfbench.foundation.errors import InputError
from nfbench.foundation.terminal import set_verbosity

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but results, warnings and errors.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more: plans, protocols, notes, whole tables.")]


def with_verbosity(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command with the two options beside its own.

    Args:
        command: a function that typer makes a command of.

    Returns:
        A function that sets how much is said, then does what `command` does.
    """

    @functools.wraps(command)
    def wrapped(*args: Any, quiet: bool, verbose: bool, **options: Any) -> Any:
        if quiet and verbose:
            raise InputError("--quiet and --verbose: expected one of them")
        set_verbosity(-1 if quiet else 1 if verbose else 0)
        return command(*args, **options)

    signature = inspect.signature(command, eval_str=True)
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
        for name, kind in (("quiet", Quiet), ("verbose", Verbose))
    ]
    wrapped.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *more])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {name: each.annotation for name, each in wrapped.__signature__.parameters.items()}  # type: ignore[attr-defined]
    return wrapped
