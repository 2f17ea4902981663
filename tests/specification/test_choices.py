"""Words that users choose from are listed once."""

import ast
from collections import Counter
from pathlib import Path

import nfbench
from nfbench.foundation.settings import Backend
from nfbench.specification import choices

PACKAGE = Path(nfbench.__file__).parent


def literals():
    """Every ``Literal`` of two texts or more in the package, as a set of its texts."""
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "Literal":
                words = {part.value for part in ast.walk(node.slice) if isinstance(part, ast.Constant)}
                if len(words) > 1:
                    yield frozenset(words)


def test_no_list_is_written_twice():
    """No two types in the package are the same choice: one would be forgotten when the other grows."""
    repeated = [sorted(words) for words, count in Counter(literals()).items() if count > 1]
    assert repeated == []
    assert frozenset(choices.MODES) in set(literals())


def test_the_lists_are_those_of_the_types():
    """The tuples have the types' words, in the order in which help shows them."""
    assert choices.MODES == ("sample", "forward", "backward", "inverse", "step")
    assert choices.FORMATS == ("md", "latex", "csv", "json")
    assert "auto" in Backend.__args__
