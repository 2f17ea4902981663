"""Timing records: one file a case and contender, whole or not there, never taken for something else."""

import json
import math

import pytest
from pydantic import ValidationError
from support.timed import case_of, timing_of

from nfbench.foundation.errors import InputError
from nfbench.records import store, timings
from nfbench.records.proof import sealed
from nfbench.records.timings import Agreement, Floor, Spread


def full():
    times = Spread(median=2.0, low=1.0, high=3.0)
    return timing_of(
        seconds=[1.0, 2.0, 3.0],
        spread=times,
        ratio=times,
        compile_seconds=0.5,
        peak_bytes=12,
        agreement=Agreement(error=1e-7, tolerance=1e-5),
        floor=Floor(bytes=10.0, flops=30.0, bandwidth=5.0, rate=10.0),
        versions={"torch": "2"},
    )


def test_what_is_written_is_read(tmp_path):
    """Every field comes back, and nothing but the record lies in its folder."""
    file = timings.write(tmp_path, full())
    assert timings.read(file) == sealed(full())
    assert timings.read(file).model_copy(update={"digest": None}) == full()
    assert [path.name for path in (tmp_path / "timing").iterdir()] == [f"{full().id}.json"]
    assert list(timings.timings(tmp_path)) == [sealed(full())]


@pytest.mark.parametrize("error", [math.nan, math.inf])
def test_an_error_that_is_no_number_survives(tmp_path, error):
    """A contender that gives NaN keeps its record: the file is JSON, is read again, and does not agree."""
    timing = timing_of(agreement=Agreement(error=error, tolerance=1e-5))
    file = timings.write(tmp_path, timing)
    json.loads(file.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    found = timings.read(file).agreement
    assert str(found.error) == str(error)
    assert not found.holds


def test_one_file_a_case_and_contender(tmp_path):
    """The same work by the same contender replaces its record; any other size or contender has one of its own."""
    others = [timing_of(case_of(dim=3)), timing_of(case_of(threads=2)), timing_of(contender="compile")]
    for timing in [timing_of(), *others, timing_of(status="failed", message="later")]:
        timings.write(tmp_path, timing)
    found = list(timings.timings(tmp_path))
    assert len(found) == 4
    assert [one.message for one in found if one.status == "failed"] == ["later"]


def damaged(text):
    return {
        "torn": text[: len(text) // 2],
        "empty": "",
        "foreign": '{"a": 1}',
        "newer": text.replace('"schema_version": 1', '"schema_version": 2'),
        "changed": text.replace('"dim": 2', '"dim": 3'),
        "other contender": text.replace('"textbook"', '"compile"'),
    }


@pytest.mark.parametrize("what", sorted(damaged("")))
def test_a_damaged_record_is_named_and_left_out(tmp_path, what):
    """Torn, foreign, of another schema, or not of the case that its name says: one line, and the rest is read."""
    timings.write(tmp_path, timing_of(contender="nfbench"))
    file = timings.write(tmp_path, timing_of())
    file.write_text(damaged(file.read_text())[what])
    with pytest.raises(InputError, match=file.name) as refused:
        timings.read(file)
    assert "\n" not in str(refused.value)
    with pytest.warns(UserWarning, match=file.name):
        assert [one.contender for one in timings.timings(tmp_path)] == ["nfbench"]


def test_a_renamed_record_is_refused(tmp_path):
    """A file under another's name would be taken for another case."""
    file = timings.write(tmp_path, timing_of())
    with pytest.raises(InputError, match="is not the timing that its name says"):
        timings.read(file.rename(file.with_name("0123456789abcdef.json")))


def test_a_root_without_timings_has_none(tmp_path):
    """Nothing is made and nothing is said."""
    assert list(timings.timings(tmp_path / "absent")) == []
    assert not (tmp_path / "absent").exists()


def test_timings_are_no_records_of_experiments(tmp_path):
    """The folder of timings lies beside those of experiments, which do not read it."""
    timings.write(tmp_path, timing_of())
    assert list(store.records(tmp_path)) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    """One line with the file."""
    (tmp_path / "timing").write_text("a regular file")
    with pytest.raises(InputError, match="cannot write"):
        timings.write(tmp_path, timing_of())


@pytest.mark.parametrize("wrong", [{"dim": 0}, {"draws": -1}, {"batch": 0}, {"threads": 0}, {"mode": "x"}, {"size": 1}])
def test_a_case_is_checked(wrong):
    """Sizes that no work can have, unknown modes and unknown keys are refused."""
    known = case_of().model_dump()
    with pytest.raises(ValidationError):
        timings.Case(**known | wrong)


def test_the_floor_is_the_larger_of_two_times():
    """Moving 10 bytes at 5 a second takes 2 s, 30 flops at 10 a second 3 s."""
    assert full().floor.seconds == 3.0
    assert full().floor.model_copy(update={"bytes": 100.0}).seconds == 20.0


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path, monkeypatch):
    """A folder of timings without permission is named, as a folder of records is, and not taken for an empty one."""

    def refuse(folder):
        raise PermissionError(13, "Permission denied")

    timings.write(tmp_path, full())
    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(InputError, match=r"cannot read folder .*timing.*: Permission denied"):
        list(timings.timings(tmp_path))
