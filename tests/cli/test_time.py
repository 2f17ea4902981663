"""``nfbench time`` as its users see it: cases, output, one line for what is wrong, exit codes."""

import os
import subprocess
import sys

import pytest
import torch
from support.families import posterior, specs
from support.timed import case_of, timing_of

from nfbench.cli import time as command
from nfbench.cli.app import main
from nfbench.cli.time_table import table
from nfbench.foundation.errors import InputError
from nfbench.foundation.progress import Progress
from nfbench.foundation.settings import BACKEND_VARIABLE
from nfbench.records import timings
from nfbench.records.timings import Spread
from nfbench.specification.registry import posteriors
from nfbench.timing import lock as lanes
from nfbench.timing import plan
from nfbench.timing.contenders.contract import CONTENDERS, Contender, contenders, register
from nfbench.timing.contenders.house import NFBENCH

FAST = "--profile smoke --vs reference --threads 1"


@pytest.fixture
def nf(capsys, tmp_path, monkeypatch):
    """Run a command line in an empty folder with a lane of its own: `(exit code, standard output, standard error)`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lanes.tempfile, "gettempdir", lambda: str(tmp_path))
    (tmp_path / "file").write_text("a regular file")
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    monkeypatch.setattr(command, "_SLOW", 0.0)  # what this machine does beside the tests is not theirs
    before = os.environ.get(BACKEND_VARIABLE)

    def run(line):
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main(line.split())
        printed = capsys.readouterr()
        assert os.environ.get(BACKEND_VARIABLE) == before
        return caught.value.code, printed.out, printed.err

    return run


WRONG = [
    ("time --profile papr", ["'papr'", "known: smoke, quick, full"]),
    ("time --posterior plnar", ["'plnar'", "did you mean planar?"]),
    ("time --posterior planar:K=-1", ["K=-1", "greater than or equal to 0"]),
    ("time --mode backwards", ["'backwards'", "known: sample, forward, backward, inverse, step"]),
    ("time --vs normflow", ["'normflow'", "did you mean normflows", "known: nfbench, textbook"]),
    ("time --dims 0", ["dims '0'", "at least 1"]),
    ("time --dims -3", ["dims '-3'", "at least 1"]),
    ("time --dims 2|x", ["dims 'x'", "2|40"]),
    ("time --depths 2.5", ["depths '2.5'", "whole number"]),
    ("time --draws -1", ["draws '-1'", "at least 0"]),
    ("time --batch 0", ["batches '0'", "at least 1"]),
    ("time --seeds 0", ["seeds '0'", "at least 1"]),
    ("time --target u9", ["'u9'", "known: ", " digits, "]),
    ("time --device cuda", ["'cuda'", "known: cpu"]),
    ("time --device gpu", ["'gpu'", "known: cpu"]),
    ("time --backend fast", ["'fast'", "expected one of auto"]),
    ("time --dtype float16", ["'float16'", "'float32', 'float64'"]),
    ("time --threads 0", ["--threads", "greater than or equal to 1"]),
    ("time --results file/results", ["'file/results'", "expected a writable folder"]),
    ("time planar", ["unexpected extra argument", "planar"]),
]


@pytest.mark.parametrize(("line", "names"), WRONG, ids=[line for line, _ in WRONG])
def test_wrong_input_is_one_line_and_exit_code_two(nf, monkeypatch, tmp_path, line, names):
    """The line names the thing, its value and what was expected; nothing is printed, timed or written beside it."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    code, out, err = nf(line)
    assert (code, out) == (2, "")
    assert err.startswith("nfbench: error: ")
    assert err.count("\n") == 1
    assert all(name in err for name in names), err
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["file"]


def test_a_wrong_variable_is_refused_before_anything_runs(nf, monkeypatch):
    """``NFBENCH_BACKEND`` counts where the option is not given."""
    monkeypatch.setenv(BACKEND_VARIABLE, "fast")
    with pytest.raises(SystemExit) as caught:
        main(["time"])
    assert caught.value.code == 2


