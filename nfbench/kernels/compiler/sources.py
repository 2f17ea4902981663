"""Which source files a compiled function is made of: its own, and all that this one imports, directly or not."""

import functools
import hashlib
import re
import sys
from pathlib import Path

# `import a.b`, `from a.b import c, d`, and the same with names in parentheses, at any depth of indentation.
_IMPORT = re.compile(
    r"^[ \t]*(?:import[ \t]+([\w., \t]+)|from[ \t]+([\w.]+)[ \t]+import[ \t]+(\([^)]*\)|[^\n]*))", re.M
)
_NAME = re.compile(r"[\w.]+")


def stamp(module: str) -> str | None:
    """A digest of all source files that a module's compiled functions are made of.

    Numba puts functions and constants of other modules into a function's machine code, but looks only at the file of
    the function itself to see whether that is still valid.

    Args:
        module: the full name of an imported module.

    Returns:
        Hexadecimal digits; None where the module has no source file, as in a notebook.
    """
    digests = sources(module)
    return hashlib.sha256("".join(digests.values()).encode()).hexdigest() if digests else None


def sources(module: str) -> dict[str, str]:
    """The modules that a module is made of: itself, those of its own package that it imports, what they import, ...

    Args:
        module: the full name of an imported module.

    Returns:
        For the name of each, in alphabetical order, the digest of its source file; nothing where `module` has none.
    """
    digests: dict[str, str] = {}
    waiting, packages = [module], {module.partition(".")[0], __name__.partition(".")[0]}
    while waiting:
        name = waiting.pop()
        content = None if name in digests else _content(name)
        if content is not None:
            digests[name] = content[0]
            waiting += [imported for imported in content[1] if imported.partition(".")[0] in packages]
    return dict(sorted(digests.items())) if module in digests else {}


def _content(module: str) -> tuple[str, tuple[str, ...]] | None:
    """The digest of an imported module's file and the names that it imports; None where there is no such file."""
    file = getattr(sys.modules.get(module), "__file__", None)
    try:
        facts = Path(file).stat() if file else None
    except OSError:
        return None
    return _read(file, facts.st_mtime_ns, facts.st_size) if file and facts else None


@functools.cache
def _read(file: str, _changed: int, _size: int) -> tuple[str, tuple[str, ...]]:
    """A file's digest, and the names of what it imports: of modules, and of names in them that may be modules too."""
    source = Path(file).read_bytes()
    names: list[str] = []
    for modules, package, members in _IMPORT.findall(source.decode(errors="replace")):
        names += [part.split()[0] for part in modules.split(",") if part.split()]
        if package:
            names += [package, *(f"{package}.{member}" for member in _NAME.findall(members))]
    return hashlib.sha256(source).hexdigest(), tuple(names)
