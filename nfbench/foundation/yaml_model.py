"""YAML documents read as a model, with errors that name the line."""

import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from nfbench.foundation.errors import InputError
from nfbench.foundation.files import read
from nfbench.foundation.names import did_you_mean

M = TypeVar("M", bound=BaseModel)
MOST_BYTES = 2**20  # of a YAML file
MOST_VALUES = 100_000  # of a YAML text, with every alias written out


def read_yaml(path: Path, model: type[M], overrides: Mapping[str, Any] | None = None) -> M:
    """Read a YAML file as a model.

    Args:
        path: of the file.
        model: what it should hold.
        overrides: dotted key -> value that replaces the file's.

    Returns:
        The validated model.

    Raises:
        InputError: ``file:line: key: reason`` for the first thing that is wrong.
    """
    node, data = _parsed(path)
    if not isinstance(data, dict):
        raise InputError(f"{path}:1: expected keys and values, got {type(data).__name__}")
    for key, value in (overrides or {}).items():
        _put(data, key, value)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        # A misspelt key also misses the right one; the misspelling is what helps.
        first = min(error.errors(), key=lambda details: details["type"] != "extra_forbidden")
        where = ".".join(str(part) for part in first["loc"])
        place = "--set" if _set_there(where, overrides or ()) else f"{path}:{_line(node, first['loc'])}"
        raise InputError(": ".join(part for part in (place, where, _reason(model, first)) if part)) from None


def yaml_value(text: str) -> Any:
    """The value that a YAML text stands for.

    Args:
        text: YAML of a few levels.

    Returns:
        Numbers, texts, lists and dictionaries.

    Raises:
        InputError: aliases that stand for more than `MOST_VALUES` values, or for themselves.
        yaml.YAMLError: it is not YAML.
        ValueError: a scalar of YAML's own types that Python refuses, such as month 13.

    >>> yaml_value("[1, a]")
    [1, 'a']
    """
    return _composed(text, text)[1]


def _parsed(path: Path) -> tuple[yaml.Node | None, Any]:
    """A YAML file as nodes, which know their lines, and as data."""
    try:
        node, data = _composed(path, read(path, MOST_BYTES).decode())
        _refuse_repeated_keys(path, node)
        return node, data
    except UnicodeDecodeError as error:
        raise InputError(f"cannot read {path}: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise InputError(f"{path}{line}: not YAML: {getattr(error, 'problem', None) or error}") from None
    except RecursionError:
        raise InputError(f"{path}: nested without end; expected keys, lists and values of a few levels") from None
    except InputError:
        raise
    except ValueError as error:  # a scalar of YAML's own types that Python refuses, such as month 13
        raise InputError(f"{path}: not YAML: {error}") from None


def _composed(place: Path | str, text: str) -> tuple[yaml.Node | None, Any]:
    """A YAML text as nodes and as data, which are made of the nodes, once it is known that they are not too many."""
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        _check_expanded(place, node, {})
        return node, None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def _check_expanded(place: Path | str, node: yaml.Node | None, sizes: dict[int, int | None]) -> int:
    """Count the values below a node with every alias written out; refuse too many before anything walks through them.

    Args:
        place: the file or text, for messages.
        node: what is counted.
        sizes: by node's identity what was counted before; None while a node's own values are being counted.
    """
    if node is None or isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) in sizes:
        size = sizes[id(node)]
        if size is None:
            raise InputError(f"{place}:{node.start_mark.line + 1}: nested without end: an alias that holds itself")
        return size
    sizes[id(node)] = None
    parts = node.value if isinstance(node, yaml.SequenceNode) else [part for pair in node.value for part in pair]
    size = 1 + sum(_check_expanded(place, part, sizes) for part in parts)
    if size > MOST_VALUES:
        line = node.start_mark.line + 1
        raise InputError(f"{place}:{line}: aliases that stand for {size:,} values; expected at most {MOST_VALUES:,}")
    sizes[id(node)] = size
    return size


def _set_there(where: str, overrides: Iterable[str]) -> bool:
    """Whether an override changed the place `where`, or something below or around it."""
    return any(f"{key}.".startswith(f"{where}.") or f"{where}.".startswith(f"{key}.") for key in overrides)


def _reason(model: type[BaseModel], error: ErrorDetails) -> str:
    """Pydantic's reason, with the value, or with the keys that are known where one is not."""
    if error["type"] == "extra_forbidden":
        place = _model_at(model, error["loc"][:-1])
        hint = did_you_mean(str(error["loc"][-1]), _nested_keys(place))
        return f"unknown key;{hint} known: {', '.join(place.model_fields)}"
    text = error["msg"].removeprefix("Value error, ")
    return text if isinstance(error["input"], dict) else f"{text}, got {error['input']!r}"


def _model_at(model: Any, location: tuple[int | str, ...]) -> type[BaseModel]:
    """The model of what lies at `location` below `model`: fields by name, values of a mapping by any key."""
    for part in location:
        model = model.model_fields[part].annotation if hasattr(model, "model_fields") else typing.get_args(model)[-1]
        model = _without_none(model)
    return cast(type[BaseModel], model)


def _nested_keys(model: type[BaseModel]) -> Iterator[str]:
    """The keys of a model, and with dots those of the models below it."""
    for name, field in model.model_fields.items():
        yield name
        kind = _without_none(field.annotation)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from (f"{name}.{key}" for key in _nested_keys(kind))


def _without_none(kind: Any) -> Any:
    """A type, of ``X | None`` the X."""
    arms = typing.get_args(kind)
    return next(arm for arm in arms if arm is not type(None)) if type(None) in arms else kind


def _refuse_repeated_keys(path: Path, node: yaml.Node | None) -> None:
    """YAML keeps the last of two equal keys without a word."""
    if isinstance(node, yaml.SequenceNode):
        for child in node.value:
            _refuse_repeated_keys(path, child)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, child in node.value:
            if str(key.value) in seen:
                raise InputError(f"{path}:{key.start_mark.line + 1}: key {key.value!r} stands twice")
            seen.add(str(key.value))
            _refuse_repeated_keys(path, child)


def _put(data: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    for part in path:
        child = data.get(part)
        if child is None:
            child = data[part] = {}
        if not isinstance(child, dict):
            raise InputError(f"--set {key}: {part!r} has no keys below it")
        data = child
    data[last] = value


def _line(node: yaml.Node | None, location: tuple[int | str, ...]) -> int:
    """The line (from 1) of the deepest part of `location` that the file has."""
    line = 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            pair = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line
