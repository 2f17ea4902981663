"""Records prove their content, old ones stay readable, and what stands in a record's place is never lost."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.recorded import make
from support.timed import timing_of

import nfbench
from nfbench.foundation.errors import InputError
from nfbench.present.results import results
from nfbench.records import store, timings
from nfbench.records.cells import RESERVED, Metric
from nfbench.records.frame import _COLUMNS, _LAST, _NUMBERS
from nfbench.records.glossary import MEASURES

COMMITTED = Path(nfbench.__file__).parents[1] / "results" / "reference"
IMAGES = {"q": np.arange(6, dtype=np.uint8).reshape(2, 3), "q_max": np.float64(0.5)}


def edit(file, change, *, seal=True):
    """Rewrite a record's JSON; without `seal` as a record of before there were digests."""
    content = json.loads(file.read_text())
    change(content)
    if not seal:
        content.pop("digest", None)
    file.write_text(json.dumps(content))


EDITS = {
    "metric": lambda content: content["metrics"]["kl"].update(value=0.1),
    "error": lambda content: content["metrics"]["free_energy"].update(se=None),
    "curve": lambda content: content["curves"]["free_energy"].__setitem__(0, 0.4),
    "fact": lambda content: content["facts"].update(label="Better flow"),
    "status": lambda content: content.update(status="diverged"),
    "seconds": lambda content: content.update(seconds=0.1),
    "revision": lambda content: content["provenance"].update(nfbench="9.9"),
    "array": lambda content: content["arrays"].update(q=64 * "0"),
    "one more metric": lambda content: content["metrics"].update(nll={"value": 1.0, "se": None}),
    "digest": lambda content: content.update(digest=64 * "0"),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_record_is_named_and_skipped(tmp_path, name):
    """Whatever is edited, one warning names the file, and the records beside it are read."""
    store.write(tmp_path, make(seed=1))
    edit(store.write(tmp_path, make(seed=0), IMAGES), EDITS[name])
    with pytest.warns(UserWarning, match=r"figure3/\w+\.json was changed after it was stored.*skipped") as caught:
        frame = results(tmp_path).frame
    assert len(caught) == 1
    assert list(frame["seed"]) == [1]


def test_another_layout_of_the_same_record_is_the_same(tmp_path):
    """Other line ends, indents and orders of keys change nothing that a record says."""
    file = store.write(tmp_path, make(), IMAGES)
    before = store.read(file)
    content = json.loads(file.read_text())
    file.write_text(json.dumps(dict(reversed(content.items())), indent=3).replace("\n", "\r\n"))
    assert store.read(file) == before


def _other(file, other):
    shutil.copy(other, file)


def _renamed_array(file, _):
    file.write_bytes(file.read_bytes().replace(b"q_max.npy", b"r_max.npy"))


def _gone(file, _):
    file.unlink()


def _one_more(file, _):
    np.savez(file, **IMAGES, p=np.zeros(2))


@pytest.mark.parametrize(
    ("damage", "said"),
    [(_other, "'q' differs"), (_renamed_array, "'q_max' is missing|no array 'r_max'"), (_gone, "'q' is missing"),
     (_one_more, "no array 'p'")],
)  # fmt: skip
def test_arrays_that_are_not_the_records_are_named(tmp_path, damage, said):
    """Another record's arrays, a flipped name, no file, one array more: refused, and the cell is not finished."""
    file = store.write(tmp_path, make(seed=0), IMAGES)
    other = store.write(tmp_path, make(seed=1), IMAGES | {"q": IMAGES["q"] + 1})
    damage(file.with_suffix(".npz"), other.with_suffix(".npz"))
    stored = results(tmp_path)
    with pytest.raises(
        InputError, match=rf"^arrays {file.with_suffix('.npz')} are not those of the record: .*({said})"
    ):
        stored.arrays(make(seed=0).id)
    assert stored.arrays(make(seed=1).id)["q"].shape == (2, 3)
    with pytest.warns(UserWarning, match="it will be run again"):
        assert not store.finished(tmp_path, make(seed=0).cell)
    assert store.finished(tmp_path, make(seed=1).cell)


def test_a_result_without_arrays_leaves_none_of_an_earlier_one(tmp_path):
    """A cell that diverges when it is run again has no image beside its record."""
    file = store.write(tmp_path, make(), IMAGES)
    store.write(tmp_path, make(status="diverged", metrics={}))
    assert not file.with_suffix(".npz").exists()
    assert results(tmp_path).arrays(make().id) == {}


def test_an_archive_that_unpacks_without_end_is_refused(tmp_path, monkeypatch):
    """Arrays that are small when packed and large when unpacked are refused before they are unpacked."""
    monkeypatch.setattr(store, "MOST_ARRAY_BYTES", 10_000)
    file = store.write(tmp_path, make(), {"q": np.zeros(20_000, np.uint8)})
    assert file.with_suffix(".npz").stat().st_size < 1000
    with pytest.raises(InputError, match="20,128 bytes unpacked; expected at most 10,000"):
        store.arrays(tmp_path, "figure3", make().id)


def test_every_committed_record_is_read_without_a_word(tmp_path):
    """Records of before there were digests are read with their arrays; every record, dumped again, is the same text."""
    files = [file for file in COMMITTED.glob("*/*.json") if file.parent.name != "timing"]
    every = [(file, store.read(file)) for file in files]
    for file, record in [(file, record) for file, record in every if record.arrays][:200]:
        _without_digest(tmp_path, file, record)
    assert all(record.model_dump_json(indent=1) + "\n" == file.read_text() for file, record in every)
    stored = results(tmp_path)
    old = [store.read(file) for file in tmp_path.glob("*/*.json")]
    assert len(old) > 100
    assert all(record.digest is None for record in old)
    assert all(stored.arrays(record.id) for record in old)
    assert sum(1 for _ in timings.timings(COMMITTED)) > 500


def _without_digest(root, file, record):
    """Store a record with its arrays as it was stored before there were digests."""
    folder = root / file.parent.name
    folder.mkdir(exist_ok=True)
    old = record.model_copy(update={"digest": None, "arrays": None})
    (folder / file.name).write_text(old.model_dump_json(indent=1) + "\n")
    shutil.copy(file.with_suffix(".npz"), folder)


def test_a_timing_proves_its_content_too(tmp_path):
    """An edited time is named and skipped."""
    file = timings.write(tmp_path, timing_of())
    edit(file, lambda content: content.update(finished="2020-01-01"))
    with pytest.warns(UserWarning, match=r"was changed after it was stored.*skipped"):
        assert list(timings.timings(tmp_path)) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: content.update(ratio={"median": 1.0, "low": 2.0, "high": 3.0}), "between its quartiles"),
        (lambda content: content.update(spread={"median": 1.0, "low": 1.0, "high": float("inf")}), "finite"),
        (lambda content: content.update(floor={"bytes": 1, "flops": 1, "bandwidth": 1, "rate": 1e-320}), "floor.rate"),
    ],
)
def test_a_timing_that_no_picture_could_show_is_named_and_skipped(tmp_path, change, said):
    """Quartiles out of order, endless ones, and a machine without speed are one warning each."""
    edit(timings.write(tmp_path, timing_of()), change, seal=False)
    with pytest.warns(UserWarning, match=rf"is not a timing record of schema 1: .*{said}.*skipped"):
        assert list(timings.timings(tmp_path)) == []


