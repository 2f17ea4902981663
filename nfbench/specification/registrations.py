"""What posterior families register, read from the text of their modules: nothing is imported and no code runs.

Pictures of stored results group families by kind, and must not need the code of a family to run, torch, or the library
that computes it. What a registration says with plain values is enough for them.
"""

import ast
import functools
import itertools
from collections.abc import Iterator, Mapping
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, NamedTuple, cast

from nfbench.specification.choices import KINDS, Kind
from nfbench.specification.spec import Spec

GROUP = "nfbench.posteriors"  # of entry points of other distributions
RESERVED = ("dim", "features", "points")  # parameters of a factory that are no options
_ROOM = Path(__file__).parents[1] / "posteriors"
_DECORATOR = "register_posterior"
_LATEST = 9999  # the year of what does not say one

Choices = Mapping[str, tuple[str, ...]]


class Registration(NamedTuple):
    """A posterior family as its registration describes it.

    Attributes:
        name: by which specs call it.
        kind: its group in tables and pictures.
        year: of the publication.
        of_library: whether another library computes it.
        choices: option -> its values, for options that are a choice of words.
        defaults: option -> its default as text; K is no option here.
    """

    name: str
    kind: Kind
    year: int
    of_library: bool
    choices: Choices
    defaults: Mapping[str, str]

    def variants(self) -> list[str]:
        """Specs without K, one for each combination of the choices: as of `nfbench.specification.entry.Entry`.

        Returns:
            One at least.
        """
        return [
            str(Spec(self.name, tuple(zip(self.choices, values, strict=True))))
            for values in itertools.product(*self.choices.values())
        ]


@functools.cache
def registrations() -> dict[str, Registration]:
    """All posterior families of nfbench and of the distributions with an entry point.

    Returns:
        By name, sorted: those of nfbench, then those that other libraries compute, each by year and name.

    >>> registrations()["planar"].kind, registrations()["nice"].variants()
    ('residual', ['nice:mixing=permutation', 'nice:mixing=orthogonal'])
    """
    texts = [file.read_text("utf-8") for file in sorted(_ROOM.rglob("*.py"))]
    texts += [text for point in entry_points(group=GROUP) for text in _source(point)]
    trees = [ast.parse(text) for text in texts if _DECORATOR in text or "= Literal[" in text]
    shared = {name: words for tree in trees for name, words in _aliases(tree)}
    known = [each for tree in trees for each in _registered(tree, shared | dict(_aliases(tree)))]
    return {each.name: each for each in sorted(known, key=lambda each: (each.of_library, each.year, each.name))}


def _source(point: EntryPoint) -> Iterator[str]:
    """The text of an entry point's module, found without importing the packages that it lies in."""
    path: Any = None
    origin: str | None = None
    for depth in range(1, point.module.count(".") + 2):
        spec = PathFinder.find_spec(".".join(point.module.split(".")[:depth]), path)
        if spec is None:
            return
        path, origin = spec.submodule_search_locations, spec.origin
    try:
        text = Path(origin or "").read_text("utf-8")
        ast.parse(text)
    except (OSError, ValueError, SyntaxError):
        return
    yield text


def _aliases(tree: ast.Module) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Names that a module gives to a choice of words."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            words = _words(node.value)
            if words:
                yield node.targets[0].id, words


def _words(node: ast.expr | None) -> tuple[str, ...]:
    """The words of a `Literal`; none for anything else."""
    if not (isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "Literal"):
        return ()
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    return tuple(str(part.value) for part in parts if isinstance(part, ast.Constant))


def _registered(tree: ast.Module, aliases: Mapping[str, tuple[str, ...]]) -> Iterator[Registration]:
    for function in ast.walk(tree):
        for call in function.decorator_list if isinstance(function, ast.FunctionDef) else ():
            said = _said(call)
            if said is not None and isinstance(function, ast.FunctionDef):
                yield _registration(said, function, aliases)


def _said(call: ast.expr) -> dict[str, Any] | None:
    """The plain values of a registration by keyword; a keyword whose value has to be computed is None."""
    if not isinstance(call, ast.Call):
        return None
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    if name != _DECORATOR or not call.args or not isinstance(call.args[0], ast.Constant):
        return None
    said = {word.arg: _plain(word.value) for word in call.keywords if word.arg}
    return said | {"name": str(call.args[0].value), "library": "library" in said}


def _plain(node: ast.expr) -> Any:
    return node.value if isinstance(node, ast.Constant) else None


def _registration(
    said: Mapping[str, Any], function: ast.FunctionDef, aliases: Mapping[str, tuple[str, ...]]
) -> Registration:
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    defaults: list[ast.expr | None] = [*function.args.defaults, *function.args.kw_defaults]
    defaulted = zip(arguments[len(arguments) - len(defaults) :], defaults, strict=True)
    options = [
        (each, default) for each, default in defaulted if default is not None and each.arg not in ("depth", *RESERVED)
    ]
    choices = {
        each.arg: words
        for each, _ in options
        if (words := _words(each.annotation) or aliases.get(getattr(each.annotation, "id", ""), ()))
    }
    kind = said.get("kind")
    return Registration(
        said["name"],
        cast("Kind", kind) if kind in KINDS else "other",
        said.get("year") or _LATEST,
        said["library"],
        choices,
        {each.arg: str(_plain(default)) for each, default in options},
    )
