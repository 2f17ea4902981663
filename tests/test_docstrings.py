"""Public docstrings name every parameter, describe the result and name the errors, in the modules listed here.

The rule, for each function, class and method without a leading underscore:

- every parameter has an entry in `Args:` (of a class: in `Args:` or `Attributes:`, as has every field of a dataclass or
  named tuple), or stands before the arrow of a signature in backticks, such as `x (S, B) -> (S,)`;
- a result other than None has `Returns:` or `Yields:`, or stands behind such an arrow; properties are described by
  their first line;
- an error that the body itself raises has `Raises:`.

A method that overrides one of a base class is not asked, as its contract stands where it is declared. Fields of
pydantic models are not checked: comments beside them describe those that need it. Functions that numba or Triton
compiles are asked as all others; numba's intrinsics and functions with a cache are not. In neither list are the command
line's commands, whose options have their help beside them, and modules that are still to be described.
"""

import ast
import importlib.util
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import is_dataclass
from pathlib import Path
from types import ModuleType

import pytest

import nfbench

ROOT = Path(nfbench.__file__).parent

# Folders and modules below nfbench/ that keep the whole rule; add a name once everything in it does.
COVERED = (
    "analysis",
    "api",
    "cli.app",
    "data",
    "evaluation",
    "executors",
    "experiments",
    "foundation",
    "kernels",
    "posteriors",
    "present",
    "published",
    "records",
    "specification",
    "targets",
    "timing",
    "training",
    "verification",
)
# Modules where only functions and classes with two or more parameters, or fields, have to describe them all: their
# shorter functions say in one line what they take and return. A module moves up from here, it does not move down.
SEVERAL_PARAMETERS = ("cli.time_table",)
SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises):$", re.MULTILINE)
ENTRY = re.compile(r"^ {4}\*{0,2}(\w+(?:, \*{0,2}\w+)*)(?: \([^)]*\))?:", re.MULTILINE)
SIGNATURE = re.compile(r"`([^`]*)->([^`]*)`", re.DOTALL)


def modules(units: Iterable[str]) -> list[str]:
    """The modules in these folders or of these names, by their names below the package."""
    names = [file.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") for file in ROOT.rglob("*.py")]
    return sorted(name for name in names if any(f"{name}.".startswith(f"{unit}.") for unit in units))


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


def plain(thing: object) -> object:
    """The Python function that numba (`py_func`) or Triton (`fn`) has compiled; any other object as it is."""
    return getattr(thing, "py_func", getattr(thing, "fn", thing))


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


def of_function(name: str, function: Callable[..., object], least: int) -> Iterator[str]:
    """What the docstring of a function or method leaves out."""
    docstring = inspect.cleandoc(function.__doc__ or "")
    if not docstring:
        yield f"{name}: no docstring"
        return
    taken = parameters(function)
    missing = [each for each in taken if each not in named(docstring, "Args")]
    if missing and len(taken) >= least:
        yield f"{name}: Args without {', '.join(missing)}"
    if least > 1:
        return
    parts = sections(docstring)
    silent = not {"Returns", "Yields"} & set(parts) and not SIGNATURE.search(docstring)
    if silent and inspect.signature(function).return_annotation not in (None, "None"):
        yield f"{name}: no Returns"
    if raises(function) and "Raises" not in parts:
        yield f"{name}: no Raises"


def of_class(name: str, built: type, least: int) -> Iterator[str]:
    """What the docstrings of a class and its methods leave out; an override's contract is where it is declared.

    A `typing.Protocol` has an `__init__` of typing's own, which nobody calls.
    """
    docstring = inspect.cleandoc(built.__doc__ or "")
    own = vars(built)
    fields = list(own.get("_fields", ()))
    if is_dataclass(built):
        fields = [field for field in own.get("__annotations__", {}) if not field.startswith("_")]
    elif inspect.isfunction(own.get("__init__")) and not getattr(built, "_is_protocol", False):
        fields = parameters(own["__init__"])
        if least == 1 and raises(own["__init__"]) and "Raises" not in sections(docstring):
            yield f"{name}: no Raises"
    missing = [field for field in fields if field not in named(docstring, "Args", "Attributes")]
    if missing and len(fields) >= least:
        yield f"{name}: Args or Attributes without {', '.join(missing)}"
    inherited = {each for base in built.__mro__[1:] for each in vars(base)}
    for method, value in own.items():
        function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if inspect.isfunction(function) and not method.startswith("_") and method not in inherited:
            yield from of_function(f"{name}.{method}", function, least)


def left_out(module: ModuleType, least: int = 1) -> list[str]:
    """What the docstrings of a module's public functions and classes leave out, a line each.

    Args:
        module: an imported module.
        least: 1 for the whole rule; 2 asks only for the parameters of what takes at least two.
    """
    lines: list[str] = []
    for name, thing in vars(module).items():
        if name.startswith("_") or getattr(thing, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(thing):
            lines += of_class(name, thing, least)
        elif inspect.isfunction(function := plain(thing)):
            lines += of_function(name, inspect.unwrap(function), least)
    return lines


@pytest.mark.parametrize("name", modules(COVERED))
def test_public_docstrings_are_whole(name):
    """Every parameter has its entry, every result is described, and every error that a body raises is named."""
    assert left_out(importlib.import_module(f"nfbench.{name}")) == []


@pytest.mark.parametrize("name", modules(SEVERAL_PARAMETERS))
def test_several_parameters_are_described(name):
    """Every function or class that takes two or more parameters, and every data class with as many, names them all."""
    assert left_out(importlib.import_module(f"nfbench.{name}"), least=2) == []


@pytest.mark.parametrize("unit", [*COVERED, *SEVERAL_PARAMETERS])
def test_every_listed_unit_exists(unit):
    """The lists name nothing that is not there, and no module is in both."""
    assert modules([unit])
    assert not set(modules(COVERED)) & set(modules(SEVERAL_PARAMETERS))


def test_what_a_docstring_leaves_out_is_seen(tmp_path):
    """The check can fail: a parameter, a result, an error, a field, what a method or a kernel takes are missed."""
    code = '''
import dataclasses
import typing
import numba
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
class F(typing.Protocol):
    """A thing."""
    def method(self, z) -> None:
        """Do it."""
@numba.njit
def k(x) -> int:
    """A kernel."""
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
        "F.method: Args without z",
        "k: Args without x",
        "k: no Returns",
    ]
    assert left_out(module, least=2) == ["f: Args without y", "h: no docstring"]
