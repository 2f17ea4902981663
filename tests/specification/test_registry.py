"""The registry: what it finds, what it refuses, and how it says so."""

import re
import sys
from typing import Annotated, Literal

import pytest
from pydantic import Field

from nfbench.foundation.errors import InputError
from nfbench.specification import registry
from nfbench.specification.entry import Declared
from nfbench.specification.registry import Registry


@pytest.fixture
def known():
    """A registry of its own with one entry of every kind of option."""
    fresh = Registry("thing", "nfbench.nowhere", (), reserved=("dim",))
    fresh._loaded = True

    @fresh.register("wave", label="Wave ({shape})", cite="Nobody 2000", year=2000)
    def wave(
        dim: int,
        depth: int = 4,
        shape: Literal["sine", "saw"] = "sine",
        phase: Annotated[float, Field(ge=0, lt=1)] = 0.25,
        *,
        folded: bool = False,
    ) -> tuple:
        """A wave of `depth` periods.

        More text.
        """
        return dim, depth, shape, phase, folded

    @fresh.register("flat", label="Flat", cite="Nobody 2001")
    def flat(dim: int) -> int:
        """Nothing at all."""
        return dim

    return fresh


def test_options_are_typed_and_built(known):
    """Text becomes the types of the signature, K is the factory's depth, and defaults fill the rest."""
    choice = known.choose("wave:K=7,folded=true,phase=0.5")
    assert choice.options == {"K": 7, "shape": "sine", "phase": 0.5, "folded": True}
    assert choice.build(dim=3, features=9) == (3, 7, "sine", 0.5, True)
    assert known.choose("flat").build(dim=2, features=9) == 2


def test_canonical_spec_names_every_option(known):
    """Two ways to write one choice have one canonical spec, which means the same again."""
    text = str(known.choose("wave"))
    assert text == "wave:K=4,shape=sine,phase=0.25,folded=False"
    assert str(known.choose("wave:phase=.25,K=04")) == text
    assert str(known.choose(text)) == text


def test_family_label_and_depth(known):
    """The family is the choice without K; labels are filled in; a thing without depth has K = 0."""
    choice = known.choose("wave:shape=saw")
    assert choice.family == "wave:shape=saw,phase=0.25,folded=False"
    assert choice.label == "Wave (saw)"
    assert (choice.depth, known.choose("flat").depth) == (4, 0)
    assert (known["wave"].has_depth, known["flat"].has_depth) == (True, False)
    assert known["wave"].summary == "A wave of `depth` periods."


def test_variants_span_the_literal_choices(known):
    """Every value of a Literal option is a variant; a thing without one is its own only variant."""
    assert known["wave"].variants() == ["wave:shape=sine", "wave:shape=saw"]
    assert known["flat"].variants() == ["flat"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("wav", ["no thing named 'wav'", "did you mean wave?", "known: flat, wave"]),
        ("xyz", ["no thing named 'xyz'", "known: flat, wave"]),
        ("wave:k=3", ["no option 'k'", "did you mean K?", "wave takes: K, shape, phase, folded"]),
        ("flat:K=3", ["no option 'K'", "flat takes: none"]),
        ("wave:K=-1", ["K=-1", "greater than or equal to 0"]),
        ("wave:K=two", ["K=two", "valid integer"]),
        ("wave:K=1.5", ["K=1.5", "valid integer"]),
        ("wave:shape=round", ["shape=round", "'sine' or 'saw'"]),
        ("wave:phase=1", ["phase=1", "less than 1"]),
        ("wave:folded=perhaps", ["folded=perhaps", "boolean"]),
        ("wave:K=2|3", ["2 things"]),
    ],
)
def test_a_wrong_choice_is_refused(known, text, names):
    """One line: the thing, its value, and what is known or expected."""
    with pytest.raises(InputError) as caught:
        known.choose(text)
    message = str(caught.value)
    assert "\n" not in message
    assert all(name in message for name in names), message


def _undocumented(dim: int, depth: int = 2) -> None:
    pass


def _without_default(dim: int, width: int) -> None:
    """Summary."""


def _without_type(dim: int, width=3) -> None:
    """Summary."""


def _good(dim: int) -> None:
    """Summary."""


@pytest.mark.parametrize(
    ("name", "factory", "reason"),
    [
        ("bare", _undocumented, "docstring"),
        ("bare", _without_default, "'width' needs a type and a default"),
        ("bare", _without_type, "'width' needs a type and a default"),
        ("Bare", _good, "lower-case"),
        ("a b", _good, "lower-case"),
        ("wave", _good, "is taken by"),
    ],
)
def test_a_wrong_registration_is_refused(known, name, factory, reason):
    """A name that is taken or malformed, a missing docstring, type or default: refused, and nothing is registered."""
    before = known.names()
    with pytest.raises(ValueError, match=re.escape(reason)):
        known.register(name, label="x", cite="y")(factory)
    assert known.names() == before


