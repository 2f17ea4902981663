"""The page of promises names tests that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = [line for line in (ROOT / "docs" / "trust.md").read_text().splitlines() if line.startswith("| ")][2:]
NAMED = [(row.split(" | ")[0][2:], *pair) for row in ROWS for pair in re.findall(r"`([\w/]+\.py)::(\w+)`", row)]


def test_every_promise_has_a_test():
    """No row of the table is without a name of a test, and there are rows."""
    assert len(ROWS) >= 15
    assert {promise for promise, *_ in NAMED} == {row.split(" | ")[0][2:] for row in ROWS}


@pytest.mark.parametrize(("promise", "file", "name"), NAMED, ids=[f"{file}::{name}" for _, file, name in NAMED])
def test_the_named_test_exists(promise, file, name):
    """Each is a function of that file, so that it runs with all others."""
    tree = ast.parse((ROOT / "tests" / file).read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, promise
