"""Pages of the repository: their code blocks, their tables, and what they link to."""

import itertools
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "results" / "reference"
README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").rglob("*.md"))


def name_of(page):
    """A page by its path in the repository."""
    return str(page.relative_to(ROOT))


def blocks(page, language):
    """The code blocks of a language, except those that are a file of their own and have a marker before them."""
    text = re.sub(r"<!-- example: \w+ -->\n```\w+\n.*?```", "", page.read_text(), flags=re.DOTALL)
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def example(page, name):
    """The code block that follows the marker of an example."""
    match = re.search(rf"<!-- example: {name} -->\n```\w+\n(.*?)```", page.read_text(), re.DOTALL)
    assert match, f"{name_of(page)} has no example {name!r}"
    return match[1]


def commands(page):
    """The `nfbench` and `make` commands of a page's shell blocks, without comments."""
    lines = [line.partition("#")[0].strip() for block in blocks(page, "sh") for line in block.splitlines()]
    parts = [part.strip() for line in lines for part in line.split("&&")]
    return [part for part in parts if part.startswith(("nfbench ", "make "))]


def table(text, start):
    """The rows of the first Markdown table from a text on: the head first, the line below it left out."""
    lines = (start + text.split(start, 1)[1]).splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("|"))
    head, _, *rows = [cells(line) for line in itertools.takewhile(lambda line: line.startswith("|"), lines[first:])]
    return [head, *rows]


def cells(line):
    """The cells of a line of a Markdown table."""
    return [cell.strip() for cell in line.strip("|").split("|")]
