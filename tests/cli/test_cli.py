"""The command line as its users see it: output, one line for what is wrong, exit codes."""

import json
import os
import re
import subprocess
import sys

import pytest
import torch
from support.synthetic import Plan
from support.synthetic_images import TABLE2, of_images

import nfbench
from nfbench.foundation.errors import InputError
from nfbench.records import store


def test_nothing_heavy_is_imported_for_help():
    """`nfbench --help`, `--version` and the package itself load none of the libraries that take long."""
    heavy = ("torch", "pandas", "matplotlib", "scipy", "sklearn", "seaborn", "numpy")
    script = (
        "import sys, nfbench\n"
        "from nfbench.cli.app import main\n"
        "for words in (['--help'], ['--version'], ['run', '--help'], []):\n"
        "    try: main(words)\n"
        "    except SystemExit as done: assert done.code == 0, done.code\n"
        f"print('loaded:', [name for name in {heavy} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert f"nfbench {nfbench.__version__}\n" in done.stdout
    assert done.stdout.endswith("loaded: []\n")


def test_help_names_every_command(nf):
    """Without a command, help is printed."""
    code, out, _ = nf()
    assert code == 0
    for command in ("ls", "info", "run", "table", "plot", "report", "reproduce", "env"):
        assert f"\n  {command} " in out


def test_ls(nf):
    """Everything known is listed, one line each; one kind alone on request."""
    code, out, _ = nf("ls")
    assert code == 0
    for name in ("planar", "u4", "figure3"):
        assert f"\n  {name} " in out
    head, *targets, own = nf("ls", "targets")[1].splitlines()
    assert (head, "posteriors:" in targets) == ("targets:", False)
    assert any(line.startswith("  digits ") for line in targets)
    assert own.startswith("  and models of your own: file:")


def test_ls_json(nf):
    """The JSON has the facts, options and types that the text leaves out."""
    listed = json.loads(nf("ls", "--json")[1])
    assert set(listed) == {"posteriors", "targets", "experiments"}
    nice = next(entry for entry in listed["posteriors"] if entry["name"] == "nice")
    assert nice["options"]["mixing"] == "permutation | orthogonal, default permutation"
    assert set(json.loads(nf("ls", "experiments", "--json")[1])) == {"experiments"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("planar", ["posterior planar", "Rezende & Mohamed 2015", "K: integer >= 0, default", "u_hat"]),
        (
            "nice:K=3",
            ["posterior nice", "label: NICE (permutation)", "permutation | orthogonal", "spec: nice:K=3,mixing="],
        ),
        ("u2", ["target u2", "walls", "spec: u2:walls=gaussian"]),
        ("figure3", ["experiment figure3", "planar:K=2|8|32", "updates: 500000"]),
        ("figure4", ["experiment table2", "shown as: figure4"]),
        ("tiny.yaml", ["experiment tiny", "The smallest grid"]),
    ],
)
def test_info(nf, name, expected):
    """A posterior, a target, an experiment and a file of one's own are described."""
    code, out, _ = nf("info", name)
    assert code == 0
    assert all(text in out for text in expected), out


def test_env(nf):
    """What numbers depend on is printed, as text and as JSON."""
    assert f"torch: {torch.__version__}" in nf("env")[1]
    assert "cpu" in json.loads(nf("env", "--json")[1])["devices"]


def test_a_records_experiment_can_be_shown(nf, tmp_path):
    """A table of a user's own experiment comes by its file or by its name; one without records is refused."""
    nf("run", "tiny.yaml", "--jobs", 1)
    by_file, by_name = nf("table", "tiny.yaml"), nf("table", "tiny")
    assert by_file == by_name
    assert by_file[0] == 0
    assert "Planar flow" in by_file[1]
    assert json.loads(nf("table", "tiny", "--format", "json")[1])
    code, _, err = nf("table", "figure3")
    assert code == 2
    assert "'figure3'" in err
    assert "tiny" in err


def test_a_closed_pipe_is_no_traceback():
    """``nfbench ls | head -1`` ends quietly."""
    command = f"{sys.executable} -m nfbench info figure3 | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout == "experiment figure3\n"
    assert done.stderr == ""


