"""Commands that train, `run` and `reproduce`: plans, records, exit codes, interrupts."""

from collections import Counter

import pytest

from nfbench.cli import run as running
from nfbench.cli import show
from nfbench.executors.local import Summary
from nfbench.experiments import execute as execute_module
from nfbench.experiments import plan
from nfbench.records import store


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
    dry_run = nf("run", "tiny.yaml", "--dry-run")[1]
    assert "4 finished" in dry_run.splitlines()[0]
    assert "estimate: nothing to run" in dry_run
    assert "4 cells to run" in nf("run", "tiny.yaml", "--dry-run", "--force")[1]
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
