"""Many records read by several processes: the same table as by one, whatever becomes of the others."""

import subprocess
import sys
import warnings

import pytest
from support.recorded import make

from nfbench.records import store, tabling
from nfbench.records.cells import Metric

SCRIPT = """
import sys
from pathlib import Path
from nfbench.records import store, tabling
tabling.FEWEST = 1
files = [("own", file) for file in sorted(Path(sys.argv[1]).glob("*/*.json"))]
print(len(tabling.tabled(files, 0)[0]))
"""


@pytest.fixture
def files(tmp_path):
    """Nine records with different metrics, and three files that are none: one in each third."""
    for seed in range(9):
        names = (["kl"], ["zeta", "kl"], ["alpha"])[seed % 3]
        metrics = {name: Metric(value=0.5 * seed) for name in names}
        record = make(seed=seed, metrics=metrics, training_seconds=2.0 * seed if seed % 2 else None)
        facts = record.facts.model_copy(update={"auxiliary": seed % 4 == 0, "has_density": seed % 5 > 0})
        cell = record.cell.model_copy(update={"variation": "wide" if seed % 3 else None})
        store.write(tmp_path, record.model_copy(update={"facts": facts, "cell": cell, "id": cell.id}))
    files = sorted((tmp_path / "figure3").glob("*.json"))
    for place in (1, 5, 9):
        damaged = files[0].with_name(f"damaged{place}.json")
        damaged.write_text("{")
        files.insert(place, damaged)
    return [("own", file) for file in files]


def look(files, monkeypatch, processes, keep=4):
    """What is tabled, and what was said."""
    monkeypatch.setattr(tabling, "FEWEST", max(1, len(files) // processes))
    monkeypatch.setattr(tabling.os, "cpu_count", lambda: processes)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        rows, is_record, records = tabling.tabled(files, keep)
    return rows.frame(), is_record, records, [str(each.message) for each in said]


def assert_same(one, other):
    assert one[0].equals(other[0])
    assert list(one[0]) == list(other[0])
    assert one[1] == other[1]
    assert one[3] == other[3]


def test_three_processes_table_what_one_does(files, monkeypatch):
    """Rows, columns in their order, and warnings in that of the files; two other processes read two thirds."""
    whole = look(files, monkeypatch, 1)
    read, mine = tabling.read, []
    monkeypatch.setattr(tabling, "read", lambda file: mine.append(file) or read(file))
    shared = look(files, monkeypatch, 3)
    assert_same(shared, whole)
    assert len(mine) == 4
    assert whole[1] == [place not in (1, 5, 9) for place in range(12)]
    assert len(whole[3]) == 3
    assert list(shared[2].values()) == [read(file) for file in mine if "damaged" not in file.name]


@pytest.mark.parametrize("python", ["/nowhere/python", "/bin/false", "/bin/true", ""])
def test_what_another_process_does_not_read_is_read_here(files, monkeypatch, python):
    """Where no other Python starts, ends with an error, or says nothing, nothing is missing."""
    whole = look(files, monkeypatch, 1)
    monkeypatch.setattr(sys, "executable", python)
    assert_same(look(files, monkeypatch, 3), whole)


def test_a_script_without_a_guard_lists_results(files, tmp_path):
    """The other processes do not run the user's script again."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, check=True, timeout=100)
    assert done.stdout == "9\n"
