"""Wrong input and missing things: one line that names them, exit code 2, nothing written."""

from dataclasses import replace

import pytest
import torch
from support.synthetic import Plan
from support.synthetic_images import TABLE2, of_images

from nfbench.cli import run as running
from nfbench.specification.registry import protocols

WRONG = [
    ("run figure3 --posterior plnar", ["'plnar'", "did you mean planar?", "known: ", "gaussian"]),
    ("run figure3 --posterior planar:K=-1", ["K=-1", "greater than or equal to 0"]),
    ("run figure3 --posterior planar:k=", ["'k='", "expected name or name:option=value"]),
    ("run figure3 --posterior planar:k=2", ["'k'", "planar takes: K"]),
    ("run figure3 --dry-run --device tpu", ["'tpu'", "known: cpu"]),
    ("run figure3 --target u9", ["'u9'", "known: ", " digits, "]),
    ("run figure3 --profile smoke --cuda-graph", ["a CUDA graph on device 'cpu'", "expected cuda"]),
    ("run figure3 --profile quikc", ["'quikc'", "known: smoke, quick, paper"]),
    ("run figure9", ["'figure9'", "did you mean figure", "known: digits, figure1, figure3"]),
    ("run wrong.yaml", ["wrong.yaml:3: sumary", "did you mean summary?"]),
    ("run absent.yaml", ["absent.yaml", "No such file"]),
    ("run tiny.yaml --seeds 4-2", ["'4-2'", "backwards", "expected 2-4"]),
    ("run tiny.yaml --seeds x", ["'x'", "expected e.g. 3"]),
    ("run tiny.yaml --seeds 0-99999999999", ["'0-99999999999'", "at most 100000 seeds"]),
    ("run tiny.yaml --set training.updtes=3", ["training.updtes", "did you mean updates"]),
    ("run tiny.yaml --set training.updates=0", ["training.updates", "greater than or equal to 1", "got 0"]),
    ("run tiny.yaml --set updates", ["'updates'", "expected key=value"]),
    ("run tiny.yaml --device cuda", ["'cuda'", "known: cpu"]),
    ("run tiny.yaml --device gpu", ["'gpu'", "known: cpu", "what torch calls cuda is not here"]),
    ("run tiny.yaml --set updates=10", ["updates: unknown key", "did you mean training.updates?"]),
    ("run tiny.yaml --posterior planar:K=2,8", ["'8' is not option=value", "did you mean 'K=2|8'?"]),
    ("run tiny.yaml --jobs 0", ["--jobs", "greater than or equal to 1"]),
    ("run tiny.yaml --results file/results", ["'file/results'", "expected a writable folder"]),
    ("run tiny.yaml --results taken", ["'taken/tiny'", "expected a writable folder"]),
    ("run tiny.yaml --reslts x", ["--reslts", "--results", "'nfbench run --help'"]),
    ("run", ["Missing argument", "'nfbench run --help'"]),
    ("runn tiny.yaml", ["'runn'", "'run'"]),
    ("reproduce figure1 figure9", ["'figure9'", "known: digits"]),
    ("reproduce all figure9", ["'figure9'", "known: digits"]),
    ("run table2 --set recipe=papr", ["table2.yaml:1: recipe 'papr': unknown; did you mean paper? known: paper, adam"]),
    ("run table2 --data-dir absent", ["'absent'", "no such folder"]),
    ("reproduce figure1 --profile quikc", ["'quikc'", "known: smoke, quick, paper"]),
    ("reproduce figure1 --profile smoke --out file/reports", ["'file/reports'", "expected a writable folder"]),
    ("info plnar", ["'plnar'", "did you mean planar?", "experiments: digits"]),
    ("info planar:K=x", ["K=x", "valid integer"]),
    ("ls posterior", ["'posterior'", "'posteriors', 'targets', 'experiments'"]),
    ("table figure3 --results absent", ["'absent'", "expected what 'nfbench run' wrote"]),
    ("table figure3 --format word", ["'word'", "'md', 'latex', 'csv', 'json'"]),
    ("plot figure3 --results absent", ["'absent'", "expected what 'nfbench run' wrote"]),
    ("report --results absent", ["'absent'", "expected what 'nfbench run' wrote"]),
]


