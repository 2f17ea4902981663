"""A target or family of one's own: its code is a part of its cells, so that an edit makes other cells."""

import dataclasses
import sys
import types

import pytest

import nfbench
from nfbench.experiments.plan import plan
from nfbench.experiments.run_group import run_group
from nfbench.present.results import results
from nfbench.records import store
from nfbench.specification import registry
from nfbench.specification.config import Evaluation, Training
from nfbench.specification.experiment import Experiment, Profile
from nfbench.targets.densities.u1 import Ring

TRAINING = Training(learning_rate=0.01, updates=4, draws=8, anneal_updates=1)
EVALUATION = Evaluation(draws=50, forward_draws=50, importance_draws=10, grid=4)


@pytest.fixture
def edit(monkeypatch):
    """Register a target; a function that stands for an edit of its module, as a new start of Python would see it."""
    registry.targets.names()

    @registry.register_target("mine", label="Mine", cite="")
    def mine() -> Ring:
        """A ring."""
        return Ring()

    def edited(text):
        entry = registry.targets["mine"]
        monkeypatch.setitem(registry.targets._entries, "mine", dataclasses.replace(entry, module_source=text * 64))

    return edited


def groups(targets=("mine", "u1")):
    profile = Profile(seeds=2, training=TRAINING, evaluation=EVALUATION)
    experiment = Experiment(
        name="trial", title="", summary="", targets=list(targets), posteriors=["gaussian"], profiles={"smoke": profile}
    )
    return plan(experiment, "smoke")


def test_an_edit_makes_other_cells_of_ones_own_only(edit, tmp_path):
    """After an edit, cells of one's own target are not finished, those of nfbench's own are, and records say which."""
    for group in groups():
        run_group(group, tmp_path)
    mine, own = (group.cells[0] for group in groups())
    assert store.finished(tmp_path, mine)
    assert store.finished(tmp_path, own)
    assert store.read(store.path(tmp_path, "trial", mine.id)).cell.sources == mine.sources
    assert set(mine.sources) == {"target"}
    assert own.sources is None
    assert "sources" not in store.path(tmp_path, "trial", own.id).read_text()
    edit("0")
    edited, same = (group.cells[0] for group in groups())
    assert not store.finished(tmp_path, edited)
    assert same.id == own.id
    assert edited.recipe == mine.recipe


CELL = """
import nfbench
from nfbench.posteriors.families.planar import Planar

@nfbench.register_posterior("of-a-cell", label="Of a cell", cite="nobody")
def of_a_cell(dim: int):
    "A family of a notebook."
    return Planar(dim, DEPTH)
"""


def test_a_notebooks_cell_that_runs_again_registers_again(monkeypatch, tmp_path):
    """The same cell twice is the same cell of the plan; edited, it is another one, and the new code is run."""
    registry.posteriors.names()
    monkeypatch.setattr(registry.posteriors, "_entries", dict(registry.posteriors._entries))
    monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))  # a notebook's, which has no file

    def planned(depth):
        exec(CELL.replace("DEPTH", str(depth)), {"__name__": "__main__"})
        return plan(Experiment(
            name="trial", title="", summary="", targets=["u1"], posteriors=["of-a-cell"],
            profiles={"smoke": Profile(seeds=1, training=TRAINING, evaluation=EVALUATION)},
        ), "smoke")  # fmt: skip

    (first,), (again,), (edited,) = planned(1), planned(1), planned(2)
    assert again.cells[0].id == first.cells[0].id
    assert edited.cells[0].id != first.cells[0].id
    (record,) = run_group(edited, tmp_path)
    assert record.status == "done", record.message
    assert record.facts.num_params == 4 + 2 * 5


def test_versions_of_code_stand_in_rows_of_their_own(edit, tmp_path):
    """Of two versions no mean is made: each has a row whose label and spec have its source; one version has no mark."""
    for group in groups():
        run_group(group, tmp_path)
    first = groups()[0].cells[0].sources["target"][:8]
    assert set(results(tmp_path).frame["target"]) == {"mine", "u1"}
    edit("0")
    run_group(groups()[0], tmp_path)
    stored = results(tmp_path)
    assert set(stored.frame["target"]) == {f"mine:source={first}", "mine:source=00000000", "u1"}
    assert stored.summary()["seeds"].tolist() == [2, 2, 2]
    text = stored.table("trial")
    assert f"Mine (source {first})" in text
    assert "Mine (source 00000000)" in text
    assert stored.plot("trial", tmp_path / "out")


def test_code_that_is_edited_while_a_run_waits_is_not_run_under_the_old_name(edit, tmp_path):
    """A process that finds other code than was planned stores failures that say so."""
    (group,) = groups(["mine"])
    edit("0")
    records = run_group(group, tmp_path)
    assert {record.status for record in records} == {"failed"}
    assert "the code of the target was changed since this run was planned" in records[0].message


def test_a_fit_that_is_loaded_with_other_code_says_so(edit, tmp_path):
    """A stored fit names the code that made it; loaded after an edit, a warning says that it is another."""
    file = nfbench.fit("gaussian", "mine", updates=3).save(tmp_path / "q.safetensors")
    nfbench.load(file)
    edit("0")
    with pytest.warns(UserWarning, match=r"q\.safetensors was made by other code of target 'mine' than there is now"):
        nfbench.load(file)
    nfbench.load(file, target=Ring())
