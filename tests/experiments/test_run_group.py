"""Running a group: a record says what was found and how it came about; finished cells are not run again."""

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
from nfbench.records import store, timings
from nfbench.records.cells import Metric
from nfbench.specification.config import Push
from nfbench.training.acceleration import Acceleration
from nfbench.training.objective import initial_model


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
