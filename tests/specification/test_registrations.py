"""What registrations say is read from their text: it is what the registry knows, and no code runs for it."""

import subprocess
import sys

import pytest

from nfbench.specification import registrations as module
from nfbench.specification.registrations import registrations
from nfbench.specification.registry import posteriors


def test_the_text_says_what_the_registry_knows():
    """Name, kind, library, variants and defaults of every family are those of its registry entry."""
    own = {entry.name: entry for entry in posteriors if entry.module_source is None}
    assert set(own) <= set(registrations())
    for name, entry in own.items():
        read = registrations()[name]
        assert (read.kind, read.of_library) == (entry.declared.kind, entry.library is not None)
        assert read.variants() == entry.variants()
        assert read.defaults == {key: str(value) for key, (_, value) in entry.options.items() if key != "K"}


def test_no_code_of_a_family_runs():
    """A process that reads all registrations has imported neither torch nor a family."""
    code = (
        "import sys; from nfbench.specification.registrations import registrations; n = len(registrations()); "
        "print(n > 20, 'torch' in sys.modules, any(m.startswith('nfbench.posteriors') for m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False", "False"]


PLUG_IN = """
import nfbench
raise SystemExit("this module must not run")

@nfbench.register_posterior("mine", label="Mine", cite="me", kind="coupling", year=int("2024"))
def mine(dim: int, depth: int = 2, hidden: int = 8):
    "A family."

@nfbench.register_posterior("strange", label="S", cite="me", kind="nothing")
def strange(dim: int):
    "A family whose registration will be refused."
"""


@pytest.mark.parametrize(("text", "kinds"), [(PLUG_IN, {"mine": "coupling", "strange": "other"}), ("def (", {})])
def test_an_entry_point_is_read_and_not_run(tmp_path, monkeypatch, text, kinds):
    """The module of another distribution is read, whatever it would do if it ran; no Python says nothing."""
    package = tmp_path / "their_flows"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('nor this one')")
    (package / "flows.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    point = module.EntryPoint("their", "their_flows.flows", module.GROUP)
    missing = module.EntryPoint("lost", "no_such_package.flows:make", module.GROUP)
    monkeypatch.setattr(module, "entry_points", lambda group: [point, missing])
    registrations.cache_clear()
    try:
        theirs = {name: each for name, each in registrations().items() if name in ("mine", "strange")}
        assert {name: each.kind for name, each in theirs.items()} == kinds
        assert all(each.defaults == ({"hidden": "8"} if name == "mine" else {}) for name, each in theirs.items())
    finally:
        registrations.cache_clear()
