"""The floors: a folder imports only from folders below its own, and inside `kernels` and `present` likewise."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import nfbench
from nfbench.records.glossary import KINDS, LETTERS

ROOT = Path(nfbench.__file__).parent

# From the ground up. Each name is a folder or a module; within one folder modules import each other.
FLOORS = (
    {"foundation"},
    {"specification", "kernels"},
    {"registry"},  # the old place of specification.registry
    {"records", "published", "data", "posteriors"},
    {"targets", "analysis"},
    {"training"},
    {"evaluation", "verification", "timing", "present"},
    {"executors"},
    {"experiments"},
    {"api"},
    {"cli"},
    {"__main__"},
)
KERNEL_FLOORS = (
    {"compiler", "kinds"},
    {"simd", "autograd", "gpu", "shapes"},
    {"cpu", "dispatch"},
    {"diagonal"},
    {"chain"},
    {"planar", "radial", "coupling", "layers"},
)
PRESENT_FLOORS = ({"tables"}, {"plots", "compared_results"}, {"results"}, {"report"})
PUBLIC_FACE = "__init__"  # imports on first use, whatever floor a public name lives on
FROM_RECORDS_ONLY = ("records", "published", "analysis", "present")
FILES = sorted(ROOT.rglob("*.py"))


def name_of(file: Path) -> str:
    """The module's name below the package: ``targets.build``, ``targets`` for ``targets/__init__.py``."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def floor_of(unit: str, floors: tuple[set[str], ...]) -> int | None:
    """The number of the floor that lists a folder or module, from the ground up; None where none does."""
    return next((number for number, units in enumerate(floors) if unit in units), None)


def imports(tree: ast.AST) -> Iterator[str]:
    """Every imported module, imports inside functions too; of the package by its name below it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.removeprefix("nfbench.") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            module = node.module or ""
            if module != "nfbench" and not module.startswith("nfbench."):
                yield module
                continue
            for alias in node.names:
                child = ROOT.joinpath(*module.split(".")[1:], alias.name)
                there = child.with_suffix(".py").exists() or child.is_dir()
                yield f"{module}.{alias.name}".removeprefix("nfbench.") if there else module.removeprefix("nfbench.")


def upward(name: str, tree: ast.AST, floors: tuple[set[str], ...], prefix: str = "") -> list[str]:
    """The imports of a module that go to another unit of its own floor, or up.

    Args:
        name: of the module below the package.
        tree: its code.
        floors: from the ground up, of what lies in `prefix`.
        prefix: a folder, such as ``kernels.``; imports of other folders do not count.
    """
    unit = name.removeprefix(prefix).split(".")[0]
    floor = floor_of(unit, floors)
    assert floor is not None, f"{name} has no floor: list {unit!r}"
    found = []
    for module in imports(tree):
        other = module.removeprefix(prefix).split(".")[0]
        at = floor_of(other, floors) if module.startswith(prefix) else None
        if at is not None and at >= floor and other != unit:
            found.append(module)
    return found


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_every_import_goes_down(file):
    """No module imports from another folder of its own floor or from above; inside `kernels` and `present` too."""
    name, tree = name_of(file), ast.parse(file.read_text())
    if name == PUBLIC_FACE:
        return
    assert upward(name, tree, FLOORS) == []
    for prefix, floors in (("kernels.", KERNEL_FLOORS), ("present.", PRESENT_FLOORS)):
        if name.startswith(prefix):
            assert upward(name, tree, floors, prefix) == []


def test_an_upward_import_is_seen():
    """The check can fail: a target that imports the training is found, also inside a function."""
    tree = ast.parse("def f():\n    from nfbench.training.loop import train\n    from nfbench import records, cli\n")
    assert upward("targets.build", tree, FLOORS) == ["training.loop", "cli"]


def test_one_map_that_imports_another_is_seen():
    """Inside `kernels` a map imports no other map, and what maps share imports no map."""
    tree = ast.parse("from nfbench.kernels.radial import cpu\n")
    assert upward("kernels.planar.cpu", tree, KERNEL_FLOORS, "kernels.") == ["kernels.radial.cpu"]
    assert upward("kernels.simd.vector", tree, KERNEL_FLOORS, "kernels.") == ["kernels.radial.cpu"]


@pytest.mark.parametrize(("folder", "floors"), [("", FLOORS), ("kernels", KERNEL_FLOORS), ("present", PRESENT_FLOORS)])
def test_every_listed_unit_exists(folder, floors):
    """The lists of floors name nothing that is not there."""
    listed = {unit for units in floors for unit in units}
    there = {path.stem for path in (ROOT / folder).iterdir()}
    assert listed - there == set()


@pytest.mark.parametrize("unit", FROM_RECORDS_ONLY)
def test_outputs_come_from_records_only(unit):
    """What shows results imports neither torch nor a registry, so a stored result outlives the code that made it."""
    forbidden = {"torch", "posteriors", "targets", "kernels", "training", "evaluation", "experiments"}
    files = [file for file in FILES if name_of(file).split(".")[0] == unit]
    assert files
    for file in files:
        modules = list(imports(ast.parse(file.read_text())))
        assert {module.split(".")[0] for module in modules} & forbidden == set(), file.name
        assert "specification.registry" not in modules, file.name


def test_the_top_has_few_rooms():
    """At most 22 folders and modules lie at the top of the package."""
    rooms = {path.name for path in ROOT.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert len(rooms) <= 22, sorted(rooms)


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_files_stay_readable(file):
    """No file of the package is longer than 300 lines."""
    assert len(file.read_text().splitlines()) <= 300


def test_the_package_explains_its_letters_as_the_glossary_does():
    """`help(nfbench)` and the report say the same of letters and words."""
    text = " ".join(nfbench.__doc__.replace("*", "").split())
    assert all(f"{letter} {meaning}" in text for letter, meaning in LETTERS.items())
    assert KINDS in text


def test_nobody_below_imports_the_public_face():
    """`nfbench/__init__.py` hands names on from all floors, so that only the command line may import it."""
    for file in FILES:
        name = name_of(file)
        if name not in (PUBLIC_FACE, "__main__") and not name.startswith("cli"):
            assert "nfbench" not in list(imports(ast.parse(file.read_text()))), name
