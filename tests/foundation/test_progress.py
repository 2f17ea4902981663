"""Progress: lines without a terminal, bars on one, and no fault of standard error that stops anything."""

import io
import os
import subprocess
import sys
import time

import pytest
from support.screens import COLOUR, Terminal

from nfbench.foundation import progress as module
from nfbench.foundation.progress import Progress
from nfbench.foundation.terminal import say


class Full(io.StringIO):
    """A stream of a disk without room."""

    def write(self, *_):
        raise OSError(28, "No space left on device")

    flush = isatty = write


def go_through(shown):
    """Everything that a progress is told in a run of two pieces."""
    with shown:
        shown.note("being made ready")
        shown.show("first", 0, 10, "F = 1 nats", "updates")
        shown.show("first", 5, 10, "F = 2 nats", "updates")
        shown.report(1, "first: 1 done", "first")
        shown.report(2, "second: [bold]1 failed[/bold]")


@pytest.fixture
def colours(monkeypatch):
    """A terminal of known width, whatever this one is."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")


def test_plain_lines(capsys):
    """Without a terminal each end is a line, and what goes on in between is none, as it lasts but a moment."""
    go_through(Progress(2, "all"))
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "[1/2] first: 1 done\n[2/2] second: [bold]1 failed[/bold]\n"


def test_a_long_piece_has_a_line_now_and_then(capsys, monkeypatch):
    """After `PLAIN_SECONDS` a line says where it is, how fast, and how long it takes; with no step done, no time."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with Progress(1, "all") as shown:
        for seconds, done in ((0, 0), (10, 20), (31, 62), (40, 80), (70, 0)):
            now[0] = 100.0 + seconds
            shown.show("long", done, 100, "F = 1 nats", "updates")
    assert capsys.readouterr().err.splitlines() == [
        "long: 62/100, F = 1 nats, 2 updates/s, 19 s left",
        "long: 0/100, F = 1 nats, 0 updates/s, ? s left",
    ]
    assert module.PLAIN_SECONDS == 30


@pytest.mark.parametrize("animated", [True, False])
def test_bars_on_a_terminal(monkeypatch, colours, animated):
    """On a terminal ends are lines above the bars, in plain text; the bars have the piece, its note and its rate."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    go_through(Progress(2, "all of them", animated=animated))
    text = screen.getvalue()
    assert "[1/2] first: 1 done" in text
    assert "[2/2] second: [bold]1 failed[/bold]" in text
    assert "all of them" in text
    assert "being made ready" in text
    assert ("first" in text.replace("first: 1 done", "")) is animated or "first" in text


@pytest.mark.parametrize("is_plain", [True, False])
def test_bars_without_colour(monkeypatch, colours, is_plain):
    """With NO_COLOR they are drawn all the same, and not in colour."""
    monkeypatch.setenv("TERM", "xterm-256color")
    if is_plain:
        monkeypatch.setenv("NO_COLOR", "1")
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    go_through(Progress(2, "all of them", animated=False))
    assert "all of them" in screen.getvalue()
    assert bool(COLOUR.search(screen.getvalue())) is not is_plain


@pytest.mark.parametrize("make", [Full, lambda: None, io.StringIO], ids=["full", "absent", "closed"])
def test_faults_of_standard_error_are_ignored(monkeypatch, make):
    """Full, absent or closed: everything can be said, nothing is raised, and nothing goes to standard output."""
    stream = make()
    if isinstance(stream, io.StringIO) and not isinstance(stream, Full):
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    go_through(Progress(2, "all"))
    say("a line")


@pytest.mark.parametrize("redirect", ["2>&-", "2>/dev/full"])
def test_a_command_without_standard_error(tmp_path, redirect):
    """``nfbench run`` trains and stores as always where its progress cannot be written."""
    if not os.path.exists("/dev/full"):  # noqa: PTH110  it is a device
        pytest.skip("no /dev/full on this system")
    line = "run figure3 --profile smoke --target u1 --posterior gaussian --jobs 1 --seeds 0"
    script = f"import sys; from nfbench.cli.app import main; main({line.split()!r})"
    done = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -c '{script.replace(chr(39), chr(34))}' {redirect}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert (done.returncode, done.stdout) == (0, "1 cell: 1 done; 0 were finished before; records in results\n")


def test_a_full_standard_output_is_one_line(tmp_path):
    """What a command prints cannot be written: a line on standard error and exit code 1."""
    script = "from nfbench.cli.app import main; main(['ls', 'experiments'])"
    with open("/dev/full", "w") as full:  # noqa: PTH123  it is a device
        done = subprocess.run(
            [sys.executable, "-c", script],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
    assert (done.returncode, done.stderr) == (
        1,
        "nfbench: error: cannot write to standard output: No space left on device\n",
    )
