"""The source of foreign code: every edit that a cell's numbers can feel changes it, and nothing else does."""

import importlib
import subprocess
import sys
import textwrap

import pytest

from nfbench.specification import sources
from nfbench.specification.registry import posteriors, sources_of, targets

MODULE = """
import math
from . import maps
from .deep import inner as other
import torch

def family(dim: int):
    return maps.make(dim)
"""


FILES = {
    "__init__.py": "",
    "family.py": MODULE,
    "maps.py": "from plugin_of_test.deep import inner\n",
    "notes.py": "",
    "deep/__init__.py": "",
    "deep/inner.py": "SCALE = 1\n",
}


def _forget():
    for name in [name for name in sys.modules if name.startswith("plugin_of_test")]:
        del sys.modules[name]
    importlib.invalidate_caches()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that a family is made of: a function that adds text to one of its files and says what the source is."""
    folder = tmp_path / "plugin_of_test"
    (folder / "deep").mkdir(parents=True)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)

    def source(edited=None):
        if edited:
            (folder / edited).write_text(FILES[edited] + "ADDED = 1\n")
        _forget()
        return sources.of_module(importlib.import_module("plugin_of_test.family").family)

    yield source
    _forget()


def test_nfbench_own_code_has_no_source():
    """The ids of nfbench's own cells do not depend on its files."""
    own = [entry for registry in (posteriors, targets) for entry in registry if sources.is_own(entry.factory)]
    assert {entry.source for entry in own} == {None}
    assert sources_of("planar:K=2", "u1") is None


@pytest.mark.parametrize("edited", FILES)
def test_an_edit_in_the_package_counts_where_it_is_imported(package, edited):
    """The module, what it imports, and what that imports count; a file that nothing imports does not."""
    before = package()
    assert package() == before
    assert (package(edited) != before) == (edited != "notes.py")


def _script(tmp_path, text, name="mine.py"):
    """The source of the target that a script registers, in a process of its own."""
    (tmp_path / name).write_text(text)
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nimport {name[:-3]}\n"
    program += "from nfbench.specification.registry import targets; print(targets['mine'].source)"
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.strip()


TARGET = """
from nfbench import register_target
from helper import prior
@register_target("mine", label="Mine", cite="")
def mine():
    "Mine."
    return prior()
"""


def test_a_file_beside_a_script_counts(tmp_path):
    """A helper in the same folder is part of the source, and where the folder lies is not."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    codes = []
    for folder, number in (("a", 1), ("b", 1), ("b", 2)):
        (tmp_path / folder / "helper.py").write_text(f"def prior(): return {number}\n")
        codes.append(_script(tmp_path / folder, TARGET))
    assert codes[0] == codes[1] != codes[2]
    assert len(codes[0]) == 64


SESSION = """
import math
SCALE = 2.0
class Prior:
    width = 1
    def log(self, z):
        return helper(z) * self.width
def helper(z):
    return z * SCALE + math.pi
def unused():
    return 3
def mine(hidden: int = 3):
    "Mine."
    return Prior()
"""


def _session(text):
    """The source of `mine` where the text is typed at a prompt: no file keeps it."""
    space = {"__name__": "session_without_a_file"}
    exec(compile(textwrap.dedent(text), "<input>", "exec"), space)
    assert sources.of_module(space["mine"]) is None
    return sources.of_session(space["mine"])


@pytest.mark.parametrize(
    ("old", "new", "counts"),
    [
        ("SCALE = 2.0", "SCALE = 3.0", True),
        ("width = 1", "width = 2", True),
        ("z * SCALE +", "z * SCALE -", True),
        ("* self.width", "+ self.width", True),
        ("return Prior()", "return Prior() or 0", True),
        ("return 3", "return 4", False),
        ("import math", "import math, os", False),
    ],
)
def test_what_a_factory_uses_of_its_session_counts(old, new, counts):
    """In a notebook: constants, functions, classes that it uses; nothing else; the same again is equal."""
    assert _session(SESSION) == _session(SESSION)
    assert (_session(SESSION.replace(old, new)) != _session(SESSION)) == counts


def test_a_captured_value_counts():
    """Two factories that one function makes from two numbers are two sources."""

    def make(number):
        def factory():
            return number

        return factory

    assert sources.of_module(make(1)) == sources.of_module(make(1)) != sources.of_module(make(2))
