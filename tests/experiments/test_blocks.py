"""A cell's numbers are a function of its configuration: a whole block trains, whichever seeds are asked for."""

import time

import pytest
import torch
from pydantic import ValidationError
from support.trials import trial_plan

from nfbench.executors import local
from nfbench.experiments.group_run import GroupRun
from nfbench.experiments.run_group import lose_group, run_group
from nfbench.records import store
from nfbench.specification.config import Group, Training, block_of
from nfbench.training.acceleration import PLAIN, Acceleration

# Planar K = 8 is where 5e-8 of rounding grew to 1e-2 nats within a training, so that any company would show.
TRAINING = Training(learning_rate=0.05, updates=150, draws=16, anneal_updates=60, schedule="one-cycle")


def _plan(seeds=None, *, together=None, budget=5, posteriors=("planar:K=8",), targets=("u1",)):
    training = TRAINING.model_copy(update={"together": together})
    return trial_plan(posteriors, targets, budget, training, asked=seeds)


def _numbers(root):
    """Seed -> metrics and curves of every stored record."""
    return {record.cell.seed: (record.metrics, record.curves) for record in store.records(root)}


def test_a_cell_has_the_same_numbers_in_any_company(tmp_path):
    """Seed 4 asked for alone, beside 3, or among 0 to 4 is one cell with one outcome, bit by bit."""
    asked = {"all": None, "one": [4], "two": [3, 4], "backwards": [4, 3, 0]}
    numbers, ids = {}, {}
    for name, seeds in asked.items():
        groups = _plan(seeds)
        local.execute(run_group, lose_group, groups, tmp_path / name, jobs=1)
        numbers[name] = _numbers(tmp_path / name)
        ids[name] = {cell.seed: cell.id for group in groups for cell in group.cells}
    assert set(numbers["all"]) == {0, 1, 2, 3, 4}
    for name, seeds in asked.items():
        for seed in seeds or range(5):
            assert numbers[name][seed] == numbers["all"][seed], (name, seed)
            assert ids[name][seed] == ids["all"][seed]
        assert set(numbers[name]) == set(seeds or range(5))


def test_missing_cells_come_out_as_they_would_have(tmp_path):
    """Where some records of a block are there already, the others get the numbers of an undisturbed run."""
    groups = _plan()
    local.execute(run_group, lose_group, groups, tmp_path / "whole", jobs=1)
    local.execute(run_group, lose_group, groups, tmp_path / "torn", jobs=1)
    for seed in (1, 4):
        (cell,) = (cell for cell in groups[0].cells if cell.seed == seed)
        store.path(tmp_path / "torn", "trial", cell.id).unlink()
    summary = local.execute(run_group, lose_group, groups, tmp_path / "torn", jobs=1)
    assert (summary.counts["done"], summary.skipped) == (2, 3)
    assert _numbers(tmp_path / "torn") == _numbers(tmp_path / "whole")


def test_one_job_or_several_make_no_difference(tmp_path):
    """Groups in this process with all its threads and groups in two processes end at the same numbers."""
    groups = _plan(posteriors=("planar:K=2",), targets=("u1", "digits:dim=3,hidden=4"), budget=2)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        local.execute(run_group, lose_group, groups, tmp_path / "inline", jobs=1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    local.execute(run_group, lose_group, groups, tmp_path / "pool", jobs=2)
    for group in groups:
        for cell in group.cells:
            inline, pool = (store.read(store.path(tmp_path / name, "trial", cell.id)) for name in ("inline", "pool"))
            assert (inline.metrics, inline.curves) == (pool.metrics, pool.curves)
            assert inline.provenance["threads"] == pool.provenance["threads"] == 1


def test_a_plan_says_how_many_seeds_train_together():
    """The profile's number, else its seeds, at most 20; what a user asks for changes the blocks but not their size."""
    assert {cell.training.together for group in _plan() for cell in group.cells} == {5}
    assert {cell.training.together for group in _plan([7]) for cell in group.cells} == {5}
    assert {cell.training.together for group in _plan(budget=100) for cell in group.cells} == {20}
    assert [group.block for group in _plan([3, 4, 5], together=2)] == [(2, 3), (4, 5)]
    assert [group.seeds for group in _plan([3, 4, 5], together=2)] == [(3,), (4, 5)]
    assert block_of(19, 20) == tuple(range(20))


def test_old_configurations_keep_their_hash():
    """Options that came later are left out where they are unset, so that today's records keep their names."""
    assert "together" not in TRAINING.model_dump()
    assert "validate_bound" not in TRAINING.model_dump()
    assert TRAINING.model_copy(update={"together": 5}).model_dump()["together"] == 5


def test_a_group_is_within_a_block():
    """Cells of two blocks are no group."""
    cells = [cell for group in _plan([1, 2], together=2) for cell in group.cells]
    with pytest.raises(ValidationError, match="do not lie in one block"):
        Group(cells=tuple(cells), order=(0, 0))


@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:1"])
def test_a_cuda_graph_is_the_default_on_cuda_alone(device):
    """Nobody has to ask for it, and it can be declined."""
    assert Acceleration.on(device).cuda_graph is device.startswith("cuda")
    assert Acceleration.on(device, cuda_graph=False) == PLAIN


def test_seconds_are_shared_by_all_who_trained(tmp_path, monkeypatch):
    """A seed that was asked for alone trains with its block of twenty, and has a twentieth of the time."""
    (group,) = _plan([7], budget=100)
    assert (len(group.cells), len(group.block)) == (1, 20)
    began = time.monotonic()
    local.execute(run_group, lose_group, [group], tmp_path, jobs=1)
    (record,) = store.records(tmp_path)
    assert record.training_seconds <= (time.monotonic() - began) / 20 + 0.001  # it is rounded to 0.001
    monkeypatch.setattr("nfbench.experiments.group_run.clock", lambda: 100.0)
    assert GroupRun(group, tmp_path, "cpu", 60.0).share() == 2.0
