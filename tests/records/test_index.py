"""The index of a folder of records: what it spares, what it never hides, and how it gets lost without harm."""

import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pandas as pd
import pytest
from support.recorded import make

from nfbench.records import index, store, tabling
from nfbench.records.cells import Metric
from nfbench.records.results import StoredResults

WRITER = """
import sys
from pathlib import Path
from nfbench.records import store
root = Path(sys.argv[1])
first = store.read(next((root / "figure3").glob("*.json")))
print("ready", flush=True)
for number in range(100_000):
    store.write(root, first.model_copy(update={"seconds": float(number), "message": "x" * (number % 5000)}))
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of the test's own, and an index of the smallest folder, as of records that have lain there for long."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(index, "WORTH", 1)
    monkeypatch.setattr(index, "_SETTLED", 0)
    return tmp_path / "cache"


@pytest.fixture
def root(tmp_path):
    """Three own records with different metrics, one of the reference."""
    root = tmp_path / "results"
    for seed, metrics in enumerate((["kl"], ["zeta", "kl"], ["alpha", "zeta"])):
        values = {name: Metric(value=0.1 + seed, se=None if name == "zeta" else 0.01) for name in metrics}
        record = make(seed=seed, metrics=values, provenance={"core": seed}, training_seconds=0.5 if seed == 1 else None)
        facts = record.facts.model_copy(update={"auxiliary": seed == 1, "has_density": seed != 2})
        store.write(root, record.model_copy(update={"facts": facts}))
    store.write(root / "reference", make(seed=0))
    time.sleep(0.02)  # the clock of a file system ticks every few ms
    return root


def look(root):
    """All that is tabled, and how many files were read for it."""
    read, files = tabling.read, []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tabling, "read", lambda file: files.append(file) or read(file))
        results = StoredResults(root)
        return results.frame, results.rows.columns, len(files)


def fresh(root):
    """The same without any index."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "load", lambda _: None)
        patch.setattr(index, "save", lambda *_: None)
        return look(root)


def assert_same(one, other):
    """Equal to the last bit, with columns, rows and types in the same order."""
    pd.testing.assert_frame_equal(one[0], other[0], check_exact=True)
    assert {name: [*map(repr, column)] for name, column in one[1].items()} == {
        name: [*map(repr, column)] for name, column in other[1].items()
    }
    assert list(one[1]) == list(other[1])


def the_index(cache):
    (file,) = (cache / "nfbench" / "records").iterdir()
    return file


def test_a_second_look_reads_no_record_and_tables_the_same(root):
    """Rows, columns, types and every bit are those of a look without an index."""
    expected = fresh(root)
    first, second = look(root), look(root)
    assert (first[2], second[2]) == (4, 0)
    assert_same(first, expected)
    assert_same(second, expected)


def elsewhere(record):
    """The same outcome, of a cell of another experiment."""
    cell = record.cell.model_copy(update={"experiment": "figure1"})
    return record.model_copy(update={"cell": cell, "id": cell.id})


