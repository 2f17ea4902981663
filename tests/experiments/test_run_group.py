"""Running groups and plans: every outcome is stored, nothing crashes the grid, finished cells are not run again."""

import math
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import torch
from support.families import own, posterior

from nfbench import results
from nfbench.evaluation import evaluate as evaluation
from nfbench.executors.local import execute
from nfbench.experiments import run_group as running
from nfbench.experiments.plan import plan
from nfbench.experiments.run_group import lose_group, run_group
from nfbench.foundation import compiling
from nfbench.foundation.errors import InputError
from nfbench.posteriors.contract import Flow
from nfbench.present.report.build import report
from nfbench.records import store, timings
from nfbench.specification import registry
from nfbench.specification.config import Evaluation, Push, Training
from nfbench.specification.experiment import Experiment, Profile
from nfbench.targets.contract import Target
from nfbench.targets.densities.u1 import Ring
from nfbench.training import loop as training
from nfbench.training.objective import initial_model
from nfbench.training.update import Acceleration

TRAINING = Training(learning_rate=0.01, updates=12, draws=8, anneal_updates=4)
EVALUATION = Evaluation(draws=200, forward_draws=100, importance_draws=10, grid=8)


def _plan(posteriors, targets=("u1",), seeds=2, training: Training | None = TRAINING, push=None, asked=None):
    profile = Profile(seeds=seeds, training=None if push else training, push=push, evaluation=EVALUATION)
    experiment = Experiment(
        name="trial",
        title="Trial",
        summary="A trial.",
        targets=list(targets),
        posteriors=list(posteriors),
        profiles={"smoke": profile},
    )
    return plan(experiment, "smoke", seeds=asked)


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
    (group,) = _plan(["planar:K=2"])
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


@pytest.mark.parametrize("place", ["_check_sources", "evaluate"])
def test_an_interrupt_that_pydantic_masks_is_no_failure(place, tmp_path, monkeypatch):
    """A signal while a model is serialized is stored as an interrupt, and the next run ends the cells."""
    (group,) = _plan(["gaussian"])

    def masked(*_):
        raise ValueError("Error calling function `serialize`: Interrupt: SIGTERM")

    with monkeypatch.context() as patch:
        patch.setattr(running, place, masked)
        with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
            run_group(group, tmp_path)
    assert {record.status for record in store.records(tmp_path)} == {"interrupted"}
    assert {record.status for record in run_group(group, tmp_path)} == {"done"}


def test_every_family_on_every_kind_of_target(tmp_path):
    """All registered variants run on an energy, an improper one and a model of data, and give that target's metrics."""
    variants = [variant for entry in own() for variant in entry.variants()]
    expected = {
        "u3": {"free_energy", "kl", "forward_kl"},
        "u3:walls=none": {"free_energy", "box_kl", "box_mass"},
        "digits:dim=2,hidden=3": {"free_energy", "nll", "gap", "ess"},
    }
    for target_spec, metrics in expected.items():
        for group in _plan(variants, [target_spec], seeds=1, training=TRAINING.model_copy(update={"updates": 4})):
            (record,) = run_group(group, tmp_path)
            assert record.status == "done", (target_spec, record.message)
            without = set() if posterior(group.posterior, 2).has_density else {"forward_kl"}
            assert set(record.metrics) == metrics - without
    assert results(tmp_path).frame["data"].nunique() == 1


def test_failure_is_an_outcome(tmp_path, broken):
    """Out of memory becomes a failed record of one line that names the family's own line; the other groups run."""
    summary = execute(run_group, lose_group, _plan(["broken", "gaussian"]), tmp_path, jobs=1)
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
    (record, _) = run_group(_plan(["gaussian"], seeds=2)[0], tmp_path)
    assert record.status == "failed"
    line = broken.__code__.co_firstlineno + 1
    assert record.message == f"{type(fault).__name__}: {str(fault) or 'no message'} (test_run_group.py:{line})"


def test_divergence_is_an_outcome(tmp_path, broken):
    """A bound that is not finite becomes a diverged record without metrics, which is not run again."""
    groups = _plan(["gaussian"], ["nowhere"])
    assert execute(run_group, lose_group, groups, tmp_path, jobs=1).counts == {"diverged": 2}
    record = next(iter(store.records(tmp_path)))
    assert record.metrics == {}
    assert "not finite" in record.message
    assert execute(run_group, lose_group, groups, tmp_path, jobs=1).skipped == 2