def test_help_loads_nothing_heavy():
    """The options are shown without torch."""
    script = (
        "import sys\n"
        "from nfbench.cli.app import main\n"
        "try: main(['time', '--help'])\n"
        "except SystemExit as done: assert done.code == 0, done.code\n"
        "print('loaded:', [name for name in ('torch', 'numpy', 'pandas', 'rich.progress') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    for option in ("--posterior", "--dims", "--depths", "--draws", "--batch", "--amortized", "--mode", "--vs"):
        assert option in done.stdout
    assert done.stdout.endswith("loaded: []\n")


def test_a_profile_times_every_family(nf, tmp_path):
    """All registered variants in every mode of the profile: a line for each contender, a table, a record each.

    Registered are but three families, as the path is the same for all; .ci/run times every one. What has no density at
    points lacks the mode that asks for it, and nothing else.
    """
    posteriors._entries = {name: posteriors._entries[name] for name in ("gaussian", "nice", "hvi")}
    code, out, err = nf(f"time {FAST}")
    found = list(timings.timings(tmp_path / "results"))
    assert code == 0
    done = [one for one in found if one.status == "done"]
    lacking = {(one.case.mode, one.case.posterior) for one in found if one not in done}
    auxiliary = [spec for spec in specs(2) if not posterior(spec, 2).has_density]
    assert lacking == {("inverse", str(posteriors.choose(spec))) for spec in auxiliary}
    assert {one.status for one in found} == {"done", "lacking"}
    assert {one.contender for one in found} == {"nfbench", "reference"}
    wanted = plan.plan(plan.profile("smoke").sizes, plan.Where("smoke", "cpu", "float32", 1))
    chains = [item.case for item in wanted if item.case.mode != "step"]
    assert {one.case.model_dump_json() for one in found} >= {case.model_dump_json() for case in chains}
    assert len(specs(2)) == len({one.case.posterior for one in found})
    assert err.count("\n") == len(found)
    assert "[1/" in err
    assert f"{len(done)} done, {len(found) - len(done)} lacking; records in results/timing" in out.splitlines()[-1]
    assert all(one.provenance["protocol"]["rounds"] == 3 for one in found)


def test_sizes_make_a_product(nf, tmp_path):
    """Sizes on the command line replace the profile's cases by their product, written with `|` or one by one."""
    code, out, _ = nf(
        f"time {FAST} --posterior planar --dims 2|3 --depths 1 --depths 4 --draws 5 --mode sample --dtype float64"
    )
    found = {one.case for one in timings.timings(tmp_path / "results")}
    assert code == 0
    assert {(case.dim, case.posterior, case.draws, case.dtype) for case in found} == {
        (dim, f"planar:K={depth}", 5, "float64") for dim in (2, 3) for depth in (1, 4)
    }
    assert {(case.profile, case.mode, case.amortized) for case in found} == {("custom", "sample", False)}
    assert "4 cases: 8 done" in out


def test_numbers_for_each_data_point(nf, tmp_path):
    """``--amortized`` alone is a size too, and gradients are what is timed if nothing else is asked for."""
    code, _, _ = nf(f"time {FAST} --posterior planar:K=2 --amortized --batch 3 --draws 1")
    (case,) = {one.case for one in timings.timings(tmp_path / "results")}
    assert (code, case.amortized, case.batch, case.mode) == (0, True, 3, "backward")


def test_the_backend_is_the_users(nf, tmp_path, monkeypatch):
    """``--backend`` holds for this run only, and its name is in the record of nfbench."""
    monkeypatch.delenv(BACKEND_VARIABLE, raising=False)
    with pytest.raises(SystemExit) as caught:
        main(f"time {FAST} --posterior planar --mode sample --backend numba".split())
    found = {one.contender: one.provenance["backend"] for one in timings.timings(tmp_path / "results")}
    assert (caught.value.code, found) == (0, {"nfbench": "numba", "reference": "reference"})
    assert BACKEND_VARIABLE not in os.environ


def test_a_failed_contender_is_exit_code_one(nf, monkeypatch):
    """The others are measured, the table says who failed and why, and what is lacking is no failure."""

    def breaks(case, given):
        raise RuntimeError("it broke")

    contenders()
    monkeypatch.setattr(CONTENDERS, "_entries", dict(CONTENDERS._entries))
    register(Contender("breaks", "Breaks", breaks))
    register(Contender("lacks", "Lacks", lambda case, given: None))
    code, out, err = nf("time --profile smoke --posterior gaussian --mode sample --vs breaks,lacks")
    assert code == 1
    assert "breaks failed: RuntimeError: it broke" in err
    assert "failed: breaks, gaussian sample D=2 S=16 B=1: RuntimeError: it broke" in out
    assert "1 case: 1 done, 1 failed, 1 lacking" in out
    assert nf("time --profile smoke --posterior gaussian --mode sample --vs lacks")[0] == 0


def test_the_table_says_who_disagrees(nf, monkeypatch):
    """No ratio for a contender that computes something else, and its error instead."""

    def wrong(case, given):
        work = NFBENCH.build(case, given)
        return work._replace(outcome=lambda: {name: 2 * value for name, value in work.outcome().items()})

    contenders()
    monkeypatch.setattr(CONTENDERS, "_entries", dict(CONTENDERS._entries))
    register(Contender("wrong", "Wrong", wrong))
    code, out, err = nf("time --profile smoke --posterior gaussian --mode sample --vs wrong,reference")
    rows = {line.split()[0]: line for line in out.splitlines() if line.startswith("  ") and line.strip()}
    assert code == 0
    assert rows["wrong"].endswith("no (1.0e+00)")
    assert "x" not in rows["wrong"]
    assert rows["reference"].endswith("yes")
    assert "x" in rows["reference"].replace("reference", "")
    assert "wrong" in err
    assert "disagrees" in err


def test_a_busy_machine_is_said(nf, monkeypatch):
    """One line before anything is measured; the times are taken all the same."""
    monkeypatch.setattr(os, "getloadavg", lambda: (3.2, 0.0, 0.0))
    code, _, err = nf(f"time {FAST} --posterior gaussian --mode sample")
    assert code == 0
    assert err.startswith("nfbench: warning: the machine is not idle (load average 3.2)")


def test_a_slow_machine_is_said(nf, tmp_path, monkeypatch):
    """Where the machine has been much faster in other records, the times of this command are said to be long."""
    monkeypatch.setattr(command, "_SLOW", 0.8)
    assert nf(f"time {FAST} --posterior gaussian --mode sample --results {tmp_path}")[0] == 0
    before = next(one for one in timings.timings(tmp_path) if one.contender == "nfbench")
    assert before.floor is not None
    for file in (tmp_path / "timing").iterdir():
        file.unlink()
    code, _, err = nf(f"time {FAST} --posterior gaussian --mode forward --results {tmp_path}")
    assert code == 0
    assert "best rate" not in err
    faster = before.model_copy(update={"floor": before.floor.model_copy(update={"rate": 1e3 * before.floor.rate})})
    timings.write(tmp_path, faster)
    same = next(one for one in timings.timings(tmp_path) if one.contender == "nfbench" and one.case.mode == "forward")
    timings.write(tmp_path / "reference", same)  # somebody else's record of the case is not of this command
    code, _, err = nf(f"time {FAST} --posterior gaussian --mode forward --results {tmp_path}")
    assert code == 0
    assert "1 of 1 cases were timed while this machine multiplied matrices at 0 % of its best rate" in err


def test_a_step_is_compared_model_by_model():
    """A contender that trains one of two models in as long as nfbench trains both takes twice as long for each."""
    case = case_of("gaussian", "step", target="u1", seeds=2)
    same = Spread(median=1.0, low=1.0, high=1.0)
    base, other = (timing_of(case, name, spread=same, ratio=same, models=2 - place) for place, name in enumerate("ab"))
    rows = [line for line in table([base, other]) if line.startswith("  a") or line.startswith("  b")]
    assert ["1.00x" in rows[0], "2.00x" in rows[1]] == [True, True]


def test_one_timing_at_a_time(nf, tmp_path):
    """While another process holds the lane, ``--no-wait`` fails with one line and exit code 2, and times nothing."""
    with lanes.lane():
        code, out, err = nf(f"time {FAST} --no-wait")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"another timing runs on this machine (process {os.getpid()}" in err
    assert list(timings.timings(tmp_path / "results")) == []


def test_an_interrupt_keeps_what_is_measured(nf, monkeypatch, tmp_path):
    """Ctrl-C in the second case: exit code 130, one line, the first case's records are there, the lane is free."""
    shown, lines = Progress.report, []

    def stop(self, ended, line):
        shown(self, ended, line)
        lines.append(line)
        if len(lines) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "report", stop)
    code, out, err = nf(f"time {FAST} --posterior gaussian")
    assert (code, out) == (130, "")
    assert err.splitlines()[-1] == "nfbench: interrupted: 2 timings are kept in results"
    assert len(list(timings.timings(tmp_path / "results"))) == 2
    with lanes.lane(wait=False):
        pass


def test_an_empty_table_is_its_header():
    """Nothing measured, nothing shown."""
    assert len(table([])) == 1


def test_modes_narrow_a_profile(nf):
    """A mode that the profile does not time is an error that names those it has."""
    chosen = [plan.Sizes(modes=["forward"])]
    with pytest.raises(InputError, match="it has: forward"):
        plan.narrowed(chosen, ["sample"])
    code, out, _ = nf(f"time {FAST} --posterior gaussian --mode inverse")
    assert (code, "1 case: 2 done" in out) == (0, True)
