"""Pieces of Markdown, and docstrings as reStructuredText within it."""

import re
from collections.abc import Iterable


def code(value: object) -> str:
    """A value as inline code."""
    return f"`{value}`"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table; bars within cells are escaped."""
    lines = [list(head), *([str(cell) for cell in row] for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines) + "\n"


def definitions(pairs: Iterable[tuple[str, str]]) -> str:
    """A definition list."""
    return "\n".join(f"{term}\n: {meaning}\n" for term, meaning in pairs)


def rst(text: str) -> str:
    """A dedented docstring in Google style as reStructuredText within Markdown; nothing for an empty one."""
    from sphinx.ext.napoleon import Config, GoogleDocstring

    if not text.strip():
        return ""
    lines = text.strip("\n").splitlines()
    escape(lines)
    return eval_rst(str(GoogleDocstring(lines, Config(napoleon_use_param=False, napoleon_use_rtype=False))))


def escape(lines: list[str]) -> None:
    """Escape in a docstring's lines, in place, what reStructuredText would take for markup of its own.

    These are the bars of formulas such as ln|det|, which would name a substitution, and a letter that ends a sentence,
    as in ``draws: S.``, which would begin a list. Inline code and examples stay.
    """
    example = False
    for number, line in enumerate(lines):
        example = line.lstrip().startswith(">>>") or (example and bool(line.strip()))
        if not example:
            parts = re.split(r"(`+[^`]*`+)", re.sub(r"(: )([A-Z]\.)", r"\1\\\2", line))
            lines[number] = "".join(part if part.startswith("`") else part.replace("|", r"\|") for part in parts)


def eval_rst(text: str) -> str:
    """ReStructuredText as a block of a Markdown page."""
    return f"````{{eval-rst}}\n{text.strip()}\n````\n"
