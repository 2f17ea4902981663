"""Merging folders of results: equal is stored once, different is kept and named, and nothing is lost or changed."""

import json
from collections import Counter

import numpy as np
import pytest
from support.recorded import make
from support.synthetic_timings import timing

from nfbench.foundation.errors import InputError
from nfbench.records import timings
from nfbench.records.cells import Metric
from nfbench.records.merge import merge
from nfbench.records.store import arrays, path, read, write

IMAGES = {"image": np.arange(6.0)}


@pytest.fixture
def source(tmp_path):
    """A folder with two records, one of them with arrays."""
    root = tmp_path / "source"
    write(root, make(0), IMAGES)
    write(root, make(1))
    return root


@pytest.fixture
def into(tmp_path):
    """Where the merged results go."""
    return tmp_path / "into"


def content(root):
    """Every file below a folder with its bytes."""
    return {str(file.relative_to(root)): file.read_bytes() for file in sorted(root.rglob("*")) if file.is_file()}


def kinds(merged):
    """How many files of each kind there are."""
    return dict(Counter(each.kind for each in merged))


def other(seed=0, value=7.0):
    """A record of the same cell with other numbers."""
    return make(seed, metrics={"free_energy": Metric(value=value, se=0.01)})


def test_new_records_are_stored_with_their_arrays(source, into):
    """The text of a record with a digest stays byte by byte, its arrays number by number."""
    before = content(source)
    assert kinds(merge([source], into)) == {"new": 2}
    assert content(source) == before
    for seed in (0, 1):
        record = make(seed)
        assert path(into, "figure3", record.id).read_bytes() == path(source, "figure3", record.id).read_bytes()
    stored = read(path(into, "figure3", make(0).id))
    assert np.array_equal(arrays(into, "figure3", stored.id, stored.arrays)["image"], IMAGES["image"])


def test_a_cell_twice_is_one(source, tmp_path, into):
    """Equal outcomes of several folders, whenever they were made, are one; a second merge changes no byte."""
    later = tmp_path / "later"
    write(later, make(0, seconds=9.0, finished="2030-01-01T00:00:00+00:00"), IMAGES)
    assert kinds(merge([source, later], into)) == {"new": 2, "equal": 1}
    before = content(into)
    assert kinds(merge([later, source], into)) == {"equal": 3}
    assert content(into) == before


def test_a_cell_with_other_numbers_is_kept_and_named(source, tmp_path, into):
    """The first stays, the other lies beside it with its arrays, once, and a third merge takes both along."""
    differs = tmp_path / "differs"
    write(differs, other(0), {"image": np.zeros(2)})
    for _ in range(2):
        merged = merge([source, differs], into)
        assert merged[-1].kind == "differs"
        kept = merged[-1].place
        assert kept == path(into, "figure3", make(0).id).with_suffix(".json.differs")
        assert str(kept) in merged[-1].reason
        assert read(kept, path(into, "figure3", make(0).id)).metrics == other(0).metrics
    assert read(path(into, "figure3", make(0).id)).metrics == make(0).metrics
    again = tmp_path / "again"
    assert kinds(merge([into], again)) == {"new": 2, "differs": 1}
    assert content(again) == content(into)


def test_what_is_damaged_is_named_and_left(source, into):
    """Torn, edited, renamed and foreign files, and records whose arrays are not their own: no byte of them moves."""
    whole, beside = path(source, "figure3", make(0).id), path(source, "figure3", make(1).id)
    beside.write_text(beside.read_text().replace("-1.85", "-2.85"))
    (source / "figure3" / "0123456789abcdef.json").write_bytes(whole.read_bytes())
    (source / "figure3" / "torn.json").write_bytes(whole.read_bytes()[:100])
    (source / "table3").mkdir()
    (source / "table3" / whole.name).write_bytes(whole.read_bytes())
    (source / "table3" / "notes.json").write_text('{"a": 1}')
    np.savez(whole.with_suffix(".npz"), image=np.zeros(6))
    before = content(source)
    merged = merge([source], into)
    assert kinds(merged) == {"damaged": 6}
    reasons = {str(each.file.relative_to(source)): each.reason for each in merged}
    for name, words in (
        (f"figure3/{beside.name}", "was changed after it was stored"),
        (f"figure3/{whole.name}", "'image' differs"),
        ("figure3/0123456789abcdef.json", "is not the record that its name says"),
        ("figure3/torn.json", "is not a record of schema 1"),
        (f"table3/{whole.name}", "does not lie where it belongs"),
        ("table3/notes.json", "is not a record of schema 1"),
    ):
        assert words in reasons[name], name
    assert content(source) == before
    assert content(into) == {}


def test_a_newer_record_is_named_on_both_sides(source, into):
    """Of a newer nfbench it is not read, and where it has the place nothing takes that."""
    file = path(source, "figure3", make(0).id)
    newer = json.dumps(json.loads(file.read_text()) | {"schema_version": 2})
    place = path(into, "figure3", make(1).id)
    place.parent.mkdir(parents=True)
    file.write_text(newer)
    place.write_text(newer)
    merged = merge([source], into)
    assert {each.file.stem: each.kind for each in merged} == {make(0).id: "unreadable", make(1).id: "no place"}
    assert all("a newer nfbench wrote it" in each.reason for each in merged)
    assert content(into) == {f"figure3/{place.name}": newer.encode()}