@pytest.mark.parametrize("label", ["{width}", "{", "{0}"])
def test_a_label_that_no_option_fills_is_refused(known, label):
    """A placeholder that is no option would fail at the end of every training; it fails at registration."""
    with pytest.raises(ValueError, match="names no option"):
        known.register("bare", label=label, cite="y")(_good)
    assert "bare" not in known.names()


CELL = """
@known.register("mine", label="Mine ({width})", cite="Nobody 2026")
def mine(dim: int, width: int = WIDTH):
    "Of a notebook."
    return width
"""


def test_a_cell_that_runs_again_replaces(known):
    """A function of the same module and name takes the earlier one's place; another function does not."""
    for width in (3, 5):
        exec(CELL.replace("WIDTH", str(width)), {"known": known, "__name__": "__main__"})
        assert known.choose("mine").build(dim=2) == width
    with pytest.raises(ValueError, match=r"thing name 'mine' is taken by __main__\.mine; expected another name"):
        known.register("mine", label="x", cite="y")(_good)
    assert known.choose("mine").build(dim=2) == 5


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Another distribution on the path, with one module and two entry points, one of them to nothing."""
    registry.posteriors.names()  # the built-in families register with the real registry before it is replaced
    (tmp_path / "nfbench_plugin.py").write_text(
        "from nfbench.specification.registry import register_posterior\n"
        "from nfbench.posteriors.contract import Identity\n\n"
        "@register_posterior('outsider', label='Outsider', cite='Elsewhere 2026')\n"
        "def outsider(dim: int):\n"
        "    'From another package.'\n"
        "    return Identity(dim)\n"
    )
    info = tmp_path / "nfbench_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: nfbench-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[nfbench.posteriors]\noutsider = nfbench_plugin\nabsent = nfbench_no_such_module\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    fresh = Registry("posterior", "nfbench.posteriors", ("nfbench.posteriors.families",), reserved=("dim", "features"))
    monkeypatch.setattr(registry, "posteriors", fresh)
    yield fresh
    sys.modules.pop("nfbench_plugin", None)


def test_entry_points_are_found(plugin):
    """A family of another installed distribution is known; one that cannot be loaded is named in a warning, no more."""
    with pytest.warns(
        UserWarning, match=r"entry point 'absent' \(nfbench_no_such_module\): ModuleNotFoundError.*skipped"
    ):
        plugin.names()
    assert plugin["outsider"].summary == "From another package."
    assert plugin.choose("outsider").build(dim=3).dim == 3


def test_every_builtin_states_its_facts():
    """Every posterior and target has a label, a citation and a summary of one line, and its variants can be chosen."""
    for kind in (registry.posteriors, registry.targets):
        assert kind.names()
        for entry in kind:
            assert entry.label
            assert entry.cite
            assert entry.summary.endswith(".")
            for variant in entry.variants():
                assert kind.choose(variant).label.count("{") == 0


def test_declared_facts_follow_the_options():
    """A family's facts are booleans or functions of its options; its kind is one of the list."""
    fresh = Registry("posterior", "nfbench.nowhere", (), reserved=("dim",))
    fresh._loaded = True
    declared = Declared("linear", volume_preserving=lambda options: options["K"] == 0, linear=True)
    fresh.register("turns", label="Turns", cite="Nobody 2026", declared=declared)(_turns)
    assert fresh["turns"].declared.kind == "linear"
    assert fresh.choose("turns:K=0").facts == {"volume_preserving": True, "linear": True, "autoregressive": False}
    assert fresh.choose("turns:K=3").facts == {"volume_preserving": False, "linear": True, "autoregressive": False}


def _turns(dim: int, depth: int = 2) -> None:
    """Summary."""


def test_a_kind_that_is_not_listed_is_refused():
    """Families are grouped by a fixed list of kinds, which the message names."""
    with pytest.raises(ValueError, match=r"posterior 'turns': kind='round': expected one of gaussian, "):
        registry.register_posterior("turns", label="Turns", cite="Nobody 2026", kind="round")


def test_own_families_declare_their_kind():
    """No family of the package is left in the group of those that said nothing."""
    own = [entry for entry in registry.posteriors if entry.made_by.__module__.startswith("nfbench.")]
    assert len(own) > 4
    assert [entry.name for entry in own if entry.declared.kind == "other"] == []
