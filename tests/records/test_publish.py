"""Publication: the first finished outcome of a cell stays, whatever others do at the same time."""

import os
import threading
import warnings

import numpy as np
import pytest
from support.shared_folder import NAME, groups

from nfbench.experiments.run_group import run_group
from nfbench.foundation import first
from nfbench.records import publish as module
from nfbench.records.cells import Metric
from nfbench.records.publish import aside_files, publish, recover
from nfbench.records.store import arrays, finished, fits, path, read

IMAGES = {"image": np.arange(6.0)}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished record."""
    (record,) = run_group(groups(1)[0], tmp_path_factory.mktemp("made"))
    return record.model_copy(update={"arrays": None, "digest": None})


@pytest.fixture
def failed(done):
    """A failed record of the same cell."""
    return done.model_copy(update={"status": "failed", "message": "no", "metrics": {}, "curves": {}})


def changed(record, value):
    """The record with other numbers."""
    return record.model_copy(update={"metrics": record.metrics | {"free_energy": Metric(value=value)}})


def names(root):
    """All files of the experiment's folder, without the cell's id."""
    return sorted(file.name.split(".", 1)[1] for file in (root / NAME).iterdir())


def test_the_first_of_equal_outcomes_stays(done, tmp_path):
    """A second outcome of the same numbers is told and dropped, whenever and in what time it was made."""
    assert not publish(tmp_path, done, IMAGES).repeated
    later = done.model_copy(update={"seconds": 99.0, "finished": "2030-01-01T00:00:00+00:00"})
    second = publish(tmp_path, later, IMAGES)
    assert (second.repeated, second.other, second.record.seconds) == (True, None, done.seconds)
    assert names(tmp_path) == ["json", "npz"]


def test_outcomes_that_differ_are_both_kept(done, tmp_path):
    """Those of other numbers, or other arrays, lie beside the first, each under a name of its own."""
    publish(tmp_path, done, IMAGES)
    others = [publish(tmp_path, changed(done, 7.0), IMAGES), publish(tmp_path, done, {"image": np.zeros(2)})]
    assert [second.other.name.split(".", 1)[1] for second in others] == ["json.differs", "json.differs-2"]
    assert names(tmp_path) == ["json", "json.differs", "json.differs-2", "npz", "npz.differs", "npz.differs-2"]
    stored = read(path(tmp_path, NAME, done.id))
    assert stored.metrics == done.metrics
    assert np.array_equal(arrays(tmp_path, NAME, done.id, stored.arrays)["image"], IMAGES["image"])


def test_an_outcome_that_differs_is_kept_once(done, tmp_path):
    """However often it comes again, it has one file."""
    publish(tmp_path, done, IMAGES)
    kept = {publish(tmp_path, changed(done, value), IMAGES).other.name for value in (7.0, 8.0, 7.0, 8.0)}
    assert names(tmp_path) == ["json", "json.differs", "json.differs-2", "npz", "npz.differs", "npz.differs-2"]
    assert len(kept) == 2


def test_a_record_of_before_there_were_digests_equals_itself(done, tmp_path):
    """Its arrays are compared as they lie beside it."""
    file = publish(tmp_path, done, IMAGES) and path(tmp_path, NAME, done.id)
    file.write_text(done.model_dump_json())
    assert "digest" not in file.read_text()
    assert publish(tmp_path, done, IMAGES) == (done, True, None)
    assert publish(tmp_path, done, {"image": np.zeros(2)}).other is not None


def test_an_unfinished_outcome_makes_room_and_never_takes_it(done, failed, tmp_path):
    """A failure gives way to a later outcome; over a finished one it is dropped."""
    publish(tmp_path, failed)
    assert not publish(tmp_path, done, IMAGES).repeated
    assert publish(tmp_path, failed).record.status == "done"
    assert finished(tmp_path, done.cell)
    assert names(tmp_path) == ["json", "npz"]


@pytest.mark.parametrize("step", ["_place_arrays", "_take_unfinished"])
def test_a_record_that_is_finished_at_the_last_moment_is_put_back(done, failed, tmp_path, monkeypatch, step):
    """After a failure's look at an unfinished record somebody finishes the cell: theirs stays, with its arrays."""
    publish(tmp_path, failed)
    as_it_is = getattr(module._Place, step)

    def late(place):
        monkeypatch.setattr(module._Place, step, as_it_is)
        publish(tmp_path, done, IMAGES)
        return as_it_is(place)

    monkeypatch.setattr(module._Place, step, late)
    assert publish(tmp_path, failed.model_copy(update={"message": "again"})).record.status == "done"
    assert finished(tmp_path, done.cell)
    assert names(tmp_path) == ["json", "npz"]


