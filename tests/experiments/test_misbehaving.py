"""Code of others that misbehaves in some fifty ways: each is a record, all other cells are as they are without it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import misbehaving

from nfbench.executors.messages import Lost
from nfbench.executors.trial import try_each
from nfbench.experiments.data_of import data_of
from nfbench.experiments.plan import plan
from nfbench.foundation.errors import InputError
from nfbench.records import store
from nfbench.specification.config import Evaluation, Training
from nfbench.specification.experiment import Experiment, Profile

LIMITS = ("--group-seconds", "5", "--group-memory", "1")
# Name -> (status, part of the message). A target that only changes the process is done, and its record says so.
OUTCOMES = {
    "nothing": ("done", ""),
    "exits": ("failed", "SystemExit: no message (misbehaving.py:"),
    "exits_late": ("failed", "SystemExit: 0 (misbehaving.py:"),
    "quits_at_once": ("failed", "its process died: exit code 0 (misbehaving.py:"),
    "crashes": ("failed", "its process died: SIGSEGV (misbehaving.py:"),
    "aborts": ("failed", "its process died: SIGABRT (misbehaving.py:"),
    "is_killed": ("failed", "its process died: SIGKILL"),
    "becomes_another_program": ("failed", "its process died: exit code 0"),
    "hangs": ("failed", "over its limit of 5 s (--group-seconds) (misbehaving.py:"),
    "hangs_in_c": ("failed", "over its limit of 5 s (--group-seconds) (misbehaving.py:"),
    "stops_itself": ("failed", "over its limit of 5 s (--group-seconds)"),
    "takes_memory": ("failed", "over its limit of 1 GiB (--group-memory)"),
    "lacks_memory": ("failed", "MemoryError: no message (misbehaving.py:"),
    "asks_for_too_much": ("failed", "RuntimeError: "),
    "recurses": ("failed", "RecursionError: maximum recursion depth exceeded"),
    "raises_late": ("failed", "RuntimeError: not again (misbehaving.py:"),
    "raises_when_evaluated": ("failed", "RuntimeError: no float64 (misbehaving.py:"),
    "raises_a_long_message": ("failed", "RuntimeError: xxx"),
    "raises_half_a_character": ("failed", "RuntimeError: a?b (misbehaving.py:"),
    "raises_what_cannot_speak": ("failed", "SpeechlessError: no message, as its __str__ raised ValueError"),
    "raises_no_exception": ("failed", "Rude: out of the way (misbehaving.py:"),
    "raises_generator_exit": ("failed", "GeneratorExit: no message (misbehaving.py:"),
    "raises_keyboard_interrupt": ("failed", "KeyboardInterrupt: no message (misbehaving.py:"),
    "raises_stop_iteration": ("failed", "StopIteration: no message (misbehaving.py:"),
    "prints": ("done", ""),
    "prints_a_flood": ("done", ""),
    "warns_in_a_flood": ("done", ""),
    "closes_its_output": ("done", ""),
    "closes_its_descriptors": ("done", ""),
    "changes_folder": ("done", "the working directory"),
    "changes_default_dtype": ("done", "torch's default dtype"),
    "changes_default_device": ("done", "torch's default device"),
    "switches_gradients_off": ("failed", "does not require grad"),
    "enters_inference_mode": ("failed", ""),
    "changes_threads_of_torch": ("done", "torch's number of threads"),
    "changes_environment": ("failed", "NFBENCH_BACKEND='nonsense'"),
    "changes_recursion_limit": ("done", "the recursion limit"),
    "switches_validation_off": ("done", "torch.distributions' check of arguments"),
    "ignores_signals": ("done", "signal handlers"),
    "makes_warnings_errors": ("done", "filters of warnings"),
    "stops_collecting_garbage": ("done", "garbage collection"),
    "seeds_everything": ("done", ""),
    "leaves_threads": ("done", ""),
    "leaves_a_process": ("done", ""),
    "forks": ("done", ""),
    "deletes_checkpoints": ("done", ""),
    "returns_a_sum": ("failed", "returned (), expected (S, B)"),
    "returns_a_column": ("failed", "expected (S, B)"),
    "returns_a_number": ("failed", "returned float, expected a tensor"),
    "returns_nothing": ("failed", "returned NoneType, expected a tensor"),
    "returns_float64": ("failed", "expected torch.float32"),
    "returns_nan": ("diverged", "not finite"),
    "returns_minus_infinity": ("diverged", "not finite"),
    "returns_nan_late": ("diverged", "not finite"),
    "returns_a_constant": ("done", ""),
    "returns_no_gradient": ("done", ""),
    "changes_its_argument": ("failed", "changed in place"),
    "mixes_draws": ("failed", "ln p(x, z) of draw 0"),
    "is_random": ("failed", "ln p(x, z) of draw 0"),
}
GRID = """\
name: ways
title: Ways to misbehave
summary: One posterior on targets that misbehave, and on targets that do not.
targets: [u1, {targets}]
posteriors: [gaussian, "planar:K=1"]
profiles:
  quick:
    seeds: 1
    training: {{learning_rate: 0.02, updates: 20, draws: 8, anneal_updates: 2}}
    evaluation: {{draws: 20, forward_draws: 20, grid: 4}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the plug-in installed in it."""
    folder = tmp_path_factory.mktemp("ways")
    shutil.copy(misbehaving.__file__, folder / "misbehaving.py")
    facts = folder / "misbehaving-1.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: misbehaving\nVersion: 1\n")
    (facts / "entry_points.txt").write_text("[nfbench.targets]\nmisbehaving = misbehaving\n")
    return folder


def nfbench(folder, *words, **options):
    """Run the command line in the folder, with the plug-in installed and without kernels that have to be compiled."""
    path = os.pathsep.join([str(folder), str(Path(store.__file__).parents[2])])
    environment = os.environ | {"PYTHONPATH": path, "NFBENCH_BACKEND": "reference", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "nfbench", *words],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False, **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def command(folder):
    """The run of everything in one command, whose records lie in `results`."""
    (folder / "ways.yaml").write_text(GRID.format(targets=f'"misbehaving:how={"|".join(misbehaving.WAYS)}"'))
    return nfbench(folder, "run", "ways.yaml", "--jobs", "2", "--posterior", "gaussian", *LIMITS)


@pytest.fixture(scope="module")
def records(folder, command):
    """The records by their way to misbehave; those of u1 under that name."""
    records = list(store.records(folder / "results"))
    return {record.cell.target.removeprefix("misbehaving:how="): record for record in records}


def test_every_way_is_listed():
    """At least 40 ways are tried, and each has its outcome in this file."""
    assert set(OUTCOMES) == set(misbehaving.WAYS)
    assert len(OUTCOMES) - 1 >= 40


@pytest.mark.parametrize("how", OUTCOMES)
def test_misbehaviour_is_a_record(records, how):
    """A target that misbehaves has a record that says what happened and, where that can be known, in which line."""
    status, text = OUTCOMES[how]
    record = records[how]
    assert record.status == status, record.message
    if status == "done":
        assert text in " ".join(record.provenance.get("changed_by_its_code", [""]))
    else:
        assert text in record.message
        assert "\n" not in record.message
        assert len(record.message) < 700
    if "(misbehaving.py:" in (record.message or ""):
        assert 'misbehaving.py", line ' in record.traceback


def test_the_command_says_so(command):
    """The exit code is 1, every failure is one line, and nothing that a plug-in printed stands among the results."""
    assert command.returncode == 1, command.stderr
    counts = {status: sum(s == status for s, _ in OUTCOMES.values()) for status in ("done", "failed", "diverged")}
    assert f"{counts['done'] + 1} done" in command.stdout
    assert f"{counts['failed']} failed" in command.stdout
    assert command.stdout.count("\n") == 1
    assert command.stderr.count("nfbench: failed: misbehaving:how=") == counts["failed"]
    assert "Traceback" not in command.stderr
    assert len(command.stderr) < 500_000


def test_other_cells_are_unharmed(folder, records, command):
    """The cells of targets that behave have the metrics that they have alone, to the last bit."""
    (folder / "alone.yaml").write_text((folder / "ways.yaml").read_text())
    done = nfbench(folder, "run", "alone.yaml", "--posterior", "gaussian", "--target", "u1", "--target",
                   "misbehaving:how=nothing", "--results", "alone")  # fmt: skip
    assert done.returncode == 0, done.stderr
    alone = list(store.records(folder / "alone"))
    assert len(alone) == 2
    for record in alone:
        with_others = records[record.cell.target.removeprefix("misbehaving:how=")]
        assert with_others.id == record.id
        assert with_others.metrics == record.metrics
        assert with_others.curves == record.curves


def test_no_process_is_left(folder, command):
    """Neither copies of a worker nor what plug-ins have started outlive the command."""
    left = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "cwd").resolve() == folder:
                    left.append((entry / "cmdline").read_text())
            except OSError:
                continue
    assert left == []


PLANNED = """\
import ctypes, os, time
dim = 2
ENDING
def log_joint(z):
    return -(z ** 2).sum(-1)
"""
ENDINGS = {
    "os._exit(0)": "its process died: exit code 0 (wild.py:3)",
    "ctypes.string_at(0)": "its process died: SIGSEGV (wild.py:3)",
    "time.sleep(1000)": "not done after 5 s (wild.py:3)",
}


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """What a plan says of files that end or keep the process that imports them, by their endings."""
    folder = tmp_path_factory.mktemp("planned")
    places = []
    for number, ending in enumerate([*ENDINGS, "pass"]):
        place = folder / str(number) / "wild.py"
        place.parent.mkdir()
        place.write_text(PLANNED.replace("ENDING", ending))
        places.append(f"file:{place}")
    answers = try_each(data_of, places, seconds=5)
    return dict(zip([*ENDINGS, "pass"], answers, strict=True)), places


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_target_that_ends_the_planning_process_is_one_line(planned, ending):
    """A user's file is imported apart from the command: it may exit, crash or hang, and one line says where."""
    answer = planned[0][ending]
    assert isinstance(answer, Lost)
    assert ENDINGS[ending] in answer.message
    assert "\n" not in answer.message


def test_targets_after_one_that_died_are_planned(planned):
    """The next target gets a new process."""
    assert planned[0]["pass"] is None


def test_a_plan_refuses_a_target_that_dies(planned):
    """The error names the target and the line of its file; nothing of the plan is run."""
    training = Training(updates=1, learning_rate=0.1, anneal_updates=0)
    profile = Profile(seeds=1, training=training, evaluation=Evaluation())
    experiment = Experiment(
        name="trial", title="", summary="", targets=["u1", planned[1][0]], posteriors=["gaussian"],
        profiles={"smoke": profile},
    )  # fmt: skip
    with pytest.raises(InputError, match=r"^target 'file:.*' cannot be built: its process died: exit code 0 \(wild"):
        plan(experiment, "smoke")
