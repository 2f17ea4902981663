"""The source of code that is not nfbench's: its sha256 is a part of a cell's identity; edited code makes other cells.

Of a module it is the text of its file and of the files that it imports from its own package or folder, as they were
when the module registered its factory. What is defined in a notebook or at a prompt has no file: there it is the source
of the factory and of the functions, classes and values of the session that it uses, as they are when asked for.
"""

import ast
import functools
import hashlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from nfbench.foundation.errors import InputError

_OWN = "nfbench"
_INSTALLED = ("site-packages", "dist-packages")
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_PLAIN = (int, float, complex, str, bytes, bool, type(None))


def of_module(factory: Callable[..., Any]) -> str | None:
    """The sha256 of the module that a factory is defined in, with the modules beside it that it imports.

    Args:
        factory: a registered function or class.

    Returns:
        64 hexadecimal digits; None for nfbench's own, and where there is no file.
    """
    function = _plain(factory)
    module = getattr(function, "__module__", None) or ""
    file = getattr(sys.modules.get(module), "__file__", None)
    if is_own(factory) or file is None or not Path(file).is_file():
        return None
    package = tuple(filter(None, (sys.modules[module].__package__ or "").split(".")))
    try:
        texts = {name: path.read_bytes() for name, path in _files(package, Path(file)).items()}
    except OSError:
        return None
    return _digest(texts | dict(_captured(function)))


def of_file(file: Path) -> str:
    """The sha256 of a Python file, with the files beside it that it imports.

    Args:
        file: an existing file.

    Returns:
        64 hexadecimal digits.

    Raises:
        InputError: a file cannot be read.
    """
    return of_files(_files((), file.resolve()))


def of_files(files: Mapping[str, Path]) -> str:
    """The sha256 of files of any kind.

    Args:
        files: existing ones, by names that do not depend on where they lie.

    Returns:
        64 hexadecimal digits.

    Raises:
        InputError: a file cannot be read.
    """
    try:
        return _digest({name: path.read_bytes() for name, path in files.items()})
    except OSError as error:
        raise InputError(f"{error.filename}: {error.strerror}: expected a file that can be read") from None


def of_session(factory: Callable[..., Any]) -> str:
    """The sha256 of a factory without a file, with what it uses of the session that it is defined in.

    Args:
        factory: a registered function or class.

    Returns:
        64 hexadecimal digits, of the code as it is now.
    """
    parts: dict[str, bytes] = {}
    function = _plain(factory)
    _gather(function, getattr(function, "__module__", None), parts)
    return _digest(parts)


def is_own(factory: Callable[..., Any]) -> bool:
    """Whether a factory is defined in nfbench itself.

    Args:
        factory: a registered function or class.

    Returns:
        True for a module of the package.
    """
    return (getattr(_plain(factory), "__module__", None) or "").split(".")[0] == _OWN


def _plain(factory: Callable[..., Any]) -> Any:
    """The function behind caches, partial applications and decorators that name what they wrap."""
    while isinstance(factory, functools.partial):
        factory = factory.func
    return inspect.unwrap(factory)


def _files(package: tuple[str, ...], file: Path) -> dict[str, Path]:
    """The files of a module and of those that it imports from its own package or folder, by name; "" for itself."""
    root = file.parents[len(package)] if len(package) < len(file.parents) else file.parent
    installed = any(name in root.parts for name in _INSTALLED)
    files: dict[str, Path] = {"": file}
    waiting = [(package, file)]
    while waiting:
        inside, current = waiting.pop()
        for name in _imports(current, inside):
            path = _located(root, name)
            near = name[0] == package[0] if package else not installed
            if near and name[0] != _OWN and path is not None and path not in files.values():
                files[".".join(name)] = path
                waiting.append((name if path.stem == "__init__" else name[:-1], path))
    return files


def _located(root: Path, name: tuple[str, ...]) -> Path | None:
    """The file of a module below a folder; None where it is not there."""
    place = root.joinpath(*name)
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