@pytest.mark.parametrize(("line", "names"), WRONG, ids=[line for line, _ in WRONG])
def test_wrong_input_is_one_line_and_exit_code_two(nf, monkeypatch, tmp_path, line, names):
    """The line names the thing, its value and what was expected; nothing is printed, trained or written beside it."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    before = sorted(tmp_path.rglob("*"))
    code, out, err = nf(*line.split())
    assert (code, out) == (2, "")
    assert err.startswith("nfbench: error: ")
    assert err.count("\n") == 1
    assert all(name in err for name in names), err
    assert [path for path in sorted(tmp_path.rglob("*")) if path.is_file()] == [
        path for path in before if path.is_file()
    ]


def test_a_damaged_record_is_one_warning_line(nf, tmp_path):
    """A truncated record is named in one line that is no Python warning; its cell runs again."""
    nf("run", "tiny.yaml", "--jobs", 1)
    file = next((tmp_path / "results" / "tiny").glob("*.json"))
    file.write_text(file.read_text()[:50])
    code, out, err = nf("run", "tiny.yaml", "--jobs", 1)
    assert code == 0
    assert "1 done; 3 were finished before" in out
    warned = [line for line in err.splitlines() if "warning" in line]
    assert len(warned) == 1
    assert warned[0].startswith(f"nfbench: warning: results/tiny/{file.name} is not a record")
    assert warned[0].endswith("it will be run again")


def test_a_report_names_a_damaged_record_once(nf, tmp_path):
    """The report says one line of each damaged file, and is written."""
    nf("run", "tiny.yaml", "--jobs", 1)
    first = next((tmp_path / "results" / "tiny").glob("*.json"))
    first.write_text("{")
    for file in first.parent.glob("*.npz"):
        file.write_bytes(b"torn")
    code, out, err = nf("report")
    assert (code, out) == (0, "report: reports/index.html\n")
    lines = err.splitlines()
    assert sum(line.startswith(f"nfbench: warning: results/tiny/{first.name} is not") for line in lines) == 1
    assert sum(line.startswith("nfbench: warning: cannot read arrays results/tiny/") for line in lines) == 2
    assert len(lines) == 3


@pytest.mark.parametrize(
    "line", ["run tiny.yaml --results link", "report --out link", "plot tiny --out link", "table tiny --results link"]
)
def test_a_link_that_leads_nowhere_is_named(nf, tmp_path, line):
    """A dangling link in place of a folder is one line that says where it leads, not that a file exists."""
    nf("run", "tiny.yaml", "--jobs", 1, "--posterior", "planar:K=1|2")
    (tmp_path / "link").symlink_to("nowhere/at/all")
    code, _, err = nf(*line.split())
    assert code == 2
    assert err.count("\n") == 1
    assert "'link' is a link to 'nowhere/at/all', which is not there" in err


def test_missing_data_are_one_line_with_three_ways_to_get_them(nf, monkeypatch, tmp_path):
    """A named experiment is refused where its data are not; among all of them it is left out, which is said."""
    monkeypatch.setenv("NFBENCH_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    load_anew()
    for words in ("run table2", "reproduce figure4 --profile smoke"):
        code, out, err = nf(*words.split())
        assert (code, out) == (2, "")
        assert err.count("\n") == 1
        assert all(way in err for way in ("--data-dir", "NFBENCH_DATA=", "nfbench data get binarized-mnist")), err
    asked = []
    monkeypatch.setattr(running, "_execute", lambda groups, *_, **__: asked.extend(groups) or running.INTERRUPTED)
    _, _, err = nf("reproduce", "all", "--profile", "smoke")
    assert "table2 is left out: data 'binarized-mnist'" in err
    assert {"digits", "figure1", "figure3"} <= {group.cells[0].experiment for group in asked}
    assert "table2" not in {group.cells[0].experiment for group in asked}


def test_a_figure_that_records_cannot_make_is_refused(nf, tmp_path):
    """Figure 4 needs two depths of a family; where the records have one, that is said, and no success is claimed."""
    one = {key: value for key, value in TABLE2.values.items() if key[0] == "gaussian"}
    of_images(Plan(tmp_path / "results", seeds=1), replace(TABLE2, values=one))
    code, out, err = nf("plot", "figure4")
    assert (code, out) == (2, "")
    assert "the records of 'figure4' make no picture" in err
    of_images(Plan(tmp_path / "results", seeds=1), TABLE2)
    code, out, _ = nf("plot", "figure4")
    assert code == 0
    assert all("figure4-depth" in line for line in out.splitlines())
    assert "### figure4" in nf("table", "figure4")[1]


def load_anew():
    """Forget the data that other tests have loaded."""
    for entry in protocols:
        getattr(entry.factory, "cache_clear", lambda: None)()
