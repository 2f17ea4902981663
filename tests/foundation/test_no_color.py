"""NO_COLOR: whatever is coloured on a terminal goes through rich, which honours it, and nothing overrides that."""

import ast
from pathlib import Path

import pytest

import nfbench

FILES = sorted(Path(nfbench.__file__).parent.rglob("*.py"))
CONSOLES = ("Console", "Bars", "Progress")
OVERRIDES = {"color_system", "force_terminal", "no_color", "legacy_windows", "_environ"}


def overrides(text):
    """The options of consoles in a module's code that would decide about colours in place of the environment."""
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    consoles = [node for node in calls if getattr(node.func, "id", getattr(node.func, "attr", "")) in CONSOLES]
    return {keyword.arg for node in consoles for keyword in node.keywords} & OVERRIDES


def test_no_console_overrides_it():
    """No console of the package forces a terminal or colours, and no escape code is written by hand."""
    assert any("Console(" in file.read_text() for file in FILES)
    for file in FILES:
        text = file.read_text()
        assert overrides(text) == set(), file
        assert not any(code in text for code in ("\\x1b", "\\033", "\\u001b", "\\N{ESC")), file


@pytest.mark.parametrize("code", ["Console(force_terminal=True)", "rich.console.Console(file=x, no_color=False)"])
def test_an_override_is_seen(code):
    """The check can fail."""
    assert overrides(code)
