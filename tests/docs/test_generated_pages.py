"""What the documentation takes from the package: registries, glossary, folders."""

import importlib
import sys

import pytest
from support.pages import PAGES, ROOT
from support.synthetic_verdicts import verdict

from nfbench.experiments import library
from nfbench.posteriors.contract import Identity
from nfbench.records import glossary
from nfbench.records.verdicts import write
from nfbench.specification import registry
from nfbench.specification.config import Cell, Evaluation, Push, Training
from nfbench.specification.experiment import Experiment, Profile, Recipe, Variation


@pytest.fixture(scope="module")
def generated():
    """The extension of Sphinx, loaded as Sphinx loads it; Sphinx itself is needed for docstrings."""
    pytest.importorskip("sphinx", reason="the extra 'docs' is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "docs" / "_ext")
        yield importlib.import_module("generated_pages")
    for name in [name for name in sys.modules if name.partition(".")[0] == "generated_pages"]:
        del sys.modules[name]


@pytest.mark.parametrize("kind", ["posteriors", "libraries", "targets", "protocols"])
def test_every_entry_has_a_section(generated, kind):
    """A registry's page has a section for each name, with all of its options."""
    text = generated.GENERATORS["data" if kind == "protocols" else kind]()
    sections = dict(part.split("`\n", 1) for part in text.split("## `")[1:])  # those of a library are a level down
    entries = list(getattr(registry, "posteriors" if kind == "libraries" else kind))
    if kind in ("posteriors", "libraries"):
        entries = [entry for entry in entries if (entry.library is not None) == (kind == "libraries")]
    assert set(sections) == {entry.name for entry in entries}
    for entry in entries:
        assert entry.summary in sections[entry.name]
        for option in entry.options:
            assert f"| `{option}` |" in sections[entry.name]


def test_a_new_family_appears(generated, monkeypatch):
    """A family that is registered now has its section, its options and its variants without a list being changed."""
    from typing import Literal

    registry.posteriors.names()
    monkeypatch.setattr(registry.posteriors, "_entries", dict(registry.posteriors._entries))

    def fresh(dim: int, kind: Literal["left", "right"] = "left") -> Identity:
        """A family of this test."""
        return Identity(dim)

    registry.posteriors.register("fresh", label="Fresh ({kind})", cite="Nobody 2020", year=2020)(fresh)
    text = generated.registries.posteriors()
    assert "## `fresh`" in text
    assert "Fresh (left); Fresh (right)" in text
    assert "`left` or `right`" in text


def test_verdicts_on_libraries_come_from_records(generated, tmp_path, monkeypatch):
    """Each stored verdict on a library's family is a row; without one the page says which command writes them."""
    monkeypatch.setattr(generated.results, "ROOT", tmp_path)
    (tmp_path / "results" / "standard").mkdir(parents=True)
    assert "verify --libraries --results results/standard" in generated.results.library_verdicts()
    for stored in (
        verdict("zuko:nsf,K=4", "zuko 1.6.0"),
        verdict("pyro:planar,K=8", "pyro 1.9.2", failed=["finite"], lacking={"density": "of draws only"}),
        verdict("planar:K=8"),
    ):
        write(tmp_path / "results" / "standard", stored)
    text = generated.results.library_verdicts()
    assert "| zuko:nsf,K=4 zuko 1.6.0 | passed | yes |" in text
    assert "| pyro:planar,K=8 pyro 1.9.2 | 1 failed: finite | no |" in text
    assert "| planar:K=8 |" not in text
    assert "2026-01-02" in text


def test_the_least_divergence_stands_beside_every_volume_preserving_family(generated):
    """A row for each energy and each such posterior of Figure 3, whose best seed is not below what is possible."""
    lines = [line.strip("| ").split(" | ") for line in generated.results.volume_preserving().splitlines()[2:]]
    assert len(lines) == 4 * 2
    assert {line[1].partition(" (")[0] for line in lines} == {"NICE"}
    assert all(float(least) <= float(best) <= float(worst) for _, _, least, best, _, worst in lines)


def test_experiments_contenders_and_words_are_all_there(generated):
    """Every packaged experiment and profile, every contender and every word of the glossary has its entry."""
    from nfbench.timing.contenders.contract import contenders

    text = generated.registries.experiments()
    for name in library.names():
        assert f"## `{name}`" in text
        assert all(f"| `{profile}` |" in text for profile in library.load(name).profiles)
    assert all(f"--vs {name}`" in generated.registries.contenders() for name in contenders())
    assert all(f"`{name}`" in generated.words.measures() for name in glossary.MEASURES)
    assert all(word in generated.words.words() for word in glossary.WORDS)
    for name, entry in glossary.DIAGNOSTICS.items():
        assert f"`{name}`" in generated.words.diagnostics()
        assert name.endswith("_floor") or all(
            text in generated.words.diagnostics() for text in (entry.formula, entry.source, entry.blind)
        )


def test_every_field_of_a_model_is_listed(generated):
    """The reference of YAML files and records has each field of each model, and what a comment says of it."""
    sections = dict(part.split("\n", 1) for part in generated.models.configuration().split("### ")[1:])
    for model in (Experiment, Variation, Profile, Training, Evaluation, Recipe, Push, Cell):
        assert all(f"| `{field}` |" in sections[model.__name__] for field in model.model_fields)
    assert "| `optimizer` | `adam` or `rmsprop` | `adam` |" in sections["Training"]
    assert "Monte-Carlo draws" in sections["Training"]
    assert "### Record" in generated.models.records()
    assert "### Timing" in generated.models.timing_records()


def test_arguments_are_taken_out_of_a_docstring(generated):
    """A section of a docstring gives the meaning of each name, over several lines, and the rest stays."""
    text = "First.\n\nArgs:\n    dim: number of\n        dimensions.\n    kind: which.\n\nReturns:\n    A flow."
    rest, meanings = generated.docstrings.arguments(text)
    assert meanings == {"dim": "number of dimensions.", "kind": "which."}
    assert "Args" not in rest
    assert rest.endswith("Returns:\n    A flow.")
    assert generated.docstrings.arguments("Nothing here.") == ("Nothing here.", {})


def test_formulas_survive_in_docstrings(generated):
    """Bars and single letters of a docstring are escaped; inline code and examples are left alone."""
    lines = ["ln|det| and `ln|det|`", "draws: S.", ">>> 1 | 2", "3 | 4", "", "a|b"]
    generated.markup.escape(lines)
    assert lines == [r"ln\|det\| and `ln|det|`", r"draws: \S.", ">>> 1 | 2", "3 | 4", "", r"a\|b"]


def test_every_old_name_is_listed(generated):
    """The page on versions has the old names of decorators and contracts with their new places, and when they go."""
    from nfbench.foundation.deprecated import GONE

    text = generated.source.deprecations()
    assert "| `nfbench.registry.posterior` | `nfbench.register_posterior` |" in text
    assert "| `nfbench.posteriors.base.Flow` | `nfbench.posteriors.contract.Flow` |" in text
    assert f"version {GONE}" in text


def test_every_environment_variable_is_listed(generated):
    """The table of environment variables has each that `foundation/settings.py` reads."""
    from nfbench.foundation import settings

    text = generated.source.variables()
    assert all(
        f"| `{name}` |" in text
        for name in (settings.BACKEND_VARIABLE, settings.DATA_VARIABLE, settings.TRITON_VARIABLE)
    )


def test_every_folder_states_its_contract(generated):
    """The drawing of the tree has each folder of the package with a sentence."""
    lines = [line for line in generated.source.tree().splitlines() if "**`" in line]
    package = generated.source.PACKAGE
    folders = [path.parent for path in package.rglob("__init__.py") if path.parent != package]
    assert len(lines) == len(folders)
    for line in lines:
        assert len(line.split("`** ")[1]) > 20, line


def test_every_mark_has_a_generator(generated):
    """No page asks for a part that nobody writes, no part is written for nobody, and an unknown mark fails."""
    marks = {mark for page in PAGES for mark in generated.MARK.findall(page.read_text())}
    assert marks == set(generated.GENERATORS)
    with pytest.raises(KeyError, match="nothing"):
        generated.fill("<!-- generated: nothing -->\n")
