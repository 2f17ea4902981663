"""Rechecks: random cells are run again, what holds is told from what does not, and what cannot be run is named."""

import shutil

import pytest
from support.shared_folder import TRAINING, groups

from nfbench.executors.limits import Limits
from nfbench.executors.messages import Lost
from nfbench.experiments.recheck import _p_value, recheck
from nfbench.experiments.recheck_sample import draw
from nfbench.experiments.run_group import lose_group, run_group
from nfbench.foundation.errors import InputError
from nfbench.records import rechecks
from nfbench.records.cells import Facts, Metric, Record
from nfbench.records.merge import merge
from nfbench.records.outcomes import Outcome, Outcomes, outcomes
from nfbench.records.store import arrays, path, read, write
from nfbench.training.acceleration import Acceleration

CELLS = 3


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with three records of one posterior, which train one by one."""
    root = tmp_path_factory.mktemp("made") / "results"
    for group in groups(CELLS):
        run_group(group, root)
    return root


@pytest.fixture
def root(made, tmp_path):
    """A copy of that folder."""
    return shutil.copytree(made, tmp_path / "results")


def edit(root, record, **metrics):
    """Store a record with other values of metrics, and the digest that belongs to them."""
    values = {name: Metric(value=value, se=record.metrics[name].se) for name, value in metrics.items()}
    images = arrays(root, record.cell.experiment, record.id)
    write(root, record.model_copy(update={"metrics": record.metrics | values}), images)


def stored(root):
    """The records, by seed."""
    every = (read(path(root, each.cell.experiment, id)) for id, each in outcomes(root).by_id.items())
    return {record.cell.seed: record for record in every}


def altered(outcome, provenance=None, **changes):
    """The outcome with another cell, of its own id."""
    cell = outcome.cell.model_copy(update=changes)
    return outcome._replace(cell=cell, provenance={**outcome.provenance, **(provenance or {})})


def folder(*every):
    """Outcomes as those of a folder."""
    return Outcomes({each.cell.id: each for each in every}, [], set())


def test_what_was_edited_is_found_and_the_rest_holds_bit_by_bit(root):
    """A number with a new digest is seen by running its cell again; below its Monte-Carlo error it is noise."""
    records = stored(root)
    free_energy = records[0].metrics["free_energy"]
    edit(root, records[0], free_energy=free_energy.value + 10 * free_energy.se)
    edit(root, records[1], free_energy=records[1].metrics["free_energy"].value + 0.1 * free_energy.se)
    before = {file: file.read_bytes() for file in (root / "trial").iterdir()}
    sample = draw(outcomes(root), CELLS, seed=0)
    checked = {each.cell.seed: each for each in recheck(sample, root, jobs=1)}
    assert {seed: each.verdict for seed, each in checked.items()} == {0: "differs", 1: "within error", 2: "equal"}
    assert "free energy" in checked[0].detail
    assert "7.1 standard errors" in checked[0].detail  # 10 / sqrt(2)
    assert {file: file.read_bytes() for file in (root / "trial").iterdir()} == before
    kept = rechecks.rechecks(root)
    assert {kept[records[seed].id].verdict for seed in checked} == {each.verdict for each in checked.values()}
    assert kept[records[2].id].numbers == Outcome.of(records[2]).numbers
    assert kept[records[0].id].metrics["free_energy"] == free_energy
    merged = merge([root], root.parent / "into")
    assert {each.kind for each in merged} == {"new"}
    assert rechecks.rechecks(root.parent / "into") == kept


def test_p_values_are_adjusted_for_the_number_of_metrics(root):
    """Of several metrics one that is 2.2 standard errors away is noise; 4 standard errors are none."""
    record = stored(root)[0]
    metric = record.metrics["free_energy"]
    for far, verdict in ((2.2, "within error"), (4.0, "differs")):
        edit(root, record, free_energy=metric.value + far * 2**0.5 * metric.se)
        sample = draw(folder(outcomes(root).by_id[record.id]), 1, seed=0)
        (checked,) = recheck(sample, root, jobs=1)
        assert (checked.verdict, f"{far:.1f} standard errors" in checked.detail) == (verdict, True)


def test_other_arrays_alone_do_not_hold(root):
    """Equal metrics beside arrays that no run gives: somebody has put them there."""
    record = stored(root)[0]
    images = arrays(root, "trial", record.id)
    write(root, record, {name: array + 1 for name, array in images.items()})
    sample = draw(folder(outcomes(root).by_id[record.id]), 1, seed=0)
    (checked,) = recheck(sample, root, jobs=1)
    assert checked.verdict == "differs"
    assert checked.detail == "the metrics are equal, but not the curves or arrays"


def test_a_seed_holds_that_trained_among_others(tmp_path):
    """Its whole block trains again, and only the cell that was picked is stored and compared."""
    training = TRAINING.model_copy(update={"together": 3})
    (group,) = groups(3, training=training)
    run_group(group, tmp_path)
    sample = draw(outcomes(tmp_path), 1, seed=0)
    assert len(sample.picks[0].group.block) == 3
    assert [each.verdict for each in recheck(sample, tmp_path, jobs=1)] == ["equal"]
    assert len(rechecks.rechecks(tmp_path)) == 1


def test_a_run_that_fails_is_no_verdict(root, monkeypatch):
    """The reason is given, nothing is stored, and the record stays."""

    def failing(parts, folder, *_, **__):
        for part in parts:
            run_group(part, folder, device="none")

    monkeypatch.setattr("nfbench.experiments.recheck.execute", failing)
    (checked,) = recheck(draw(outcomes(root), 1, seed=0), root)
    assert checked.verdict is None
    assert checked.detail.startswith("failed: ")
    assert rechecks.rechecks(root) == {}
    assert len(stored(root)) == CELLS


def test_the_sample_is_random_and_repeatable(made):
    """One seed gives one order; every finished cell can be picked, and none twice."""
    every = outcomes(made)
    first, again = (draw(every, 2, seed=4).picks for _ in range(2))
    assert [pick.cell.id for pick in first] == [pick.cell.id for pick in again]
    assert {draw(every, 1, seed=seed).picks[0].cell.seed for seed in range(30)} == set(range(CELLS))
    assert len({pick.cell.id for pick in draw(every, 99, seed=0).picks}) == CELLS


def test_minutes_pass_over_what_takes_longer(made):
    """Cost is that of the whole block, and a block counts once."""
    (one, *_) = outcomes(made).by_id.values()
    training = TRAINING.model_copy(update={"together": 4})
    block = [altered(one, training=training, seed=seed)._replace(seconds=10.0, training_seconds=9.0) for seed in (0, 1)]
    alone = altered(one, seed=9)._replace(seconds=50.0, training_seconds=40.0)
    for seed in range(4):
        sample = draw(folder(*block, alone), 3, seed=seed, minutes=0.7)  # of 42 seconds
        assert {pick.cell.seed for pick in sample.picks} == {0, 1}
        assert sample.seconds == pytest.approx(3 * 9.0 + 10.0)
        assert sample.too_long == 1
    assert draw(folder(*block, alone), 3, seed=0).seconds == pytest.approx(87.0)


def test_of_old_records_all_that_trained_along_is_run(made):
    """A training without blocks of seeds had all its seeds in one program: they are run together."""
    training = TRAINING.model_copy(update={"together": None})
    old = [altered(one, training=training) for one in outcomes(made).by_id.values()]
    (pick,) = draw(folder(*old), 1, seed=0).picks
    assert pick.group.seeds == tuple(range(CELLS))


@pytest.mark.parametrize(
    ("provenance", "changes", "words"),
    [
        ({"device": "NVIDIA H900"}, {}, "it was run on NVIDIA H900"),
        ({}, {"posterior": "no-such-plug-in:K=2"}, "no-such-plug-in"),
        ({}, {"target": "no-such-target"}, "no-such-target"),
        ({}, {"target": "file:model.py"}, "which is not run unasked"),
        ({}, {"library": "zuko 0.0"}, "it needs zuko 0.0"),
        ({}, {"sources": {"posterior": "0" * 64}}, "the code of its plug-in is another one"),
        ({}, {"data": "digits 0"}, "its data are digits 0, and here are None"),
    ],
)
def test_what_cannot_be_run_here_is_named_and_another_cell_picked(made, monkeypatch, provenance, changes, words):
    """The device, a plug-in, its code, its library and the data: each reason in words."""
    monkeypatch.setattr("nfbench.experiments.recheck_sample.devices", lambda: ["cpu"])
    here, other, *_ = outcomes(made).by_id.values()
    for seed in range(4):
        sample = draw(folder(here, altered(other, provenance, **changes)), 2, seed=seed)
        assert [pick.cell.id for pick in sample.picks] == [here.cell.id]
        ((_, reason),) = sample.absent
        assert words in reason


def test_data_that_are_not_here_are_named(made):
    """Missing files are a reason, in the words that say how to get them."""
    spec = "dlgm:data=binarized-mnist:static,dim=2,hidden=4"
    one = altered(next(iter(outcomes(made).by_id.values())), target=spec)
    ((_, reason),) = draw(folder(one), 1, seed=0).absent
    assert "binarized-mnist" in reason


def test_the_way_of_running_is_that_of_the_record(made):
    """Device and acceleration are taken from its provenance, unless another device is asked for."""
    one = next(iter(outcomes(made).by_id.values()))
    (pick,) = draw(folder(altered(one, {"compile": True})), 1, seed=0).picks
    assert (pick.device, pick.acceleration) == ("cpu", Acceleration(compile=True))
    on_gpu = altered(one, {"device": "NVIDIA H900", "cuda_graph": True})
    (pick,) = draw(folder(on_gpu), 1, seed=0, device="cpu").picks
    assert (pick.device, pick.acceleration) == ("cpu", Acceleration())


def test_unfinished_cells_are_not_picked(made):
    """A folder of failures has nothing to check, and neither have minutes that are none."""
    failed = [one._replace(status="failed") for one in outcomes(made).by_id.values()]
    with pytest.raises(InputError, match="no record is of a finished cell"):
        draw(folder(*failed), 1, seed=0)
    with pytest.raises(InputError, match="minutes=0: expected a positive number"):
        draw(outcomes(made), 1, seed=0, minutes=0)


def test_a_recheck_that_was_edited_or_renamed_is_named(root):
    """Neither counts as a recheck."""
    recheck(draw(outcomes(root), 1, seed=0), root, jobs=1)
    (file,) = (root / "rechecks").iterdir()
    renamed = file.with_name(f"0123456789abcdef{rechecks.SUFFIX}")
    renamed.write_bytes(file.read_bytes())
    file.write_text(file.read_text().replace('"equal"', '"differs"'))
    with pytest.warns(UserWarning, match="skipped") as caught:
        assert rechecks.rechecks(root) == {}
    texts = [str(each.message) for each in caught]
    assert any("was changed after it was stored" in text for text in texts)
    assert any("is not the recheck that its name says" in text for text in texts)


def test_facts_do_not_matter(made):
    """A label that a later version writes otherwise makes no difference between equal numbers."""
    record = next(iter(stored(made).values()))
    facts = Facts(**record.facts.model_dump() | {"label": "another"})
    assert Outcome.of(record).equals(Outcome.of(Record(**dict(record) | {"facts": facts})))


def test_limits_end_a_training_that_takes_too_long(root, monkeypatch):
    """A record that asks for more than it says: the limits are those of the runs, which have failed records then."""
    given = []

    def limited(parts, folder, device, jobs, *, acceleration, limits):
        given.append(limits)
        for part in parts:
            lose_group(part, folder, device, Lost("ended after 1 s", None, 1.0))

    monkeypatch.setattr("nfbench.experiments.recheck.execute", limited)
    (checked,) = recheck(draw(outcomes(root), 1, seed=0), root, limits=Limits(seconds=1.0))
    assert (checked.verdict, checked.detail) == (None, "failed: ended after 1 s")
    assert given == [Limits(seconds=1.0)]


def test_rounding_is_no_difference_whatever_the_errors():
    """Values that differ in float32's last place are the same, also where their errors are smaller still."""
    for error in (None, 1e-7):
        assert _p_value(Metric(value=24.995, se=error), Metric(value=24.995005, se=error)) == 1.0
    assert _p_value(Metric(value=24.9, se=0.01), Metric(value=25.0, se=0.01)) < 1e-6
