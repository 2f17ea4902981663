"""The options that say where groups are run: wrong ones, and engines that are not here, are one line."""

import sys
from pathlib import Path

import pytest

from nfbench.cli.app import main
from nfbench.executors.slurm import Slurm, jobs_for

RUN = ["run", "figure3", "--profile", "smoke", "--target", "u1", "--posterior", "gaussian", "--results", "results"]


def refused(words, capsys):
    """Run a command line that is refused; what it says."""
    with pytest.raises(SystemExit) as caught:
        main([*RUN, *words])
    out, err = capsys.readouterr()
    assert (caught.value.code, out, err.count("\n")) == (2, "", 1)
    return err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--slurm", "partition=x"], "--slurm with --executor local: expected --executor slurm"),
        (["--no-wait"], "--no-wait with --executor local: expected --executor slurm"),
        (["--workers-per-gpu", "2"], "--workers-per-gpu with --executor local: expected --executor slurm or ray"),
        (["--job-minutes", "5"], "--job-minutes with --executor local: expected --executor slurm"),
        (["--executor", "slurm", "--force"], "--force with --executor slurm: expected --executor local"),
        (["--executor", "slurm", "--slurm", "x"], "--slurm 'x': expected KEY=VALUE, such as partition=gpu"),
        (["--executor", "slurm", "--slurm", "time=5"], "--slurm time=5: expected --job-minutes for that"),
        (["--executor", "slurm", "--job-minutes", "0"], "--job-minutes 0: expected a number of minutes from 1"),
        (["--executor", "slurm", "--device", "cuda:1"], "device 'cuda:1': expected cpu or cuda"),
        (["--executor", "ray", "--slurm", "x=y"], "--slurm with --executor ray: expected --executor slurm"),
        (["--executor", "ray", "--no-wait"], "--no-wait with --executor ray: expected --executor slurm"),
        (["--executor", "ray", "--force"], "--force with --executor ray: expected --executor local"),
        (["--executor", "dask"], "'dask' is not one of 'local', 'slurm', 'ray'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_option_is_one_line(words, said, capsys, monkeypatch, tmp_path):
    """It names the option, its value and what was expected."""
    monkeypatch.chdir(tmp_path)
    assert said in refused(words, capsys)


@pytest.mark.parametrize(("executor", "package"), [("slurm", "submitit"), ("ray", "ray")])
def test_an_engine_that_is_not_installed_is_named_with_its_extra(executor, package, capsys, monkeypatch, tmp_path):
    """What to install stands in the line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, package, None)
    said = refused(["--executor", executor], capsys)
    assert f"{package} is not installed; expected: pip install 'nfbench[{executor}]'" in said


def test_a_machine_without_slurm_is_named(capsys, monkeypatch, tmp_path):
    """It has no sbatch; nothing is left in the folder of results."""
    pytest.importorskip("submitit", reason="needs submitit")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "sbatch is not here; expected a machine that submits to SLURM" in refused(["--executor", "slurm"], capsys)
    assert not (tmp_path / "results" / "plans").exists()


@pytest.mark.parametrize(
    ("seconds", "workers", "most", "jobs"),
    [
        ([3600.0] * 10, 1, None, 10),
        ([3600.0] * 10, 4, None, 3),
        ([3600.0] * 10, 1, 2, 2),
        ([7200.0] * 3, 1, None, 3),
        ([None] * 12, 1, None, 2),
        ([0.1], 8, None, 1),
        ([3600.0] * 5000, 1, None, 1000),
    ],
)
def test_groups_are_packed_by_estimated_minutes(seconds, workers, most, jobs):
    """Into as many jobs of an hour as their estimates fill, at least one, never more than groups are there for."""
    assert jobs_for(seconds, 60, workers, most) == jobs


def test_parameters_of_sbatch_reach_the_submission(monkeypatch, tmp_path):
    """An array of jobs with the time limit, the workers' cores, a GPU and what the user has added."""
    submitit = pytest.importorskip("submitit", reason="needs submitit")
    from nfbench.executors.engine import Sweep

    texts = []

    def submitted(command, *_, **__):
        texts.append(Path(command[-1]).read_text())
        return lambda: "Submitted batch job 7"

    monkeypatch.setattr(submitit.slurm.slurm.SlurmExecutor, "affinity", staticmethod(lambda: 2))
    monkeypatch.setattr(submitit.core.utils, "CommandFunction", submitted)
    engine = Slurm(jobs=3, workers_per_gpu=2, minutes=30, parameters={"partition": "gpu"})
    jobs = engine.submit(Sweep(("--results", "r"), "cuda", [3600.0] * 10, tmp_path))
    assert [job.job_id for job in jobs] == ["7_0", "7_1", "7_2"]
    lines = {line.removeprefix("#SBATCH --") for line in texts[0].splitlines()}
    assert {"array=0-2%3", "time=30", "cpus-per-task=2", "gpus-per-node=1", "partition=gpu"} <= lines
