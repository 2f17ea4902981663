"""Records: written whole or not at all, read back equal, and anything else named and skipped."""

import json
import math
import os
import shutil

import numpy as np
import pytest
from support.recorded import make

from nfbench.foundation.errors import InputError
from nfbench.present.results import results as read
from nfbench.records import store
from nfbench.specification.config import Evaluation


def test_reading_back_gives_the_same_record(tmp_path):
    """A record and its arrays survive storage exactly, and the file is named by the cell's hash."""
    record, image = make(), np.arange(6, dtype=np.uint8).reshape(2, 3)
    images = {"q": image, "q_max": np.float64(0.1)}
    file = store.write(tmp_path, record, images)
    assert file == tmp_path / "figure3" / f"{record.cell.id}.json"
    assert store.read(file) == store.with_proof(record, images)
    assert store.read(file).model_copy(update={"arrays": None, "digest": None}) == record
    stored = store.arrays(tmp_path, "figure3", record.id)
    assert stored["q"].dtype == np.uint8
    assert np.array_equal(stored["q"], image)
    assert float(stored["q_max"]) == 0.1


def test_no_arrays_is_an_empty_answer(tmp_path):
    """A record without arrays has none."""
    store.write(tmp_path, make())
    assert store.arrays(tmp_path, "figure3", make().id) == {}


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04torn"], ids=["empty", "foreign", "torn"])
def test_damaged_arrays_are_named(tmp_path, content):
    """Arrays that cannot be read are refused in one line that names their file."""
    file = store.write(tmp_path, make(), {"q": np.zeros(3)}).with_suffix(".npz")
    file.write_bytes(content)
    with pytest.raises(InputError, match=rf"cannot read arrays {file}: \w+: ."):
        store.arrays(tmp_path, "figure3", make().id)


def test_a_record_of_another_schema_says_which(tmp_path):
    """The line shows the version that was found."""
    file = store.write(tmp_path, make())
    _other_schema(file)
    with pytest.raises(InputError, match=r"not a record of schema 1: schema_version: got 99; a newer nfbench wrote it"):
        store.read(file)


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    """The records of a folder without permission are missed with a warning, a root without permission is refused."""
    store.write(tmp_path, make())
    look, closed = os.scandir, {tmp_path / "figure3"}

    def guarded(folder):
        if folder in closed:
            raise PermissionError(13, "Permission denied")
        return look(folder)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.warns(UserWarning, match=r"cannot read folder .*figure3.*Permission denied.*skipped"):
        assert len(read(tmp_path).frame) == 0
    closed.add(tmp_path)
    with pytest.raises(InputError, match=r"cannot read folder .*Permission denied; expected a readable folder"):
        len(read(tmp_path))