def test_divergence_in_the_last_update_is_an_outcome(tmp_path):
    """A posterior that only its last update, which no bound follows, threw to infinity is diverged, not done."""
    (group,) = _plan(["gaussian"], training=Training(learning_rate=1e30, updates=1, draws=8, anneal_updates=0))
    for record in run_group(group, tmp_path):
        assert math.isfinite(record.curves["free_energy"][-1])
        assert record.status == "diverged"
        assert record.metrics == {}
        assert "not finite" in record.message


def test_untrained_flows_name_the_device_they_ran_on(tmp_path):
    """Push-forwards run on the CPU whatever device is asked for, and their records say so."""
    (group,) = _plan(["radial:K=2"], ["normal"], seeds=1, push=Push(scale=1.0))
    (record,) = run_group(group, tmp_path, device="cuda")
    assert record.status == "done"
    assert record.provenance["device"] == "cpu"


def test_finished_cells_are_skipped_unless_forced(tmp_path):
    """Only the missing seeds are run; --force runs all."""
    first = _plan(["gaussian"], seeds=3, asked=[0, 1])
    assert execute(run_group, lose_group, first, tmp_path, jobs=1).counts == {"done": 2}
    more = execute(run_group, lose_group, _plan(["gaussian"], seeds=3), tmp_path, jobs=1)
    assert (more.counts, more.skipped) == ({"done": 1}, 2)
    assert execute(run_group, lose_group, _plan(["gaussian"], seeds=3), tmp_path, jobs=1, force=True).counts == {
        "done": 3
    }


def test_failed_cells_are_run_again(tmp_path, broken):
    """A failure is not an end: the same command tries again."""
    for _ in range(2):
        assert execute(run_group, lose_group, _plan(["broken"]), tmp_path, jobs=1).counts == {"failed": 2}


def test_interrupt_is_stored_and_resumed(tmp_path, monkeypatch):
    """Ctrl-C stores `interrupted` records and a checkpoint; the next run takes it up, ends equal, and cleans up."""
    (group,) = _plan(["planar:K=2"])
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
    (group,) = _plan(["planar:K=2"])
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


def test_processes_give_the_same_records(tmp_path):
    """Two worker processes store what one process stores."""
    groups = _plan(["gaussian", "nice:K=2"])
    execute(run_group, lose_group, groups, tmp_path / "one", jobs=1)
    summary = execute(run_group, lose_group, groups, tmp_path / "two", jobs=2)
    assert summary.counts == {"done": 4}
    for record in store.records(tmp_path / "one"):
        in_two = store.read(store.path(tmp_path / "two", "trial", record.id))
        for name, metric in record.metrics.items():
            assert in_two.metrics[name].value == pytest.approx(metric.value, rel=1e-5)


def _die_on_planar(group, root, device, report):
    if group.posterior.startswith("planar"):
        os._exit(9)
    return run_group(group, root, device, report)


def _full(*_):
    raise InputError("cannot write there: No space left on device; expected a writable folder")


def test_how_a_training_was_run_is_provenance(tmp_path, monkeypatch):
    """Compiled or not, a cell keeps its identity, so that it is not run twice; its record says how it was run."""
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda function, **_: compiled.append(function) or function)
    (group,) = _plan(["gaussian"], seeds=1)
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


def test_killed_worker_is_an_outcome(tmp_path):
    """A group whose process is killed becomes failed records, one a seed; the others of its pool still get done."""
    groups = _plan(["gaussian", "planar:K=2", "radial:K=2", "nice:K=2"])
    summary = execute(_die_on_planar, lose_group, groups, tmp_path, jobs=2)
    assert summary.counts == {"failed": 2, "done": 6}
    assert len(summary.failures) == 1
    assert "planar:K=2: its process died" in summary.failures[0]
    frame = results(tmp_path).frame
    assert set(frame.loc[frame["status"] == "failed", "family"]) == {"planar"}


def test_an_outcome_that_cannot_be_stored_ends_the_run(tmp_path):
    """Where the disk is full a run in several processes ends with that line, and counts nothing as done or as gone."""
    with pytest.raises(InputError, match="cannot write there: No space left on device"):
        execute(_full, _full, _plan(["gaussian", "planar:K=2"]), tmp_path, jobs=2)


def test_a_late_failure_keeps_what_is_done(tmp_path, monkeypatch):
    """When the second seed's evaluation fails, the others' records stand; a run beside it loses nothing either."""
    (group,) = _plan(["gaussian"], seeds=3)
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