def test_what_a_killed_process_had_in_its_hand_is_put_back(done, failed, tmp_path):
    """A finished record and its arrays get their names again; a failure that made room is removed."""
    publish(tmp_path, done, IMAGES)
    for end in ("json", "npz"):
        (tmp_path / NAME / f"{done.id}.{end}").rename(tmp_path / NAME / f".{done.id}.{end}.host.1.0123abcd.aside")
    assert len(aside_files(tmp_path / NAME)) == len(recover(tmp_path / NAME)) == 2
    assert finished(tmp_path, done.cell)
    assert names(tmp_path) == ["json", "npz"]
    publish(tmp_path / "other", failed)
    file = path(tmp_path / "other", NAME, failed.id)
    file.rename(file.with_name(f".{file.name}.host.1.0123abcd.aside"))
    recover(file.parent)
    assert names(tmp_path / "other") == []


def test_of_many_at_once_one_stays_whole(done, failed, tmp_path):
    """Eight threads publish, of which some fail and some find other numbers: one record with its own arrays stays."""
    publish(tmp_path, failed)
    outcomes = [(done, IMAGES), (changed(done, 7.0), {"image": np.zeros(3)}), (failed, None)] * 3
    barrier = threading.Barrier(len(outcomes))

    def put(record, images):
        barrier.wait()
        publish(tmp_path, record, images)

    for _ in range(5):
        threads = [threading.Thread(target=put, args=outcome) for outcome in outcomes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert finished(tmp_path, done.cell)
    assert {name.split("-")[0] for name in names(tmp_path)} == {"json", "npz", "json.differs", "npz.differs"}


@pytest.mark.parametrize("event", ["removed", "placed"])
def test_arrays_that_others_remove_or_place_while_they_are_put_back(done, tmp_path, monkeypatch, event):
    """After the look at a hidden file of arrays its owner removes it, or gives it the place: no error, nothing left."""
    publish(tmp_path, done, IMAGES)
    file = path(tmp_path, NAME, done.id)
    arrays = file.with_suffix(".npz")
    gone, kept = (file.with_name(f".{arrays.name}.host.1.0123abc{n}.aside") for n in range(2))
    for aside in (gone, kept):
        aside.write_bytes(arrays.read_bytes())
    arrays.unlink()

    def late(part, place):
        if part == gone:
            part.unlink() if event == "removed" else os.link(part, arrays)
        return first.take_name(part, place)

    monkeypatch.setattr(module, "take_name", late)
    assert module._repair(file, [gone, kept])
    assert finished(tmp_path, done.cell)
    for aside in (gone, kept):
        aside.unlink(missing_ok=True)
    assert names(tmp_path) == ["json", "npz"]


def test_a_record_whose_arrays_somebody_has_in_hand_is_not_damaged(done, tmp_path, monkeypatch):
    """A second process has put its arrays in a record's place, and a third looks before the first has mended it."""
    settle = module._Place._settle
    third = []

    def late(place):
        monkeypatch.setattr(module._Place, "_settle", settle)
        place.arrays.unlink()
        place.arrays.write_bytes(module.packed({"image": np.zeros(3)}))
        third.append(publish(tmp_path, changed(done, 7.0), {"image": np.ones(3)}))
        return settle(place)

    monkeypatch.setattr(module._Place, "_settle", late)
    assert not publish(tmp_path, done, IMAGES).repeated
    assert third[0].repeated
    assert finished(tmp_path, done.cell)
    assert names(tmp_path) == ["json", "json.differs", "npz", "npz.differs"]


def test_a_record_that_makes_room_while_it_is_looked_at_is_not_damaged(done, tmp_path, monkeypatch):
    """Between the look at a record and at its arrays another record, with arrays of its own, takes its place."""
    publish(tmp_path, done, IMAGES)
    publish(tmp_path / "other", changed(done, 8.0), {"image": np.ones(3)})

    def late(file, record):
        monkeypatch.setattr(module, "fits", fits)
        for entry in (tmp_path / "other" / NAME).iterdir():
            entry.rename(tmp_path / NAME / entry.name)
        return fits(file, record)

    monkeypatch.setattr(module, "fits", late)
    publish(tmp_path, changed(done, 7.0), {"image": np.zeros(3)})
    assert finished(tmp_path, done.cell)
    assert names(tmp_path) == ["json", "json.differs", "npz", "npz.differs"]


def test_a_finished_record_in_hand_is_kept_beside_one_that_took_its_place(done, tmp_path):
    """What a killed process had taken away is not dropped where another outcome of other numbers came meanwhile."""
    publish(tmp_path, done)
    file = path(tmp_path, NAME, done.id)
    file.rename(file.with_name(f".{file.name}.host.1.0123abcd.aside"))
    publish(tmp_path, changed(done, 7.0))
    recover(file.parent)
    assert names(tmp_path) == ["json", "json.differs"]
    assert read(file.with_name(f"{file.name}.differs"), file).metrics == done.metrics


def test_a_file_system_without_links(done, failed, tmp_path, monkeypatch):
    """Where there are no hard links, records get their names by renaming, and the first stays all the same."""

    def refused(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(first.os, "link", refused)
    publish(tmp_path, failed)
    assert not publish(tmp_path, done, IMAGES).repeated
    assert publish(tmp_path, done, IMAGES).repeated
    assert finished(tmp_path, done.cell)
    assert names(tmp_path) == ["json", "npz"]