def test_identity_depends_on_everything_and_recipe_on_the_protocol_only():
    """Every field of a cell changes its id; the recipe is blind to target, posterior, seed and data alone."""
    cell = make().cell
    same = {"target": "u2", "posterior": "planar:K=2", "seed": 1, "data": "digits sha256:0"}
    other = {"profile": "paper", "evaluation": Evaluation(draws=51), "experiment": "mine", "training": None}
    for field, value in (same | other).items():
        changed = cell.model_copy(update={field: value})
        assert changed.id != cell.id, field
        assert (changed.recipe == cell.recipe) == (field in same), field


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    """When the rename does not happen, the old record still stands and no partial file remains."""
    file = store.write(tmp_path, make(seconds=1.0))

    def broken(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", broken)
    with pytest.raises(InputError, match=r"cannot write .*\.json: No space left on device"):
        store.write(tmp_path, make(seconds=2.0))
    assert store.read(file).seconds == 1.0
    assert [found.name for found in file.parent.iterdir()] == [file.name]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    """A results root below a regular file is refused in one line."""
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(InputError, match=r"cannot write .*taken"):
        store.write(tmp_path / "taken", make())


def _torn(file):
    file.write_text(file.read_text()[:100])


def _foreign(file):
    file.write_text('{"some": "JSON"}')


def _other_schema(file):
    file.write_text(json.dumps(json.loads(file.read_text()) | {"schema_version": 99}))


def _edited(file):
    content = json.loads(file.read_text())
    content["cell"]["seed"] = 7
    file.write_text(json.dumps(content))


def _binary(file):
    file.write_bytes(b"\xff\xfe\x00")


def _renamed(file):
    shutil.move(file, file.with_name("0123456789abcdef.json"))


def _moved(file):
    (file.parent.parent / "other").mkdir()
    shutil.copy(file, file.parent.parent / "other" / file.name)
    file.unlink()


def _uneven(file):
    content = json.loads(file.read_text())
    content["curves"]["free_energy"].append(1.0)
    file.write_text(json.dumps(content))


def _stepless(file):
    content = json.loads(file.read_text())
    del content["curves"]["step"]
    file.write_text(json.dumps(content))


def _a_folder(file):
    file.unlink()
    file.mkdir()


def _a_pipe(file):
    file.unlink()
    os.mkfifo(file)


def _a_link_to_a_device(file):
    file.unlink()
    file.symlink_to("/dev/zero")


def _a_link_to_nothing(file):
    file.unlink()
    file.symlink_to("nothing")


DAMAGES = [
    *(_torn, _foreign, _other_schema, _edited, _binary, _renamed, _moved, _uneven, _stepless),
    *(_a_folder, _a_pipe, _a_link_to_a_device, _a_link_to_nothing),
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_record_is_named_and_skipped(tmp_path, damage):
    """Torn, foreign, edited, moved, with curves that cannot be drawn: one warning that names the file, no more."""
    store.write(tmp_path, make(seed=1))
    damage(store.write(tmp_path, make(seed=0)))
    with pytest.warns(UserWarning, match=r"(figure3|other)/\w+\.json.*skipped") as caught:
        frame = read(tmp_path).frame
    assert len(caught) == 1
    assert "\n" not in str(caught[0].message)
    assert list(frame["seed"]) == [1]


@pytest.mark.parametrize("damage", [_torn, _foreign, _edited], ids=lambda damage: damage.__name__)
def test_a_damaged_record_is_not_finished(tmp_path, damage):
    """A cell whose record is damaged runs again, with a warning that says so."""
    record = make()
    damage(store.write(tmp_path, record))
    with pytest.warns(UserWarning, match="it will be run again"):
        assert not store.finished(tmp_path, record.cell)


@pytest.mark.parametrize(
    ("status", "finished"), [("done", True), ("diverged", True), ("failed", False), ("interrupted", False)]
)
def test_only_final_outcomes_are_finished(tmp_path, status, finished):
    """A diverged cell would diverge again; a failed or interrupted one is worth another try."""
    record = make(status=status)
    assert not store.finished(tmp_path, record.cell)
    store.write(tmp_path, record)
    assert store.finished(tmp_path, record.cell) is finished


def test_results_separate_own_from_reference(tmp_path):
    """Committed records and a user's own stand in one table, told apart; a metric's absent error is NaN."""
    store.write(tmp_path, make(seed=1))
    store.write(tmp_path / "reference", make(seed=0))
    frame = read(tmp_path).frame
    assert list(zip(frame["source"], frame["seed"], strict=True)) == [("own", 1), ("reference", 0)]
    assert (frame["kl"] == 0.1 + 0.2).all()
    assert frame["kl_se"].isna().all()
    assert (frame["free_energy_se"] == 0.01).all()
    assert math.isnan(frame["nll"].iloc[0])
    assert frame["seconds"].iloc[0] == 1.5


def test_results_of_nothing(tmp_path):
    """An empty folder is an empty table with its columns; a folder that is not there is refused."""
    assert {"experiment", "kl", "status"} <= set(read(tmp_path).frame.columns)
    with pytest.raises(InputError, match="no results folder"):
        read(tmp_path / "absent")