LINES = """
import sys
from nfbench.cli.app import main

for words in (["table", "table2"], ["info", "planar"], ["ls"], ["table", "\\u00b5\\u00b1\\u96ea"]):
    sys.argv = ["nfbench", *words]
    try:
        main()
    except SystemExit as ended:
        sys.stdout.flush()
        print(words[0], "ended with", ended.code)
"""


@pytest.mark.parametrize(("encoding", "symbols"), [("ascii", ["+-", " - "]), ("latin-1", ["±", " - "])])
def test_a_terminal_that_lacks_letters_gets_others(tmp_path, encoding, symbols):
    """In ASCII or Latin-1 a table, a list and an error are printed, each missing symbol in letters that are there."""
    of_images(Plan(tmp_path / "results", seeds=3), TABLE2)
    done = subprocess.run(
        [sys.executable, "-c", LINES], cwd=tmp_path, capture_output=True, check=True,
        env=os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
    )  # fmt: skip
    text = done.stdout.decode(encoding)
    assert [line for line in text.splitlines() if "ended with" in line] == [
        "table ended with 0", "info ended with 0", "ls ended with 0", "table ended with 2",
    ]  # fmt: skip
    assert done.stderr.count(b"\n") == 1
    assert b"Traceback" not in done.stderr
    assert all(symbol in text.partition("table ended with 0")[0] for symbol in symbols)


def test_a_home_folder_after_an_equals_sign(nf, monkeypatch, tmp_path):
    """``--results=~/x`` is the home folder's, as ``--results ~/x`` is by the shell."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    code, _, _ = nf("run", "tiny.yaml", "--jobs=1", "--posterior=gaussian", "--seeds=0", "--results=~/x")
    assert code == 0
    assert len(list(store.records(tmp_path / "home" / "x"))) == 1
    assert not (tmp_path / "~").exists()


def test_quiet_says_results_only_and_verbose_says_more(nf, tmp_path):
    """--quiet leaves the path of the report, -v adds the plan and the tables; both at once are refused."""
    words = ("reproduce", "figure1", "--profile", "smoke", "--jobs", 1)
    code, out, err = nf(*words, "--quiet")
    assert (code, out, err) == (0, "report: reports/index.html\n", "")
    _, out, _ = nf("run", "figure1", "--profile", "smoke", "-v")
    assert "figure1 (smoke): 12 cells in 12 groups, 12 finished" in out
    _, out, _ = nf(*words, "-v")
    assert "figure1, profile smoke, own records\n" in out
    assert "Profile smoke" in out
    assert nf("run", "figure1", "-q", "-v")[0] == 2
    assert nf("run", "figure1", "--profile", "smoke", "--quiet")[:2] == (0, "")


@pytest.mark.parametrize("plain", [True, False])
def test_no_color_takes_the_colours_away(nf, monkeypatch, tmp_path, plain):
    """On a terminal the best is coloured; with NO_COLOR set no colour is written, and the mark stays."""
    nf("run", "tiny.yaml", "--jobs", 1)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "60")
    if plain:
        monkeypatch.setenv("NO_COLOR", "1")
    code, out, _ = nf("table", "tiny", "--format", "text")
    assert code == 0
    assert " *" in out
    assert bool(re.search(r"\x1b\[[0-9;]*3[0-9]m", out)) is not plain
    lines = re.sub(r"\x1b\[[0-9;]*m", "", out).splitlines()
    assert max(map(len, lines)) <= 60


def test_plots_are_written_where_asked(nf, tmp_path):
    """Every file that is printed is there, as PNG and SVG, or in the format that is asked for."""
    nf("run", "figure1", "--profile", "smoke", "--jobs", 1, "--target", "normal", "--posterior", "planar:K=1")
    code, out, _ = nf("plot", "figure1", "--out", "pictures")
    assert code == 0
    files = [tmp_path / line for line in out.splitlines()]
    assert {file.suffix for file in files} == {".png", ".svg"}
    assert all(file.parent.name == "pictures" and file.stat().st_size > 1000 for file in files)
    code, out, _ = nf("plot", "figure1", "--out", "paper", "--format", "pdf")
    assert (code, {line.rpartition(".")[2] for line in out.splitlines()}) == (0, {"pdf"})
    code, out, err = nf("plot", "figure1", "--format", "gif")
    assert (code, out, "gif" in err) == (2, "", True)
    with pytest.raises(InputError, match=r"formats='png': expected a list with some of png, svg, pdf"):
        nfbench.results("results").plot("figure1", formats="png")
