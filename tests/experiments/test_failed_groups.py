"""Groups that fail or diverge: every outcome is a record that says what went wrong, and nothing else is lost."""

import math

import pytest
import torch
from support.trials import trial_plan

from nfbench import results
from nfbench.executors.local import execute
from nfbench.experiments import run_group as running
from nfbench.experiments.run_group import lose_group, run_group
from nfbench.posteriors.contract import Flow
from nfbench.present.report.build import report
from nfbench.records import store
from nfbench.specification import registry
from nfbench.specification.config import Training
from nfbench.targets.contract import Target
from nfbench.targets.densities.u1 import Ring


@pytest.fixture
def broken():
    """Register, for one test, a family that raises and a target whose bound is never finite."""

    class Broken(Flow):
        def __init__(self, dim: int) -> None:
            super().__init__(dim, 0, 1)

        def forward(self, z, theta):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB\nmore lines")

        inverse = forward

        def initial(self):
            return torch.zeros(1)

    class Nowhere(Target):
        dim = 2

        def log_joint(self, z, batch=None):
            return z.sum(-1) * torch.inf

    registry.posteriors.names()
    registry.targets.names()

    @registry.register_posterior("broken", label="Broken", cite="nobody")
    def family(dim: int) -> Flow:
        """A family that asks for too much."""
        return Broken(dim)

    @registry.register_target("nowhere", label="Nowhere", cite="nobody")
    def nowhere() -> Target:
        """A target that is infinite everywhere."""
        return Nowhere()


def test_failure_is_an_outcome(tmp_path, broken):
    """Out of memory becomes a failed record of one line that names the family's own line; the other groups run."""
    summary = execute(run_group, lose_group, trial_plan(["broken", "gaussian"]), tmp_path, jobs=1)
    assert summary.counts == {"failed": 2, "done": 2}
    (line,) = summary.failures
    assert line.startswith(
        "u1 | broken: OutOfMemoryError: CUDA out of memory. Tried to allocate 20 GiB (test_failed_groups.py:"
    )
    frame = results(tmp_path).frame
    assert set(frame.loc[frame["family"] == "broken", "status"]) == {"failed"}


@pytest.mark.parametrize("fault", [SystemExit(3), GeneratorExit(), MemoryError(), RuntimeError()])
def test_whatever_a_plugin_raises_is_an_outcome_that_says_where(fault, monkeypatch, tmp_path):
    """A plug-in that exits, or fails without a word, is a record whose message has the type and the plug-in's line."""

    def broken(*_):
        raise fault

    monkeypatch.setattr(Ring, "log_joint", broken)
    (record, _) = run_group(trial_plan(["gaussian"], seeds=2)[0], tmp_path)
    assert record.status == "failed"
    line = broken.__code__.co_firstlineno + 1
    assert record.message == f"{type(fault).__name__}: {str(fault) or 'no message'} (test_failed_groups.py:{line})"


def test_divergence_is_an_outcome(tmp_path, broken):
    """A bound that is not finite becomes a diverged record without metrics, which is not run again."""
    groups = trial_plan(["gaussian"], ["nowhere"])
    assert execute(run_group, lose_group, groups, tmp_path, jobs=1).counts == {"diverged": 2}
    record = next(iter(store.records(tmp_path)))
    assert record.metrics == {}
    assert "not finite" in record.message
    assert execute(run_group, lose_group, groups, tmp_path, jobs=1).skipped == 2


def test_divergence_in_the_last_update_is_an_outcome(tmp_path):
    """A posterior that only its last update, which no bound follows, threw to infinity is diverged, not done."""
    (group,) = trial_plan(["gaussian"], training=Training(learning_rate=1e30, updates=1, draws=8, anneal_updates=0))
    for record in run_group(group, tmp_path):
        assert math.isfinite(record.curves["free_energy"][-1])
        assert record.status == "diverged"
        assert record.metrics == {}
        assert "not finite" in record.message


def test_failed_cells_are_run_again(tmp_path, broken):
    """A failure is not an end: the same command tries again."""
    for _ in range(2):
        assert execute(run_group, lose_group, trial_plan(["broken"]), tmp_path, jobs=1).counts == {"failed": 2}


def test_a_late_failure_keeps_what_is_done(tmp_path, monkeypatch):
    """When the second seed's evaluation fails, the others' records stand; a run beside it loses nothing either."""
    (group,) = trial_plan(["gaussian"], seeds=3)
    real = running.evaluate

    def fails_once(model, config, seed):
        if seed == 1:
            raise RuntimeError("no")
        return real(model, config, seed)

    monkeypatch.setattr(running, "evaluate", fails_once)
    assert [record.status for record in run_group(group, tmp_path)] == ["done", "failed", "done"]
    assert list(results(tmp_path).frame.sort_values("seed")["status"]) == ["done", "failed", "done"]
    monkeypatch.setattr(running, "evaluate", real)
    assert {record.status for record in run_group(group, tmp_path)} == {"done"}
    monkeypatch.setattr(running, "evaluate", fails_once)
    assert [record.status for record in run_group(group, tmp_path)] == ["done", "failed", "done"]
    assert list(results(tmp_path).frame["status"]) == ["done"] * 3


def test_failed_configurations_have_their_rows(tmp_path, broken):
    """Tables in every format and the report show a configuration of which no cell is done, without any number."""
    execute(run_group, lose_group, trial_plan(["broken", "gaussian"]), tmp_path / "results", jobs=1)
    stored = results(tmp_path / "results")
    text = stored.table("trial")
    (row,) = [line for line in text.splitlines() if "Broken" in line]
    assert "0 of 2 (2 failed)" in row
    assert "nan" not in row.lower()
    for fmt in ("latex", "csv", "json"):
        assert "Broken" in stored.table("trial", fmt)
    page = report(stored, tmp_path / "out").read_text()
    assert "Tried to allocate 20 GiB" in page
