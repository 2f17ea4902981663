"""Runs that are asked to end, whose streams are closed or full, or whose script has no guard."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pydantic import BaseModel, model_serializer

import nfbench
from nfbench.foundation.interrupts import Interrupt, deferred, interruptible
from nfbench.records import store

ROOT = Path(nfbench.__file__).parents[1]
LONG = """\
name: long
title: Long
summary: One flow that trains for long.
targets: [u1]
posteriors: ["planar:K=1"]
profiles:
  quick:
    seeds: 1
    training: {learning_rate: 0.01, updates: 300000, anneal_updates: 0}
    evaluation: {draws: 20, forward_draws: 20, grid: 4}
"""
SHORT = LONG.replace("name: long", "name: short").replace("300000", "3")


@pytest.fixture(autouse=True)
def heard():
    """SIGHUP and SIGINT are heard, also under nohup and in a shell's background, where processes are deaf to them."""
    handlers = {signal.SIGHUP: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "long.yaml").write_text(LONG)
    (tmp_path / "short.yaml").write_text(SHORT)
    return tmp_path


def command(*words):
    """A command line of nfbench for `subprocess`, and its environment."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NFBENCH_BACKEND": "reference", "OMP_NUM_THREADS": "1"}
    return [sys.executable, "-m", "nfbench", *words], environment


def test_the_first_signal_raises_and_the_second_waits():
    """What the first signal asks to be stored is not interrupted by an impatient second one; a third one ends it."""
    before = signal.getsignal(signal.SIGTERM)
    with interruptible() as signals:
        with pytest.raises(Interrupt, match="SIGTERM") as caught:
            signal.raise_signal(signal.SIGTERM)
        assert caught.value.exit_code == 143
        signal.raise_signal(signal.SIGHUP)
        assert signals.count == 2
        with pytest.raises(Interrupt, match="SIGINT"):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_deferred_signal_raises_at_the_end_of_the_block():
    """Within the block the first signal waits and the third raises at once; after the block signals raise as before."""

    def raised(*numbers):
        with deferred():
            for number in numbers:
                signal.raise_signal(number)
                seen.append(number)

    seen = []
    with interruptible():
        with pytest.raises(Interrupt, match="SIGTERM"):
            raised(signal.SIGTERM, signal.SIGHUP)
        assert seen == [signal.SIGTERM, signal.SIGHUP]
        with pytest.raises(Interrupt, match="SIGHUP"):
            raised(signal.SIGHUP)
        assert len(seen) == 2
    with interruptible():
        with deferred():
            pass
        with pytest.raises(Interrupt, match="SIGTERM"):
            signal.raise_signal(signal.SIGTERM)


class Signalled(BaseModel):
    """A model within whose serializer a signal comes; pydantic makes an error of its own of what is raised."""

    @model_serializer(mode="wrap")
    def _with_a_signal(self, _):
        signal.raise_signal(signal.SIGTERM)
        return {}


class Faulty(Signalled):
    """A model whose serializer fails with a message that speaks of no signal there is."""

    @model_serializer(mode="wrap")
    def _with_a_signal(self, _):
        raise TypeError("Interrupt: SIGNAL")


@pytest.mark.parametrize("dump", [Signalled.model_dump, Signalled.model_dump_json])
def test_an_interrupt_that_other_code_has_made_an_error_of_is_one_again(dump):
    """A signal within a serializer of pydantic leaves the block as its interrupt, other errors as they are."""

    def dumped(model):
        with interruptible():
            dump(model)

    with pytest.raises(Interrupt, match="SIGTERM") as caught:
        dumped(Signalled())
    assert caught.value.exit_code == 143
    with pytest.raises(ValueError, match="Interrupt: SIGNAL"):
        dumped(Faulty())


def test_an_ignored_signal_stays_ignored():
    """Under nohup a SIGHUP ends nothing."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible() as signals:
            signal.raise_signal(signal.SIGHUP)
            assert signals.count == 0
    finally:
        signal.signal(signal.SIGHUP, before)


