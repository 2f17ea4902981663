"""Parts of the documentation that are written from the package itself while Sphinx builds the pages.

A line ``<!-- generated: NAME -->`` in a Markdown page is replaced by what `GENERATORS[NAME]` returns, so no page lists
by hand what a registry, the glossary or the folders' own docstrings know. Generators are the functions that the modules
here name in ``__all__``.
"""

import re
import typing
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import nfbench
from generated_pages import models, registries, results, source, words
from generated_pages.markup import escape

if TYPE_CHECKING:
    from sphinx.application import Sphinx

MARK = re.compile(r"^<!-- generated: ([a-z_]+) -->$", re.MULTILINE)
GENERATORS: dict[str, Callable[[], str]] = {
    name: getattr(module, name) for module in (models, registries, results, source, words) for name in module.__all__
}


def fill(text: str) -> str:
    """A page's text with every mark replaced by what its generator returns.

    Args:
        text: Markdown.

    Returns:
        Markdown without marks.

    Raises:
        KeyError: a mark names no generator.
    """
    return MARK.sub(lambda mark: GENERATORS[mark[1]](), text)


def _fill_page(app: "Sphinx", name: str, content: list[str]) -> None:
    content[0] = fill(content[0])


def _write_schemas(app: "Sphinx", error: Exception | None) -> None:
    """Beside the pages, the JSON Schemas as files for programs."""
    if error is None and app.builder.format == "html":
        folder = Path(app.outdir) / "schema"
        folder.mkdir(exist_ok=True)
        for kind, text in models.schema_files().items():
            (folder / f"{kind}.schema.json").write_text(text + "\n")


def _escape_docstring(app: "Sphinx", kind: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    if lines and lines[0].startswith("Alias for field number"):  # of a NamedTuple, which says no more by itself
        lines.clear()
    escape(lines)
    # A first line with a colon would be read as "type: description".
    for number in [number for number, line in enumerate(lines) if line.strip() in ("Returns:", "Yields:")][::-1]:
        indent = len(lines[number + 1]) - len(lines[number + 1].lstrip())
        lines.insert(number + 1, " " * indent + "\\ ")
    if kind in ("property", "attribute", "data") and lines:
        lines.insert(0, "\\ ")


def setup(app: "Sphinx") -> dict[str, typing.Any]:
    """What Sphinx calls to load this extension."""
    app.connect("source-read", _fill_page)
    app.connect("build-finished", _write_schemas)
    app.connect("autodoc-process-docstring", _escape_docstring, priority=100)
    return {"version": nfbench.__version__, "parallel_read_safe": True}
