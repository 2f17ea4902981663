"""Public docstrings name every parameter, describe the result and name the errors, in the modules listed here.

The rule, for each function, class and method without a leading underscore:

- every parameter has an entry in `Args:` (of a class: in `Args:` or `Attributes:`, as has every field of a dataclass or
  named tuple), or stands before the arrow of a signature in backticks, such as `x (S, B) -> (S,)`;
- a result other than None has `Returns:` or `Yields:`, or stands behind such an arrow; properties are described by
  their first line;
- an error that the body itself raises has `Raises:`.

A method that overrides one of a base class is not asked: its contract stands where it is declared.
"""

import ast
import importlib.util
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from pathlib import Path
from types import ModuleType

import pytest

import nfbench

ROOT = Path(nfbench.__file__).parent

# Folders and modules below nfbench/ that keep the rule; add a name once everything in it does.
COVERED = (
    "api",
    "evaluation",
    "executors",
    "experiments",
    "training",
)
SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises):$", re.MULTILINE)
ENTRY = re.compile(r"^ {4}\*{0,2}(\w+(?:, \*{0,2}\w+)*)(?: \([^)]*\))?:", re.MULTILINE)
SIGNATURE = re.compile(r"`([^`]*)->([^`]*)`", re.DOTALL)


def modules() -> list[str]:
    """The covered modules, by their names below the package."""
    names = [file.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") for file in ROOT.rglob("*.py")]
    return sorted(name for name in names if any(f"{name}.".startswith(f"{part}.") for part in COVERED))


def sections(docstring: str) -> dict[str, str]:
    """The Google-style sections of a docstring: title -> text."""
    pieces = SECTION.split(docstring)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


def named(docstring: str, *titles: str) -> set[str]:
    """The names that have an entry in one of these sections, or stand before the arrow of a signature in backticks."""
    parts = sections(docstring)
    entries = {name for title in titles for entry in ENTRY.findall(parts.get(title, "")) for name in entry.split(", ")}
    arrows = {word for before, _ in SIGNATURE.findall(docstring) for word in re.findall(r"\w+", before)}
    return {name.lstrip("*") for name in entries} | arrows


def parameters(function: Callable[..., object]) -> list[str]:
    """The parameters' names, but for `self` and `cls`."""
    return [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]


def raises(function: Callable[..., object]) -> bool:
    """Whether a function's own body raises an error by name; errors that it lets pass on do not count."""
    (top,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    nodes = list(ast.iter_child_nodes(top))
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Raise) and node.exc is not None:
            return True
        if not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda):
            nodes.extend(ast.iter_child_nodes(node))
    return False


def of_function(name: str, function: Callable[..., object]) -> Iterator[str]:
    """What the docstring of a function or method leaves out."""
    docstring = inspect.cleandoc(function.__doc__ or "")
    if not docstring:
        yield f"{name}: no docstring"
        return
    missing = [each for each in parameters(function) if each not in named(docstring, "Args")]
    if missing:
        yield f"{name}: Args without {', '.join(missing)}"
    parts = sections(docstring)
    silent = not {"Returns", "Yields"} & set(parts) and not SIGNATURE.search(docstring)
    if silent and inspect.signature(function).return_annotation not in (None, "None"):
        yield f"{name}: no Returns"
    if raises(function) and "Raises" not in parts:
        yield f"{name}: no Raises"


def of_class(name: str, built: type) -> Iterator[str]:
    """What the docstrings of a class and its methods leave out; an override's contract is where it is declared."""
    docstring = inspect.cleandoc(built.__doc__ or "")
    own = vars(built)
    fields = list(own.get("_fields", ()))
    if is_dataclass(built):
        fields = [field for field in own.get("__annotations__", {}) if not field.startswith("_")]
    elif inspect.isfunction(own.get("__init__")):
        fields = parameters(own["__init__"])
        if raises(own["__init__"]) and "Raises" not in sections(docstring):
            yield f"{name}: no Raises"
    missing = [field for field in fields if field not in named(docstring, "Args", "Attributes")]
    if missing:
        yield f"{name}: Args or Attributes without {', '.join(missing)}"
    inherited = {each for base in built.__mro__[1:] for each in vars(base)}
    for method, value in own.items():
        function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if inspect.isfunction(function) and not method.startswith("_") and method not in inherited:
            yield from of_function(f"{name}.{method}", function)


def left_out(module: ModuleType) -> list[str]:
    """What the docstrings of a module's public functions and classes leave out, a line each."""
    lines: list[str] = []
    for name, thing in vars(module).items():
        if name.startswith("_") or getattr(thing, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(thing):
            lines += of_class(name, thing)
        elif inspect.isfunction(thing):
            lines += of_function(name, inspect.unwrap(thing))
    return lines


@pytest.mark.parametrize("name", modules())
def test_public_docstrings_are_whole(name):
    """Every parameter has its entry, every result is described, and every error that a body raises is named."""
    assert left_out(importlib.import_module(f"nfbench.{name}")) == []


def test_every_covered_unit_exists():
    """The list names nothing that is not there."""
    names = modules()
    assert [part for part in COVERED if not any(f"{name}.".startswith(f"{part}.") for name in names)] == []


def test_what_a_docstring_leaves_out_is_seen(tmp_path):
    """The check can fail: a parameter, a result, an error, a class's field and a method's parameter are missed."""
    code = '''
import dataclasses
def f(x, y) -> int:
    """One thing.

    Args:
        x: a number.
    """
    raise ValueError(x)
def g(x) -> int:
    """`x (S, B) -> (S,)`: a sum."""
def h() -> None:
    def inner():
        raise ValueError
@dataclasses.dataclass
class C:
    """A thing."""
    field: int
    def method(self, z) -> None:
        """Do it."""
class D(C):
    def method(self, z) -> None:
        """Do it in another way."""
class E:
    """A thing.

    Args:
        x: a number.
    """
    def __init__(self, x):
        raise ValueError(x)
'''
    file = tmp_path / "trial.py"
    file.write_text(textwrap.dedent(code))
    spec = importlib.util.spec_from_file_location("trial", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert left_out(module) == [
        "f: Args without y",
        "f: no Returns",
        "f: no Raises",
        "h: no docstring",
        "C: Args or Attributes without field",
        "C.method: Args without z",
        "E: no Raises",
    ]