OFTEN = """\
import nfbench.training.loop
from nfbench.cli.app import main

nfbench.training.loop.CHECKPOINT_SECONDS = 0.0


@nfbench.register_posterior("own", label="Own", cite="nobody")
def own(dim: int):
    "For its sake processes import this script, and so store the state as often."


if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize(("number", "limits"), [("SIGTERM", ()), ("SIGHUP", ("--group-seconds", "600"))])
def test_a_signal_stores_the_state(number, limits, folder):
    """SIGTERM and SIGHUP, here and with a process for the group, leave an interrupted record and a checkpoint."""
    (folder / "often.py").write_text(OFTEN)
    _, environment = command()
    words = [sys.executable, "often.py", "run", "long.yaml", "--jobs", "1", *limits]
    with subprocess.Popen(words, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True) as running:
        try:
            end = time.monotonic() + 240
            while not list(folder.glob("results/long/checkpoints/*.pt")):
                assert time.monotonic() < end
                assert running.poll() is None
                time.sleep(0.05)
            running.send_signal(getattr(signal, number))
            _, err = running.communicate(timeout=240)
        finally:
            running.kill()
    assert running.returncode == 128 + getattr(signal, number)
    assert "nfbench: interrupted: 0 of 1 cells are finished" in err
    assert [record.status for record in store.records(folder / "results")] == ["interrupted"]
    assert len(list((folder / "results" / "long" / "checkpoints").glob("*.pt"))) == 1


@pytest.mark.parametrize("streams", [">&- 2>&- <&-", "> /dev/full 2> /dev/full"])
def test_science_goes_on_without_streams(streams, folder):
    """Closed or full streams cost the display only: the records are there."""
    words, environment = command("run", "short.yaml", "--jobs", "1", "--group-seconds", "100")
    subprocess.run(["bash", "-c", f"{' '.join(words)} {streams}"], cwd=folder, env=environment, check=False)
    assert [record.status for record in store.records(folder / "results")] == ["done"]


FAMILY = """\
import nfbench
from nfbench.posteriors.families.planar import Planar

@nfbench.register_posterior("mine", label="Mine", cite="nobody")
def mine(dim: int, depth: int = 2):
    'A family of the script.'
    return Planar(dim, depth)

"""
RUN = "print(nfbench.run('short.yaml', posteriors=['{}'], jobs={}, group_seconds={}).counts['done'])\n"


@pytest.mark.parametrize(
    ("script", "pipe", "expected"),
    [
        ("import nfbench\n" + RUN.format("gaussian", 2, 100), False, "1"),
        ("import nfbench\n" + RUN.format("gaussian", 2, 100), True, "1"),
        (FAMILY + RUN.format("mine", 1, None), False, "1"),
        (FAMILY + RUN.format("mine", 1, None), True, "1"),
        (FAMILY + "if __name__ == '__main__':\n    " + RUN.format("mine", 1, 100), False, "1"),
        (FAMILY + RUN.format("mine", 1, 100), False, "expected the run in if __name__ == '__main__'"),
        (
            FAMILY + RUN.format("mine", 1, 100),
            True,
            "'mine' is registered in this session, which other processes cannot",
        ),
    ],
    ids=["own", "own, pipe", "script", "pipe", "guarded", "unguarded", "pipe with limits"],
)
def test_scripts_with_and_without_a_guard(script, pipe, expected, folder):
    """A script needs a guard only where processes have to import what it registers, and is told so in one line."""
    (folder / "script.py").write_text(script)
    _, environment = command()
    source = script if pipe else None
    words = [sys.executable, "-" if pipe else "script.py"]
    done = subprocess.run(words, cwd=folder, env=environment, input=source, capture_output=True, text=True, check=False)
    if expected == "1":
        assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
    else:
        assert expected in done.stderr.splitlines()[-1]
        assert done.stderr.count("Traceback") == 1
