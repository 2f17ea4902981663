"""Results under a folder: what is there by row and by id, in parts, and bad input."""

import numpy as np
import pytest
from support.synthetic import Plan, digits, figure3
from support.synthetic_timings import timing

from nfbench.foundation.errors import InputError
from nfbench.records import store
from nfbench.records.results import StoredResults


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    for folder in (root, root / "reference"):
        figure3(Plan(folder, seeds=1, spread=0.1 if folder == root else 0.3), targets=("u1",), kls={"planar": {2: 0.3}})
    digits(Plan(root, seeds=1))
    timing(root)
    timing(root / "reference", "zuko")
    return root


@pytest.fixture(scope="module")
def results(root):
    return StoredResults(root)


def test_a_row_leads_to_its_own_record_and_an_id_to_the_users(root, results):
    """One id has an own and a reference record: a row tells them apart, an id alone means the own one."""
    rows = results.frame.query("experiment == 'figure3'").set_index("source", drop=False)
    assert rows.loc["own", "id"] == rows.loc["reference", "id"]
    for source, folder in (("own", root), ("reference", root / "reference")):
        row = rows.loc[source]
        assert results.record(row) == store.read(store.path(folder, "figure3", row["id"]))
        assert results.record(row.to_dict()).metrics["kl"].value == row["kl"]
        assert results.file(row) == folder / "figure3" / f"{row['id']}.json"
    assert results.record(rows.loc["own", "id"]) == results.record(rows.loc["own"])
    assert results.record(rows.loc["own"]) != results.record(rows.loc["reference"])


def test_curves_and_arrays_are_the_stored_ones(root, results):
    """By row or by id: the curves of the record, the arrays of the file beside it, none where there is no file."""
    row = results.frame.query("experiment == 'figure3' and source == 'reference'").iloc[0]
    stored = store.arrays(root / "reference", "figure3", row["id"])
    assert set(results.arrays(row)) == set(stored)
    assert np.array_equal(results.arrays(row)["q"], stored["q"])
    assert results.curves(row) == results.record(row).curves
    assert "free_energy" in results.curves(row["id"])
    assert results.arrays(results.frame.query("experiment == 'digits'")["id"].iloc[0]) == {}


def test_length_and_line_count_the_records(root, results, tmp_path):
    """The line says how many records of which experiments there are, and how many timings; an empty folder has none."""
    assert len(results) == 7
    assert repr(results) == f"<StoredResults {str(root)!r}: 7 records: 5 of digits, 2 of figure3, 2 timings>"
    assert repr(StoredResults(tmp_path)) == f"<StoredResults {str(tmp_path)!r}: 0 records>"
    assert (len(StoredResults(tmp_path)), bool(StoredResults(tmp_path))) == (0, True)


def test_a_part_has_the_records_of_its_ids_only(results):
    """Cells and timings outside the ids are gone, unknown ids add nothing, and a part can be narrowed again."""
    ids = list(results.frame.query("experiment == 'digits'")["id"])
    part = results.narrowed([*ids, "unknown"])
    assert (len(part), len(part.timing_records)) == (5, 0)
    assert set(part.frame["experiment"]) == {"digits"}
    assert len(part.narrowed(ids[:2])) == 2
    timings = [identity for _, identity in results.timing_records]
    assert len(results.narrowed(timings[:1]).timing_records) == 1
    assert len(results) == 7


def test_a_part_reads_nothing_again(root, monkeypatch):
    """What was read once is there for every part, whether it was made before or after."""
    results = StoredResults(root)
    early = results.narrowed(["unknown"])
    assert (len(results), len(results.timing_records)) == (7, 2)
    monkeypatch.setattr("pathlib.Path.read_text", lambda *_, **__: pytest.fail("read again"))
    assert len(early) == 0
    assert len(results.narrowed(results.frame["id"]).frame) == 7


@pytest.mark.parametrize("root", [None, 3, b"results", ["results"]])
def test_a_root_that_is_no_path_is_refused(root):
    """The line names the value and what was expected."""
    with pytest.raises(InputError, match=r"results folder .*: expected a path"):
        StoredResults(root)


@pytest.mark.parametrize(
    ("ask", "line"),
    [
        (lambda results: results.record("0123"), r"no record '0123' among the 7 under .*an id of its column 'id'"),
        (lambda results: results.curves({"source": "own", "id": "0123"}), "no record '0123'"),
        (lambda results: results.arrays(7), "record 7: expected a row of the results' frame, or an id as text"),
        (lambda results: results.arrays({"id": "0123"}), "expected a row of the results' frame"),
        (lambda results: results.narrowed("0123"), r"ids '0123': expected a collection of ids, such as \['0123'\]"),
    ],
)
def test_records_that_are_not_there_are_refused(results, ask, line):
    """An unknown id, a row that is none, and one id in the place of several: one line each."""
    with pytest.raises(InputError, match=line) as refused:
        ask(results)
    assert "\n" not in str(refused.value)


def test_records_beyond_what_memory_keeps_are_read_when_asked_for(root, monkeypatch):
    """With room for two records the others are read again, the table is the same, and a part has its own records."""
    whole = StoredResults(root)
    expected, kept = whole.frame, dict(whole.records)
    monkeypatch.setattr("nfbench.records.listing._KEPT", 2)
    results = StoredResults(root)
    assert results.frame.equals(expected)
    assert dict(results.records) == kept
    ids = list(expected["id"][:3])
    part = results.narrowed(ids)
    assert {identity for _, identity in part.records} == set(ids)
    assert all(part.record(identity) == whole.record(identity) for identity in ids)
    with pytest.raises(KeyError):
        part.records["own", expected["id"].iloc[-1]]