@pytest.mark.parametrize("damage", ["torn", "edited"])
def test_a_damaged_record_is_set_aside_before_its_cell_is_written_again(tmp_path, damage):
    """Its bytes and its arrays are there under another name, at which no reader of records looks."""
    for number in ("", "-2"):
        file = store.write(tmp_path, make(), IMAGES)
        edit(file, EDITS["metric"]) if damage == "edited" else file.write_text("{")
        content = file.read_bytes()
        with pytest.warns(
            UserWarning, match=rf"its file will be kept as {file.name}\.damaged, and it will be run again"
        ):
            assert not store.finished(tmp_path, make().cell)
        store.write(tmp_path, make(seconds=2.0))
        assert file.with_suffix(f".npz.damaged{number}").exists()
        assert file.with_name(f"{file.name}.damaged{number}").read_bytes() == content
    assert [record.seconds for record in store.records(tmp_path)] == [2.0]


def _newer(file):
    edit(file, lambda content: content.update(schema_version=2))


def _pipe(file):
    file.unlink()
    os.mkfifo(file)


def _folder(file):
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("damage", [_newer, _pipe, _folder])
def test_what_cannot_be_read_or_is_newer_is_not_overwritten(tmp_path, damage):
    """The cell is refused in one line when it is looked for and when it is written; what stands there stays."""
    file = store.write(tmp_path, make())
    damage(file)
    content = file.read_bytes() if damage is _newer else None
    for call in (lambda: store.finished(tmp_path, make().cell), lambda: store.write(tmp_path, make())):
        with pytest.raises(InputError, match=r"it is not overwritten: expected it elsewhere") as caught:
            call()
        assert "\n" not in str(caught.value)
    assert file.exists()
    assert content is None or file.read_bytes() == content


