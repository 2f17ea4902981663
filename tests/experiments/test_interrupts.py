"""Interrupted groups: what is stored, and that the same call resumes it."""

import pytest
from support.trials import trial_plan

from nfbench.evaluation import evaluate as evaluation
from nfbench.experiments import run_group as running
from nfbench.experiments.run_group import run_group
from nfbench.records import store
from nfbench.training import loop as training


@pytest.mark.parametrize("place", ["_check_sources", "evaluate"])
def test_an_interrupt_that_pydantic_masks_is_no_failure(place, tmp_path, monkeypatch):
    """A signal while a model is serialized is stored as an interrupt, and the next run ends the cells."""
    (group,) = trial_plan(["gaussian"])

    def masked(*_):
        raise ValueError("Error calling function `serialize`: Interrupt: SIGTERM")

    with monkeypatch.context() as patch:
        patch.setattr(running, place, masked)
        with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
            run_group(group, tmp_path)
    assert {record.status for record in store.records(tmp_path)} == {"interrupted"}
    assert {record.status for record in run_group(group, tmp_path)} == {"done"}


def test_interrupt_is_stored_and_resumed(tmp_path, monkeypatch):
    """Ctrl-C stores `interrupted` records and a checkpoint; the next run takes it up, ends equal, and cleans up."""
    (group,) = trial_plan(["planar:K=2"])
    straight = run_group(group, tmp_path / "straight")
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)

    def stop(done: int, bound: float) -> None:
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_group(group, tmp_path, report=stop)
    assert {record.status for record in store.records(tmp_path)} == {"interrupted"}
    assert list((tmp_path / "trial" / "checkpoints").glob("*.pt"))
    seen: list[int] = []
    resumed = run_group(group, tmp_path, report=lambda done, _: seen.append(done))
    assert seen[0] == 7
    assert [record.metrics for record in resumed] == [record.metrics for record in straight]
    assert not (tmp_path / "trial" / "checkpoints").exists()


def test_interrupt_between_evaluations_resumes_the_group(tmp_path, monkeypatch):
    """Ctrl-C while the second seed is evaluated leaves the group to its checkpoint: nothing is trained again."""
    (group,) = trial_plan(["planar:K=2"])
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    calls = []

    def evaluate(model, config, seed):
        calls.append(seed)
        if calls == [0, 1]:
            raise KeyboardInterrupt
        return evaluation.evaluate(model, config, seed)

    monkeypatch.setattr(running, "evaluate", evaluate)
    with pytest.raises(KeyboardInterrupt):
        run_group(group, tmp_path)
    assert [record.status for record in store.records(tmp_path)] == ["interrupted"] * 2
    seen: list[int] = []
    resumed = run_group(group, tmp_path, report=lambda done, _: seen.append(done))
    assert [record.status for record in resumed] == ["done"] * 2
    assert seen == []
    run_group(group, tmp_path / "straight")
    assert calls == [0, 1] * 3
    for record in store.records(tmp_path):
        assert record.metrics == store.read(store.path(tmp_path / "straight", "trial", record.id)).metrics
