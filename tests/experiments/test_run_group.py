"""Running a group: every outcome is a record that says how it came about; finished cells are not run again."""

import math
import warnings
from pathlib import Path

import pytest
import torch
from support.families import own, posterior
from support.trials import TRAINING, trial_plan

from nfbench import results
from nfbench.evaluation import evaluate as evaluation
from nfbench.executors.local import execute
from nfbench.experiments import run_group as running
from nfbench.experiments.run_group import lose_group, run_group
from nfbench.foundation import compiling
from nfbench.posteriors.contract import Flow
from nfbench.present.report.build import report
from nfbench.records import store, timings
from nfbench.records.cells import Metric
from nfbench.specification import registry
from nfbench.specification.config import Push, Training
from nfbench.targets.contract import Target
from nfbench.targets.densities.u1 import Ring
from nfbench.training.acceleration import Acceleration
from nfbench.training.objective import initial_model


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


def test_records_of_a_group(tmp_path):
    """Each seed has a record with facts, metrics with errors, curves, an image and where it came from."""
    (group,) = trial_plan(["planar:K=2"])
    stored = run_group(group, tmp_path)
    read = list(store.records(tmp_path))
    assert sorted(read, key=lambda r: r.cell.seed) == stored
    record = read[0]
    assert record.status == "done"
    assert record.facts.num_params == 2 * 2 + 2 * (2 * 2 + 1)
    assert record.facts.K == 2
    assert set(record.metrics) == {"free_energy", "kl", "forward_kl"}
    assert all(metric.se > 0 for metric in record.metrics.values())
    assert record.curves["step"][-1] == 12
    assert record.provenance["libraries"]["torch"] == torch.__version__
    assert store.arrays(tmp_path, "trial", record.id)["q"].shape == (8, 8)
    assert not list((tmp_path / "trial").glob("checkpoints/*"))


def test_every_family_on_every_kind_of_target(tmp_path):
    """All registered variants run on an energy, an improper one and a model of data, and give that target's metrics."""
    variants = [variant for entry in own() for variant in entry.variants()]
    expected = {
        "u3": {"free_energy", "kl", "forward_kl"},
        "u3:walls=none": {"free_energy", "box_kl", "box_mass"},
        "digits:dim=2,hidden=3": {"free_energy", "nll", "gap", "ess"},
    }
    for target_spec, metrics in expected.items():
        for group in trial_plan(variants, [target_spec], seeds=1, training=TRAINING.model_copy(update={"updates": 4})):
            (record,) = run_group(group, tmp_path)
            assert record.status == "done", (target_spec, record.message)
            without = set() if posterior(group.posterior, 2).has_density else {"forward_kl"}
            assert set(record.metrics) == metrics - without
    assert results(tmp_path).frame["data"].nunique() == 1


def test_failure_is_an_outcome(tmp_path, broken):
    """Out of memory becomes a failed record of one line that names the family's own line; the other groups run."""
    summary = execute(run_group, lose_group, trial_plan(["broken", "gaussian"]), tmp_path, jobs=1)
    assert summary.counts == {"failed": 2, "done": 2}
    (line,) = summary.failures
    assert line.startswith(
        "u1 | broken: OutOfMemoryError: CUDA out of memory. Tried to allocate 20 GiB (test_run_group.py:"
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
    assert record.message == f"{type(fault).__name__}: {str(fault) or 'no message'} (test_run_group.py:{line})"


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


def test_untrained_flows_name_the_device_they_ran_on(tmp_path):
    """Push-forwards run on the CPU whatever device is asked for, and their records say so."""
    (group,) = trial_plan(["radial:K=2"], ["normal"], seeds=1, push=Push(scale=1.0))
    (record,) = run_group(group, tmp_path, device="cuda")
    assert record.status == "done"
    assert record.provenance["device"] == "cpu"


def test_finished_cells_are_skipped_unless_forced(tmp_path):
    """Only the missing seeds are run; --force runs all."""
    first = trial_plan(["gaussian"], seeds=3, asked=[0, 1])
    assert execute(run_group, lose_group, first, tmp_path, jobs=1).counts == {"done": 2}
    more = execute(run_group, lose_group, trial_plan(["gaussian"], seeds=3), tmp_path, jobs=1)
    assert (more.counts, more.skipped) == ({"done": 1}, 2)
    assert execute(run_group, lose_group, trial_plan(["gaussian"], seeds=3), tmp_path, jobs=1, force=True).counts == {
        "done": 3
    }


def test_failed_cells_are_run_again(tmp_path, broken):
    """A failure is not an end: the same command tries again."""
    for _ in range(2):
        assert execute(run_group, lose_group, trial_plan(["broken"]), tmp_path, jobs=1).counts == {"failed": 2}


def test_how_a_training_was_run_is_provenance(tmp_path, monkeypatch):
    """Compiled or not, a cell keeps its identity, so that it is not run twice; its record says how it was run."""
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda function, **_: compiled.append(function) or function)
    (group,) = trial_plan(["gaussian"], seeds=1)
    (plain,) = run_group(group, tmp_path / "plain")
    (fast,) = run_group(group, tmp_path / "fast", acceleration=Acceleration(compile=True))
    assert len(compiled) == 1
    assert [record.provenance["compile"] for record in (plain, fast)] == [False, True]
    assert plain.id == fast.id == group.cells[0].id