def test_a_record_without_permission_is_not_overwritten(tmp_path, monkeypatch):
    """A record that may not be read is neither finished nor run again."""
    file = store.write(tmp_path, make())
    opened = os.open

    def guarded(path, *arguments, **options):
        if Path(path) == file:
            raise PermissionError(13, "Permission denied")
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "open", guarded)
    for call in (lambda: store.finished(tmp_path, make().cell), lambda: store.write(tmp_path, make())):
        with pytest.raises(InputError, match=r"Permission denied; it is not overwritten"):
            call()


@pytest.mark.parametrize("name", ["status", "kl_se", "K", "kl_low", "a b", "<b>", "seeds", ""])
def test_a_metric_cannot_take_the_name_of_a_column(name):
    """Nor can it have a name that no column could have."""
    with pytest.raises(ValueError, match="expected a name that no other column of the results has"):
        make(metrics={name: Metric(value=1.0)})


def test_the_columns_of_the_table_are_reserved():
    """Every column that is no metric is a name that a metric cannot have."""
    metrics = {name.removesuffix("_se") for name in _NUMBERS} & set(MEASURES)
    columns = {name for name in (*_COLUMNS, *_LAST) if name.removesuffix("_se") not in metrics}
    assert columns <= RESERVED
    assert not RESERVED & set(MEASURES)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: content["cell"].update(posterior="no spec!"), "not a name"),
        (lambda content: content["cell"].update(target="u1:walls="), "not option=value"),
        (lambda content: content["facts"].update(K=3), "facts.K=3"),
        (lambda content: content["facts"].update(family="radial"), "facts.family='radial'"),
        (lambda content: content["facts"].update(order=[0, 2**70]), "64 bits"),
        (lambda content: content["metrics"].update(status={"value": 1.0}), "metric 'status'"),
        (lambda content: content["metrics"]["kl"].update(value=float("nan")), "not finite"),
        (lambda content: content["metrics"]["kl"].update(se=-0.1), "negative error"),
        (lambda content: content["curves"].update(step=[1.0, None]), "a step of the curves has no number"),
        (lambda content: content["curves"].update(free_energy=[1.0, float("inf")]), "not finite"),
        (lambda content: content.update(seconds=float("inf")), "finite"),
    ],
)
def test_a_record_that_contradicts_itself_is_named_and_skipped(tmp_path, change, said):
    """Also one without a digest: what tables and pictures could not show is one warning, and the others are shown."""
    store.write(tmp_path, make(seed=1))
    file = store.write(tmp_path, make(seed=0))
    edit(file, change, seal=False)
    with pytest.warns(UserWarning, match=rf"{file} is not a record of schema 1: .*{said}.*skipped"):
        assert list(results(tmp_path).frame["seed"]) == [1]
