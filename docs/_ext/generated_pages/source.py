"""Pages about the package itself: its folders and floors, its public face, old names, variables."""

import ast
import importlib
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nfbench
from generated_pages.markup import code, eval_rst, rst, table
from nfbench.foundation import settings

__all__ = ["deprecations", "floors", "letters", "public_classes", "public_functions", "tree", "variables"]

PACKAGE = Path(nfbench.__file__).parent
ROOT = Path(__file__).parents[3]


def letters() -> str:
    """The package's docstring: the letters of shapes, and the words for what is compared."""
    return rst(inspect.cleandoc(nfbench.__doc__ or "").split("\n", 1)[1])


def variables() -> str:
    """The environment variables that nfbench reads: the table of the module that reads them."""
    text = inspect.getdoc(settings) or ""
    return "\n".join(line for line in text.replace("``", "`").splitlines() if line.startswith("|")) + "\n"


def deprecations() -> str:
    """Every old name that still works, with what to write instead, and the version that no longer has them."""
    from nfbench.foundation.deprecated import GONE

    rows = []
    for file in sorted(PACKAGE.rglob("*.py")):
        if "__getattr__ = moved(" in file.read_text():
            parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            places = inspect.getclosurevars(vars(importlib.import_module(name))["__getattr__"]).nonlocals["places"]
            rows += [(code(f"{name}.{old}"), code(new)) for old, new in places.items()]
    return f"These are gone in version {GONE}:\n\n{table(('deprecated', 'write instead'), rows)}"


def tree() -> str:
    """Every folder of the package with the sentence that its ``__init__`` says about it, and its modules."""
    return "\n".join(_folders(PACKAGE, 0))


def _folders(folder: Path, depth: int) -> Iterator[str]:
    for child in sorted(path for path in folder.iterdir() if (path / "__init__.py").exists()):
        contract = " ".join((docstring(child / "__init__.py") or "").split())
        modules = sorted(path.stem for path in child.glob("*.py") if path.stem != "__init__")
        yield "  " * depth + f"- **`{child.name}/`** {contract}"
        if modules:
            yield "\n" + "  " * (depth + 1) + f"Modules: {', '.join(map(code, modules))}.\n"
        yield from _folders(child, depth + 1)


def docstring(file: Path) -> str | None:
    """The docstring of a module, which is read and not imported."""
    return ast.get_docstring(ast.parse(file.read_text()))


def floors() -> str:
    """The floors as the test of the architecture lists them, from the ground up."""
    tree = ast.parse((ROOT / "tests" / "test_architecture.py").read_text())
    values = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and "FLOORS" in node.targets[0].id
    }
    parts = []
    for name, listed in values.items():
        room = name.removesuffix("FLOORS").rstrip("_").lower()
        lines = [
            f"{number}. {', '.join(code(unit) for unit in sorted(units))}" for number, units in enumerate(listed, 1)
        ]
        parts.append((f"Inside `{room}/`:" if room else "The package:") + "\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def public_functions() -> str:
    """The functions of the public face."""
    return _public("autofunction", lambda value: not inspect.isclass(value) and callable(value))


def public_classes() -> str:
    """The classes of the public face."""
    return _public("autoclass", inspect.isclass, "   :members:\n   :show-inheritance:\n")


def _public(directive: str, chosen: Callable[[Any], bool], options: str = "") -> str:
    names = sorted(name for name in nfbench.__all__ if chosen(getattr(nfbench, name)))
    blocks = [f".. {directive}:: nfbench.{name}\n{options}" for name in names]
    return eval_rst("\n".join(blocks))