def test_committed_records_keep_their_identity():
    """Every committed record still hashes to its name: what a cell is has not changed under it."""
    folder = Path(__file__).parents[2] / "results" / "reference"
    files = [file for file in sorted(folder.glob("*/*.json")) if file.parent.name != store.TIMING]
    assert files
    assert [file for file in files if store.read(file).cell.id != file.stem] == []
    times = sorted(folder.glob(f"{store.TIMING}/*.json"))
    assert times
    assert [file for file in times if timings.read(file).id != file.stem] == []


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


def test_push_forward_of_untrained_flows(tmp_path):
    """An experiment with `push` stores entropy, mean ln|det| and the image; volume is kept where the flow keeps it."""
    groups = trial_plan(["nice:K=2", "radial:K=2"], ["normal", "uniform"], seeds=1, push=Push(scale=1.0))
    assert execute(run_group, lose_group, groups, tmp_path, jobs=1).counts == {"done": 4}
    frame = results(tmp_path).frame.set_index(["target", "family"])
    nice = frame[frame.index.get_level_values("family").str.startswith("nice")]
    assert (nice["log_det"] == 0).all()
    radial = frame[frame.index.get_level_values("family") == "radial"]
    assert (radial["log_det"] != 0).all()


def test_a_cell_alone_has_the_record_it_has_in_company(tmp_path):
    """Seed 2 run by itself stores the curve and the metrics that it stores as one of three, its own and no other's."""
    training = TRAINING.model_copy(update={"dtype": "float64"})
    (group,) = trial_plan(["planar:K=2"], seeds=3, training=training)
    company = run_group(group, tmp_path / "company")
    (alone,) = run_group(group.model_copy(update={"cells": group.cells[2:]}), tmp_path / "alone")
    assert alone.curves["free_energy"] == pytest.approx(company[2].curves["free_energy"], rel=1e-9)
    for name, metric in alone.metrics.items():
        assert metric.value == pytest.approx(company[2].metrics[name].value, rel=1e-9)
    assert company[0].curves != company[1].curves


def test_every_cell_is_evaluated_by_its_own_seed(tmp_path, monkeypatch):
    """Evaluation gets the cell's seed, so that the Monte-Carlo errors of the seeds are independent."""
    seeds: list[int] = []
    nothing = evaluation.Evaluated({}, {})
    monkeypatch.setattr(running, "evaluate", lambda model, config, seed: seeds.append(seed) or nothing)
    (group,) = trial_plan(["gaussian"], seeds=3)
    run_group(group, tmp_path)
    assert seeds == [0, 1, 2]


def test_start_of_a_seed_is_its_own(tmp_path):
    """A seed's start, decoder and posterior, does not depend on the group it is in."""
    (group,) = trial_plan(["nice:K=2"], ["digits:dim=2,hidden=3"], seeds=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        models = [initial_model(cell.posterior, cell.target, cell.seed) for cell in group.cells]
        last = group.cells[2]
        again = initial_model(last.posterior, last.target, last.seed)
    for name, value in models[2].state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    weights = [model.target.likelihood.logits.weight for model in models]
    assert not torch.equal(weights[0], weights[1])


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


def test_a_record_says_how_long_kernels_were_compiled(tmp_path, monkeypatch):
    """Seconds of compiling stand in the provenance; where nothing was compiled, nothing stands there."""
    (group,) = trial_plan(["gaussian"], seeds=1)
    (plain,) = run_group(group, tmp_path)
    assert "compile_seconds" not in plain.provenance
    began = compiling._CLOCK.seconds

    def compiled(*arguments, **options):
        monkeypatch.setattr(compiling._CLOCK, "seconds", began + 1000.0)
        return initial_model(*arguments, **options)

    monkeypatch.setattr(running, "initial_model", compiled)
    (record,) = run_group(group, tmp_path)
    assert record.status == "done", record.message
    assert record.provenance["compile_seconds"] == 1000.0
    assert store.read(store.path(tmp_path, "trial", record.id)) == record


@pytest.mark.parametrize(("stop", "value"), [("budget", 1.0), ("evidence", 2.0)])
def test_the_best_parameters_are_evaluated_where_they_are_not_those_that_are_delivered(stop, value, monkeypatch):
    """Where the last update was the best, its metrics are known, unless an average is what was delivered."""
    (cell,) = trial_plan(["gaussian"], seeds=1)[0].cells
    cell = cell.model_copy(update={"training": cell.training.model_copy(update={"stop": stop})})
    monkeypatch.setattr(running, "evaluate", lambda *_: ({"free_energy": Metric(value=2.0)}, {}))
    model = initial_model("gaussian", "u1", 0)
    found = running._of_best(model, {}, cell.training.updates, cell, {"free_energy": Metric(value=1.0)})
    assert found["best_free_energy"].value == value
