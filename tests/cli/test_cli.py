"""The command line as its users see it: output, one line for what is wrong, exit codes."""

import json
import os
import re
import subprocess
import sys
from collections import Counter

import pytest
import torch
from support.synthetic import Plan
from support.synthetic_images import TABLE2, of_images

import nfbench
from nfbench.cli import run as running
from nfbench.cli import show
from nfbench.executors.local import Summary
from nfbench.experiments import execute as execute_module
from nfbench.experiments import plan
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


def test_dry_run_prints_the_plan_and_writes_nothing(nf, tmp_path):
    """Cells, groups, specs and seeds are shown; no folder is made."""
    code, out, _ = nf("run", "tiny.yaml", "--dry-run", "--seeds", "0-1,5", "--posterior", "planar:K=1|3")
    assert code == 0
    assert out.splitlines() == [
        "tiny (quick): 6 cells in 4 groups, 0 finished",
        "  u1 | planar:K=1 | seeds 0-1 | 0 of 2 finished",
        "  u1 | planar:K=1 | seeds 5 | 0 of 1 finished",
        "  u1 | planar:K=3 | seeds 0-1 | 0 of 2 finished",
        "  u1 | planar:K=3 | seeds 5 | 0 of 1 finished",
        "estimate: 0 core-hours for 0 of 6 cells to run (6 unknown)",
    ]
    assert not (tmp_path / "results").exists()


def test_run_stores_and_does_not_repeat(nf, tmp_path):
    """A run writes its records; the same again trains nothing; --force trains again; --set is another configuration."""
    code, out, _ = nf("run", "tiny.yaml", "--jobs", 1)
    assert code == 0
    assert "4 cells: 4 done; 0 were finished before; records in results" in out
    stored = list(store.records(tmp_path / "results"))
    assert Counter(record.status for record in stored) == {"done": 4}
    assert "none run; 4 were finished before" in nf("run", "tiny.yaml", "--jobs", 1)[1]
    assert "4 finished" in nf("run", "tiny.yaml", "--dry-run")[1].splitlines()[0]
    assert "4 done; 0 were finished" in nf("run", "tiny.yaml", "--jobs", 1, "--force")[1]
    _, out, _ = nf(
        "run", "tiny.yaml", "--jobs", 1, "--seeds", 0, "--set", "training.updates=3", "--posterior", "gaussian"
    )
    assert "1 cell: 1 done; 0 were finished" in out
    profiles = {record.cell.profile for record in store.records(tmp_path / "results")}
    assert profiles == {"quick", "quick[training.updates=3]"}


@pytest.mark.parametrize(
    ("summary", "code", "said"),
    [
        (Summary(Counter(done=3, diverged=1)), 0, "3 done, 1 diverged"),
        (Summary(Counter(done=3, failed=1), failures=["u1 | gaussian: OutOfMemoryError: no"]), 1, "3 done, 1 failed"),
    ],
)
def test_exit_codes_of_outcomes(nf, monkeypatch, summary, code, said):
    """A diverged cell is an outcome that is told; a failed one is an error that is named."""
    monkeypatch.setattr(execute_module, "execute_locally", lambda *_, **__: summary)
    monkeypatch.setattr(execute_module, "gone", lambda *_: [])
    got, out, err = nf("run", "tiny.yaml")
    assert got == code
    assert said in out
    assert err == "".join(f"nfbench: failed: {failure}\n" for failure in summary.failures)


def test_debug_prints_the_traceback_of_a_failure(nf, monkeypatch):
    """A failure is one line; with ``--debug`` its traceback follows, under the name of target and posterior."""

    def failing(*_, **__):
        raise RuntimeError("no luck today")

    monkeypatch.setattr("nfbench.experiments.run_group.initial_model", failing)
    arguments = ("run", "tiny.yaml", "--jobs", "1", "--posterior", "gaussian", "--force")
    code, _, err = nf(*arguments)
    assert code == 1
    assert "nfbench: failed: u1 | gaussian: RuntimeError: no luck today" in err
    assert "Traceback" not in err
    code, _, err = nf(*arguments, "--debug")
    assert code == 1
    assert err.count("Traceback (most recent call last)") == 1
    assert "u1 | gaussian:\nTraceback" in err
    assert "in failing" in err


def test_an_interrupt_says_what_is_kept(nf, monkeypatch):
    """Ctrl-C ends with code 130 and one line: how much is finished, and that the same command goes on."""
    nf("run", "tiny.yaml", "--jobs", 1, "--posterior", "gaussian")

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(execute_module, "execute_locally", interrupted)
    code, _, err = nf("run", "tiny.yaml")
    assert code == 130
    assert err == ("nfbench: interrupted: 2 of 4 cells are finished, kept in results; the same command resumes\n")


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


def test_reproduce_runs_shows_and_reports(nf, tmp_path):
    """One command runs an experiment, says what came out, and writes the report; again, it trains nothing."""
    code, out, _ = nf("reproduce", "figure1", "--profile", "smoke", "--jobs", 1)
    assert code == 0
    assert "12 cells: 12 done; 0 were finished before" in out
    assert "figure1, profile smoke, own records: 12 cells, 12 done; 1 of 1 checks hold" in out
    assert len(out.splitlines()) <= 24
    assert out.endswith("report: reports/index.html\n")
    for name in ("index.html", "report.md", "report.tex"):
        assert (tmp_path / "reports" / name).stat().st_size > 1000
    assert list((tmp_path / "reports" / "figures").glob("figure1-*.png"))
    assert "none run; 12 were finished before" in nf("reproduce", "figure1", "--profile", "smoke")[1]


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


def test_an_interrupted_reproduce_shows_nothing(nf, monkeypatch, tmp_path):
    """Ctrl-C while training ends the command; half a result is not reported."""

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(execute_module, "execute_locally", interrupted)
    code, out, err = nf("reproduce", "figure1", "--profile", "smoke")
    assert (code, out) == (130, "")
    assert "0 of 12 cells are finished" in err
    assert not (tmp_path / "reports" / "index.html").exists()


def test_a_figure_of_other_records_asks_for_them_once(nf, monkeypatch):
    """Figure 4 and Table 2 are two views of the same cells: asked for together, these are planned once."""
    asked = []
    monkeypatch.setattr(plan, "protocols_of", dict.fromkeys)
    monkeypatch.setattr(running, "_execute", lambda groups, *_, **__: asked.extend(groups) or 0)
    shown = []
    monkeypatch.setattr(show, "show", lambda names, *_: shown.extend(names))
    code, _, _ = nf("reproduce", "figure4", "table2", "--profile", "smoke")
    assert code == 0
    assert shown == ["figure4", "table2"]
    assert {group.cells[0].experiment for group in asked} == {"table2"}
    assert len(asked) == len({group.posterior for group in asked})
