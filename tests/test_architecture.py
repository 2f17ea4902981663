"""The floors: a module imports only from floors below its own."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import nfbench

ROOT = Path(nfbench.__file__).parent

# From the ground up. A name stands for a module or for a whole folder; within one folder modules import each other.
FLOORS = (
    {"errors"},
    {"spec", "numerics", "provenance", "glossary", "document"},
    {"config", "registry"},
    {"data", "recipe"},
    {"kernels"},
    {"posteriors.base", "targets.base", "records", "published"},
    {"timings", "runtime"},
    {"posteriors", "targets"},
    {"objectives", "optimizers", "feed", "capture"},
    {"update", "contracts"},
    {"training", "evaluation"},
    {"timing"},
    {"experiments"},
    {"executors"},
    {"statistics", "speed"},
    {"scaling", "examples", "comparison"},
    {"tables", "plots"},
    {"report"},
    {"cli"},
    {"__main__"},
)
PUBLIC_FACE = "__init__"  # imports on first use, whatever floor a public name lives on
FROM_RECORDS_ONLY = ("statistics", "speed", "scaling", "comparison", "examples", "tables", "plots", "report")
FILES = sorted(ROOT.rglob("*.py"))


def name_of(file: Path) -> str:
    """The module's name below the package: ``targets.u1``, ``targets`` for ``targets/__init__.py``."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def place(name: str) -> tuple[int, str] | None:
    """Floor and unit of a module: the longest listed name that it is, or lies in."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        unit = ".".join(parts[:length])
        for floor, units in enumerate(FLOORS):
            if unit in units:
                return floor, unit
    return None


def imports(tree: ast.AST, package: str = "nfbench") -> Iterator[str]:
    """Every imported module of the package and every other top-level package, imports inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield from _imported(node, package)


def _imported(node: ast.ImportFrom, package: str) -> Iterator[str]:
    module = node.module or ""
    if module != package and not module.startswith(f"{package}."):
        yield module
        return
    for alias in node.names:
        child = ROOT.joinpath(*module.split(".")[1:], alias.name)
        yield f"{module}.{alias.name}" if child.with_suffix(".py").exists() or child.is_dir() else module


def upward(name: str, tree: ast.AST) -> list[str]:
    """The imports of a module that do not go down."""
    floor, unit = place(name)
    found = []
    for module in imports(tree):
        below = place(module.removeprefix("nfbench.")) if module.startswith("nfbench.") else None
        if below is not None and below[0] >= floor and below[1] != unit:
            found.append(module)
    return found


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_every_import_goes_down(file):
    """No module imports from its own floor or from above, except within its own folder."""
    name = name_of(file)
    if name == PUBLIC_FACE:
        return
    assert place(name) is not None, f"{name} has no floor: list it in FLOORS"
    assert upward(name, ast.parse(file.read_text())) == []


def test_an_upward_import_is_seen():
    """The check can fail: a target that imports the training is found, also inside a function."""
    tree = ast.parse("def f():\n    from nfbench.training import train\n    from nfbench import records, cli\n")
    assert upward("targets.u1", tree) == ["nfbench.training", "nfbench.cli"]


def test_every_listed_unit_exists():
    """The list of floors names nothing that is not there."""
    listed = {unit for units in FLOORS for unit in units}
    there = {name_of(file) for file in FILES} | {folder.name for folder in ROOT.iterdir() if folder.is_dir()}
    assert listed - there == set()


@pytest.mark.parametrize("unit", FROM_RECORDS_ONLY)
def test_outputs_come_from_records_only(unit):
    """What shows results imports neither torch nor a registry, so a stored result outlives the code that made it."""
    forbidden = {"torch", "registry", "posteriors", "targets", "kernels", "training", "evaluation", "experiments"}
    files = [file for file in FILES if place(name_of(file)) and place(name_of(file))[1] == unit]
    assert files
    for file in files:
        tops = {module.removeprefix("nfbench.").split(".")[0] for module in imports(ast.parse(file.read_text()))}
        assert tops & forbidden == set(), file.name


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_files_stay_readable(file):
    """No file of the package is longer than 300 lines."""
    assert len(file.read_text().splitlines()) <= 300