def _command(folder, posteriors, updates):
    """A run in two processes that keeps checkpoints all the time, but for its results folder; and where to run it."""
    (folder / "long.yaml").write_text(
        f"{{name: long, title: t, summary: s, targets: [u1], posteriors: ['{posteriors}'], profiles: {{quick: {{"
        f"seeds: 1, training: {{learning_rate: 0.01, updates: {updates}, anneal_updates: 0}}, "
        "evaluation: {draws: 20, grid: 4}}}}"
    )
    (folder / "command.py").write_text(
        # A command that a script starts in the background ignores Ctrl-C, and so would this one under such a test run.
        "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import nfbench.training.loop\nnfbench.training.loop.CHECKPOINT_SECONDS = 0.0\n"
        "import nfbench\nfrom nfbench.cli.app import main\n"
        "@nfbench.register_posterior('own', label='Own', cite='nobody')\n"
        "def own(dim: int):\n    'Its sake makes processes import this script, and so keep checkpoints too.'\n"
        "if __name__ == '__main__':\n    main()\n"
    )
    where = {"cwd": folder, "stderr": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    return [sys.executable, "command.py", "run", "long.yaml", "--jobs", "2", "--results"], where


def test_an_interrupt_begins_no_other_group(tmp_path):
    """Ctrl-C with groups still waiting ends the command at once: those in training are kept, no other is begun."""
    command, where = _command(tmp_path, "planar:K=1|2|3|4|5|6", 50_000)
    with subprocess.Popen([*command, "results"], start_new_session=True, **where) as running_command:
        _wait_for(lambda: len(list((tmp_path / "results").glob("long/checkpoints/*.pt"))) == 2)
        os.killpg(running_command.pid, signal.SIGINT)
        try:
            assert running_command.wait(timeout=300) == 130
        finally:
            running_command.kill()
    assert list(results(tmp_path / "results").frame["status"]) == ["interrupted"] * 2


def test_no_process_outlives_a_killed_command(tmp_path):
    """Killed without warning in the middle, a run takes its workers along; the same again ends as one that was not."""
    command, where = _command(tmp_path, "planar:K=1|2", 600)
    with subprocess.Popen([*command, "results"], **where) as running_command:
        _wait_for(lambda: list((tmp_path / "results").glob("long/checkpoints/*.pt")))
        workers = _children(running_command.pid)
        running_command.kill()
    assert len(workers) >= 2
    _wait_for(lambda: not any(_alive(worker) for worker in workers))
    for root in ("results", "straight"):
        subprocess.run([*command, root], check=True, **where)
    killed, straight = (results(tmp_path / root).frame.set_index("id")["kl"] for root in ("results", "straight"))
    assert killed.to_dict() == straight.to_dict()
    assert {file.suffix for file in (tmp_path / "results" / "long").iterdir()} == {".json", ".npz"}


def _wait_for(condition):
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, "waited two minutes in vain"
        time.sleep(0.02)


def _stat(pid):
    """State and parent of a process, as Linux tells them."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return "Z", "0"


def _children(pid):
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [child for child in pids if _stat(child)[1] == str(pid)]


def _alive(pid):
    return _stat(pid)[0] != "Z"


def test_push_forward_of_untrained_flows(tmp_path):
    """An experiment with `push` stores entropy, mean ln|det| and the image; volume is kept where the flow keeps it."""
    groups = _plan(["nice:K=2", "radial:K=2"], ["normal", "uniform"], seeds=1, push=Push(scale=1.0))
    assert execute(run_group, lose_group, groups, tmp_path, jobs=1).counts == {"done": 4}
    frame = results(tmp_path).frame.set_index(["target", "family"])
    nice = frame[frame.index.get_level_values("family").str.startswith("nice")]
    assert (nice["log_det"] == 0).all()
    radial = frame[frame.index.get_level_values("family") == "radial"]
    assert (radial["log_det"] != 0).all()


def test_a_cell_alone_has_the_record_it_has_in_company(tmp_path):
    """Seed 2 run by itself stores the curve and the metrics that it stores as one of three, its own and no other's."""
    training = TRAINING.model_copy(update={"dtype": "float64"})
    (group,) = _plan(["planar:K=2"], seeds=3, training=training)
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
    (group,) = _plan(["gaussian"], seeds=3)
    run_group(group, tmp_path)
    assert seeds == [0, 1, 2]


def test_start_of_a_seed_is_its_own(tmp_path):
    """A seed's start, decoder and posterior, does not depend on the group it is in."""
    (group,) = _plan(["nice:K=2"], ["digits:dim=2,hidden=3"], seeds=3)
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
    execute(run_group, lose_group, _plan(["broken", "gaussian"]), tmp_path / "results", jobs=1)
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
    (group,) = _plan(["gaussian"], seeds=1)
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
