"""Python files of users, run once for each state of their code."""

import contextlib
import functools
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from nfbench.foundation.checks import brief
from nfbench.foundation.errors import InputError, reason
from nfbench.foundation.names import did_you_mean
from nfbench.specification import sources


def public_names(
    path: Path, owner: str, around: contextlib.AbstractContextManager[Any] | None = None
) -> dict[str, Any]:
    """Run a file as a module, unless it has been run as it is now.

    Args:
        path: of an existing file.
        owner: the target in messages.
        around: entered while the file runs; None for nothing.

    Returns:
        Its names that do not begin with an underscore, with their values.

    Raises:
        InputError: the file raised an error.
    """
    digest = sources.of_file(path)
    try:
        with contextlib.nullcontext() if around is None else around:
            return dict(_module(path, digest))
    except (Exception, SystemExit) as error:  # whatever the user's code raises
        raise InputError(f"{owner}: running the file: {reason(error)}") from error


def split(text: str, owner: str, example: str) -> tuple[Path, str]:
    """The file and the name that a spec such as ``pyro:my.py::model`` names.

    Args:
        text: after the first colon.
        owner: the target in messages.
        example: a right spec, for messages.

    Returns:
        The absolute path of an existing file, and the name.

    Raises:
        InputError: no such form, or no such file.
    """
    file, colons, name = text.rpartition("::")
    if not (colons and file.strip() and name.strip().isidentifier()):
        raise InputError(f"{owner}: {text!r} names no function of a file: expected {example}")
    return existing(file, owner, f"a Python file, as in {example}"), name.strip()


def existing(file: str | Path, owner: str, expected: str) -> Path:
    """The absolute path of a file that must be there.

    Args:
        file: as a user wrote it; ``~`` is the home folder.
        owner: the target in messages.
        expected: what the file should be, in messages.

    Returns:
        The path.

    Raises:
        InputError: there is no such file.
    """
    path = Path(str(file).strip()).expanduser().resolve()
    if not path.is_file():
        raise InputError(f"{owner}: no file {path}: expected {expected}")
    return path


def model_function(
    path: Path, name: str, owner: str, around: contextlib.AbstractContextManager[Any] | None = None
) -> Callable[[], Any]:
    """The function of a file that is a probabilistic program with its data inside.

    Args:
        path: of an existing file, which is run.
        name: of the function.
        owner: the target in messages.
        around: entered while the file runs; None for nothing.

    Returns:
        The function.

    Raises:
        InputError: the file raised an error, has no such function, or the function needs arguments.
    """
    names = public_names(path, owner, around)
    if name not in names:
        functions = [key for key, value in names.items() if inspect.isfunction(value)]
        hint = did_you_mean(name, functions)
        raise InputError(f"{owner}: {path.name} has no {name!r};{hint} its functions: {', '.join(functions) or 'none'}")
    return without_arguments(names[name], f"{owner}: {name}")


def without_arguments(model: Any, subject: str) -> Callable[[], Any]:
    """Refuse what is no function that can be called without arguments.

    Args:
        model: what a user named or passed.
        subject: what it is called in messages.

    Returns:
        The model.

    Raises:
        InputError: it is no function, or needs arguments.
    """
    if not callable(model) or isinstance(model, type):
        raise InputError(f"{subject} is {brief(model)}: expected a function, the model")
    empty = inspect.Parameter.empty
    fixed = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    try:
        parameters = inspect.signature(model).parameters.values()
    except (TypeError, ValueError):  # of a callable that says nothing of its arguments
        return cast("Callable[[], Any]", model)
    missing = [each.name for each in parameters if each.default is empty and each.kind not in fixed]
    if missing:
        raise InputError(f"{subject} needs {', '.join(missing)}: expected a model without arguments, its data inside")
    return cast("Callable[[], Any]", model)


@functools.lru_cache(maxsize=64)
def _module(path: Path, digest: str) -> dict[str, Any]:
    """Run a file once for each state of its code, which `digest` stands for."""
    name = f"nfbench_model_{digest[:16]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path.name} is no Python file: expected a name that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return {key: value for key, value in vars(module).items() if not key.startswith("_")}