CHANGES = {
    "one more": lambda root, file: store.write(root, make(seed=7, metrics={"beta": Metric(value=1.0)})),
    "one less": lambda root, file: file.unlink(),
    "one again": lambda root, file: store.write(root, make(seed=0, seconds=9.0)),
    "another experiment": lambda root, file: store.write(root, elsewhere(make(seed=0))),
    "moved to the reference": lambda root, file: file.rename(root / "reference" / "figure3" / file.name),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_changed_is_read_and_nothing_else(root, name):
    """After each change the table is that of a look without an index, and at most one file was read for it."""
    look(root)
    CHANGES[name](root, store.path(root, "figure3", make(seed=0).id))
    seen = look(root)
    assert_same(seen, fresh(root))
    assert seen[2] <= 1


def test_an_edit_that_keeps_size_and_time_is_found(root):
    """A record whose digits were changed in place, with its old time of change set again, is named and left out."""
    look(root)
    file = store.path(root, "figure3", make(seed=1).id)
    times = file.stat()
    content = file.read_text()
    with file.open("r+") as stream:
        stream.write(content.replace("1.1", "1.2"))
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (times.st_size, times.st_mtime_ns)
    with pytest.warns(UserWarning, match="was changed after it was stored"):
        frame, _, _ = look(root)
    assert sorted(frame["seed"]) == [0, 0, 2]


def test_a_damaged_record_is_named_at_every_look(root):
    """The index has no row of a file that is no record, so that the warning comes again."""
    store.path(root, "figure3", make(seed=1).id).write_text("{")
    for _ in range(2):
        with pytest.warns(UserWarning, match="is not a record"):
            look(root)


def test_a_file_that_may_still_change_is_not_in_the_index(root, monkeypatch):
    """Within two seconds of its last change a file is read at every look: a file system's times have coarse steps."""
    monkeypatch.setattr(index, "_SETTLED", 2 * 10**9)
    assert (look(root)[2], look(root)[2]) == (4, 4)


@pytest.mark.parametrize("place", [0, 0.003, 0.3, 0.6, 0.9, 0.9999])
def test_a_damaged_index_is_told_and_made_again(root, cache, place):
    """Whichever byte of it flips, every record is read, the table is right, and the next look has a sound index."""
    expected = look(root)
    content = bytearray(the_index(cache).read_bytes())
    content[int(place * len(content))] ^= 1
    the_index(cache).write_bytes(content)
    with pytest.warns(UserWarning, match=r"\.index is damaged"):
        seen = look(root)
    assert seen[2] == 4
    assert_same(seen, expected)
    assert look(root)[2] == 0


def test_an_index_of_which_a_part_is_missing_is_told_and_made_again(root, cache):
    """A file that ends too early: in its first line, behind it, and at its very end."""
    look(root)
    content = the_index(cache).read_bytes()
    for length in (0, 5, content.index(b"\n") + 1, len(content) - 1):
        the_index(cache).write_bytes(content[:length])
        with pytest.warns(UserWarning, match=r"\.index is damaged"):
            assert look(root)[2] == 4


def test_an_index_by_other_code_is_not_used(root, monkeypatch):
    """Another version may table other things of a record: its index is made again, without a word."""
    look(root)
    monkeypatch.setattr(index, "_code", lambda: "another version")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (look(root)[2], look(root)[2]) == (4, 0)


def test_an_index_of_another_folder_is_not_used(root, cache, tmp_path):
    """An index that somebody copied into the place of another one's is not taken for it."""
    other = tmp_path / "other"
    store.write(other, make(seed=5))
    time.sleep(0.02)
    look(root)
    mine = the_index(cache)
    content = mine.read_bytes()
    look(other)
    (theirs,) = set((cache / "nfbench" / "records").iterdir()) - {mine}
    theirs.write_bytes(content)
    frame, _, number = look(other)
    assert (list(frame["seed"]), number) == ([5], 1)


def test_indices_of_removed_folders_are_forgotten(root, cache):
    """When an index is written, those of folders that are gone are removed."""
    gone = root.with_name("gone")
    store.write(gone, make(seed=5))
    time.sleep(0.02)
    look(gone)
    (gone / "figure3" / f"{make(seed=5).id}.json").unlink()
    (gone / "figure3").rmdir()
    gone.rmdir()
    look(root)
    assert json.loads(the_index(cache).read_bytes().partition(b"\n")[0])["root"] == str(root)


def test_without_a_cache_everything_is_read(root, cache):
    """Where no index can be written, all is as without one."""
    cache.write_text("a file where the folder should be")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (look(root)[2], look(root)[2]) == (4, 4)


def test_few_records_get_no_index(root, cache, monkeypatch):
    """Below two thousand records that must be read, nothing is written into the user's cache."""
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    assert (look(root)[2], look(root)[2]) == (4, 4)
    assert not cache.exists()


def test_curves_are_those_of_the_record(root):
    """Of a record that is not in memory its curves are read alone, equal to the record's, and floats as they are."""
    look(root)
    results = StoredResults(root)
    for key, record in results.records.items():
        curves = results.curves({"source": key[0], "id": key[1]})
        assert curves == record.curves
        assert all(value is None or type(value) is float for curve in curves.values() for value in curve)


def test_curves_of_a_file_that_changed_are_read_with_all_checks(root):
    """A file that is not the one that was tabled is not taken at its word."""
    look(root)
    results = StoredResults(root)
    assert len(results) == 4
    file = store.path(root, "figure3", make(seed=1).id)
    file.write_text(file.read_text().replace("1.1", "1.2"))
    with pytest.raises(Exception, match="was changed after it was stored"):
        results.curves(make(seed=1).id)


def test_two_writers_and_a_reader_see_only_whole_records(root):
    """While two processes write one record again and again, every look finds it whole and as one of them wrote it."""
    command = [sys.executable, "-c", WRITER, str(root)]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        for writer in writers:
            assert writer.stdout.readline() == "ready\n"
        seconds = set()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for _ in range(20):
                results = StoredResults(root)
                assert len(results.frame) == 4
                assert all(len(record.message or "") == record.seconds % 5000 or record.message is None
                           for record in results.records.values())  # fmt: skip
                seconds |= set(results.frame["seconds"])
        assert len(seconds) > 4, "the writers wrote"
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
    assert sorted(Path(root / "figure3").glob("*.json")) == sorted(
        store.path(root, "figure3", make(seed=seed).id) for seed in range(3)
    )