def _imports(file: Path, package: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The modules that a file may import, with the packages around them; `package` is the one that it lies in."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # compiled, or no Python at all
        return
    for node in ast.walk(tree):
        names: list[tuple[str, ...]] = []
        if isinstance(node, ast.Import):
            names = [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            around = package[: len(package) - node.level + 1] if node.level else ()
            base = (*around, *(node.module.split(".") if node.module else ()))
            names = [base, *((*base, alias.name) for alias in node.names)]
        for name in names:
            yield from (name[:end] for end in range(1, len(name) + 1))


def _captured(function: Any) -> Iterator[tuple[str, bytes]]:
    """The plain values that a function has from the function that made it."""
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    for name, cell in zip(names, getattr(function, "__closure__", None) or (), strict=True):
        try:
            value = _constant(cell.cell_contents)
        except ValueError:  # an empty cell
            continue
        if value is not None:
            yield f"captured {name}", value


def _gather(thing: Any, module: str | None, parts: dict[str, bytes]) -> None:
    """Add a function or class of a session to `parts`, and all of the session that it uses."""
    thing = _plain(thing) if callable(thing) else thing
    key = f"{type(thing).__name__} {getattr(thing, '__qualname__', thing)}"
    if key in parts or getattr(thing, "__module__", None) != module:
        return
    parts[key] = b""
    if isinstance(thing, type):
        for base in thing.__bases__:
            _gather(base, module, parts)
        for name, value in sorted(vars(thing).items()):
            member = getattr(value, "__func__", getattr(value, "fget", None) or value)
            _add(f"{key}.{name}", member, module, parts)
    elif isinstance(thing, FunctionType):
        parts[key] = _text(thing)
        parts |= {f"{key} {name}": value for name, value in _captured(thing)}
        for name in sorted(_names(thing.__code__) & set(thing.__globals__)):
            _add(name, thing.__globals__[name], module, parts)
        for cell in thing.__closure__ or ():
            if cell.cell_contents is not thing:
                _add("", cell.cell_contents, module, parts)


def _add(name: str, value: Any, module: str | None, parts: dict[str, bytes]) -> None:
    if (constant := _constant(value)) is not None:
        if not name.rpartition(".")[2].startswith("__"):
            parts[f"value {name}"] = constant
    elif isinstance(value, type | FunctionType):
        _gather(value, module, parts)
    elif value is not None and not isinstance(value, ModuleType):
        _gather(type(value), module, parts)
        parts[f"value {name}"] = _ADDRESS.sub("", repr(value)).encode(errors="surrogatepass")


def _constant(value: Any) -> bytes | None:
    """Numbers, texts, arrays, and lists and dictionaries of these as bytes; None for anything else."""
    if isinstance(value, _PLAIN):
        return repr(value).encode(errors="surrogatepass")
    if isinstance(value, list | tuple | set | frozenset | dict):
        flat = [part for pair in value.items() for part in pair] if isinstance(value, dict) else list(value)
        known = [_constant(part) for part in flat]
        members = [part for part in known if part is not None]
        ordered = sorted(members) if isinstance(value, set | frozenset) else members
        return type(value).__name__.encode() + b"\0".join(ordered) if len(members) == len(known) else None
    if not isinstance(value, type) and hasattr(value, "tolist") and hasattr(value, "dtype"):
        return f"{value.dtype} {value.tolist()!r}".encode()
    return None


def _names(code: CodeType) -> set[str]:
    """The global names and attributes that code and the functions inside it use."""
    return set(code.co_names).union(*(_names(part) for part in code.co_consts if isinstance(part, CodeType)))


def _text(function: FunctionType) -> bytes:
    """The source of a function; where nobody keeps it, its instructions."""
    try:
        return inspect.getsource(function).encode()
    except (OSError, TypeError):
        return _instructions(function.__code__)


def _instructions(code: CodeType) -> bytes:
    parts = [_instructions(part) if isinstance(part, CodeType) else _constant(part) or b"" for part in code.co_consts]
    return b"\0".join([code.co_code, repr((code.co_names, code.co_varnames)).encode(), *parts])


def _digest(parts: dict[str, bytes]) -> str:
    total = hashlib.sha256()
    for name, content in sorted(parts.items()):
        total.update(f"{len(name)} {len(content)} {name}".encode() + content)
    return total.hexdigest()