def test_what_is_damaged_in_the_place_is_renamed_and_named(source, into):
    """The merged record takes the place, and the damaged file stays under another name."""
    place = path(into, "figure3", make(1).id)
    place.parent.mkdir(parents=True)
    place.write_text("torn")
    merged = {each.file.stem: each for each in merge([source], into)}
    assert merged[make(1).id].kind == "new"
    assert f"{place.name}.damaged" in merged[make(1).id].reason
    assert place.with_name(f"{place.name}.damaged").read_text() == "torn"
    assert read(place).id == make(1).id


@pytest.mark.parametrize(
    ("there", "comes", "kind", "left"),
    [
        ("failed", "done", "new", "done"),
        ("done", "failed", "unfinished", "done"),
        ("failed", "interrupted", "unfinished", "failed"),
        ("failed", "failed", "equal", "failed"),
    ],
)
def test_an_unfinished_outcome_never_takes_a_place(tmp_path, into, there, comes, kind, left):
    """A finished one takes its place; what is not taken is named."""
    empty = {"metrics": {}, "curves": {}, "message": "no"}
    for root, status in ((into, there), (tmp_path / "source", comes)):
        write(root, make(0, status, **({} if status == "done" else empty)))
    (merged,) = merge([tmp_path / "source"], into)
    assert merged.kind == kind
    assert read(path(into, "figure3", make(0).id)).status == left


def test_timings_and_choices_go_along(source, tmp_path, into):
    """Both by the same rule; the weights of a choice stay with the outcome that they are of."""
    second = tmp_path / "second"
    for root, factor, number in ((source, 1.0, "1"), (second, 2.0, "2")):
        timing(root, factor=factor)
        (root / "choose").mkdir()
        (root / "choose" / "u1-0123.json").write_text(f'{{"best": {number}}}')
        (root / "choose" / f"u1-0123-seed{number}.safetensors").write_text(number)
    write(source / "reference", make(2))
    assert kinds(merge([source], into)) == {"new": 5}
    for _ in range(2):
        assert kinds(merge([second], into)) == {"differs": 2}
    first = timings.read(next((source / "timing").iterdir()))
    assert [each.spread for each in timings.timings(into)] == [first.spread]
    assert read(path(into / "reference", "figure3", make(2).id)).status == "done"
    names = sorted(file.name for file in (into / "choose").iterdir())
    assert names == [
        "u1-0123-seed1.safetensors",
        "u1-0123-seed2.safetensors.differs",
        "u1-0123.json",
        "u1-0123.json.differs",
    ]
    again = tmp_path / "again"
    assert kinds(merge([into], again)) == {"new": 5, "differs": 2}
    assert content(again) == content(into)


def test_what_is_missing_of_a_choice_is_filled_in(source, into):
    """Weights that the same outcome lacks are stored beside it; nothing is kept twice."""
    for root, seeds in ((source, (0, 1)), (into, (1,))):
        (root / "choose").mkdir(parents=True)
        (root / "choose" / "u1-0123.json").write_text("{}")
        for seed in seeds:
            (root / "choose" / f"u1-0123-seed{seed}.safetensors").write_text(str(seed))
    assert kinds(merge([source], into)) == {"new": 3}
    assert kinds(merge([source], into)) == {"equal": 3}
    assert content(into / "choose") == content(source / "choose")


def test_a_damaged_timing_or_choice_is_named(source, into):
    """Neither is taken; a damaged timing in the place is renamed."""
    file = timing(source)
    place = timing(into)
    place.write_text("torn")
    (source / "choose").mkdir()
    (source / "choose" / "u1-0123.json").write_text("[1]")
    merged = {each.file.name: each for each in merge([source], into)}
    assert merged["u1-0123.json"].kind == "damaged"
    assert merged[file.name].kind == "new"
    assert place.with_name(f"{place.name}.damaged").read_text() == "torn"
    file.write_text(file.read_text().replace("0.001", "0.002"))
    merged = {each.file.name: each for each in merge([source], into)}
    assert "was changed after it was stored" in merged[file.name].reason


def test_what_is_no_outcome_is_named_as_left(source, into):
    """Plans, checkpoints, leases, what was set aside and notes of a user: each with the reason."""
    folder = source / "figure3"
    for name in ("plans/a.plan", "figure3/checkpoints/a.pt", "notes.txt", "choose/notes.txt", "figure3/a.npz"):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text("")
    (folder / "0.json.damaged").write_text("")
    (folder / ".0.json.host.1.0123abcd.part").write_text("")
    merged = merge([source], into)
    assert kinds(merged) == {"new": 2, "left": 7}
    reasons = {str(each.file.relative_to(source)): each.reason for each in merged if each.kind == "left"}
    assert "set aside as damaged" in reasons["figure3/0.json.damaged"]
    assert "arrays without a record" in reasons["figure3/a.npz"]
    assert "checkpoints" in reasons["figure3/checkpoints"]


def test_a_folder_that_cannot_be_merged_is_refused_before_anything_is_written(source, tmp_path, into):
    """No folder, an empty one, and one that the result would lie in; the folders before it are not merged either."""
    (tmp_path / "empty").mkdir()
    for folder, words in ((tmp_path / "no", "no folder"), (tmp_path / "empty", "nothing to merge")):
        with pytest.raises(InputError, match=words):
            merge([source, folder], into)
    for inside in (source, source / "merged"):
        with pytest.raises(InputError, match="lies in"):
            merge([source], inside)
    assert not into.exists()
