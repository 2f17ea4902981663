"""Blocks: what their rows have in common, and rows that make none."""

import math

import pytest
from support.compared import REDUCED, compared
from support.synthetic import Plan, figure1, figure3
from support.synthetic_timings import timing

from nfbench.analysis.blocks import CONFIGURATION, Block, blocks, groups, median_seeds, places
from nfbench.analysis.timing_blocks import TimingBlock
from nfbench.analysis.timing_blocks import blocks as timing_blocks
from nfbench.analysis.timings import timed
from nfbench.records.results import StoredResults
from nfbench.records.training_words import words

LOST = {("u1", "planar:K=2", seed) for seed in range(2)}
PLANAR = {"planar": {2: 0.3, 8: 0.03}}


@pytest.fixture
def energies(tmp_path):
    figure3(Plan(tmp_path, seeds=3, diverged=LOST), targets=("u1", "u2"), kls=PLANAR)
    return next(blocks(StoredResults(tmp_path).frame))


def test_a_block_has_the_settings_of_its_records(tmp_path):
    """Source, profile, data, training in words, updates and draws are those that the records were made with."""
    (record, *_) = compared(Plan(tmp_path / "reference", "table2", "standard", seeds=1), training=REDUCED)
    (block,) = blocks(StoredResults(tmp_path).frame)
    assert (block.source, block.experiment, block.profile) == ("reference", "table2", "standard")
    assert (block.recipe, block.data) == (record.cell.recipe, record.cell.data)
    assert (block.training, block.updates) == (words(REDUCED, data=True), 12_000)
    assert (block.importance_draws, block.long_draws, block.long_points) == (200, 5000, 500)
    assert block.title == "table2, profile standard, reference records"
    assert block.ranking() == "nll"


def test_settings_that_records_lack_are_none(tmp_path):
    """Untrained maps on a density: no data, no training, no long estimate; never NaN."""
    figure1(Plan(tmp_path, seeds=1))
    (block,) = blocks(StoredResults(tmp_path).frame)
    assert (block.data, block.training, block.updates, block.long_draws, block.long_points) == (None,) * 5
    assert block.protocol == f"Own records, profile quick, recipe {block.recipe}, 1 seed of each posterior"
    assert block.has("entropy")
    assert not block.has("kl")
    assert not block.has("unknown")


def test_the_protocol_counts_seeds_that_are_done(energies):
    """Of three seeds two diverged in one configuration: one to three; on the other target three of each."""
    assert energies.protocol.endswith("4,000 updates, 1 to 3 seeds of each posterior")
    parts = dict(energies.by_target())
    assert list(parts) == ["u1", "u2:walls=0.25"]
    assert parts["u2:walls=0.25"].protocol.endswith("3 seeds of each posterior")
    assert [len(part.rows) for part in parts.values()] == [6, 6]
    assert parts["u1"].done["seed"].tolist() == [2, 0, 1, 2]
    assert energies.seeds(energies.rows) == "3 seeds"


def test_rows_of_several_blocks_or_none_are_refused(energies):
    """A block of two profiles, or of nothing, would have nothing in common to say."""
    other = energies.rows.assign(profile=[*"ab", *["quick"] * 10])
    for rows in (other, energies.rows.iloc[:0]):
        with pytest.raises(ValueError, match="one block has one source, experiment, profile, recipe, data"):
            Block.of(rows)


def test_a_timing_block_has_the_facts_of_its_records(tmp_path):
    """Mode, machine, device, threads and precision; rows of two machines are refused."""
    timing(tmp_path, case={"threads": 2})
    timing(tmp_path, case={"mode": "step", "target": "u1"}, machine="Other CPU")
    frame = timed(StoredResults(tmp_path))
    layers, step = timing_blocks(frame)
    assert (layers.mode, layers.threads, layers.number_of_threads, layers.is_step) == (
        "backward",
        2,
        "2 threads",
        False,
    )
    assert layers.title == "timing, profile quick, backward, own records"
    assert layers.place == "Test CPU, 2 cores; threads 2, cpu, float32"
    assert (step.machine, step.number_of_threads, step.is_step) == ("Other CPU, 2 cores", "1 thread", True)
    assert step.key == ("own", "quick", "step", "Other CPU, 2 cores", "cpu", "1", "float32")
    with pytest.raises(ValueError, match="one block has one source, profile, mode, machine"):
        TimingBlock.of(frame)


@pytest.mark.parametrize("sort", [False, True])
def test_places_are_those_of_the_rows_of_each_group(tmp_path, sort):
    """The same rows in the same order as `groups` gives, with keys that are missing, and nothing of an empty table."""
    figure3(Plan(tmp_path, seeds=2), targets=("u2", "u1"), kls=PLANAR)
    compared(Plan(tmp_path / "reference", "table2", "standard", seeds=1), training=REDUCED)
    frame = StoredResults(tmp_path).frame.iloc[::-1]
    assert 0 < frame["data"].isna().sum() < len(frame)
    expected = [list(rows["id"]) for _, rows in groups(frame, CONFIGURATION, sort=sort)]
    assert [list(frame["id"].iloc[part]) for part in places(frame, CONFIGURATION, sort=sort)] == expected
    assert list(places(frame.iloc[:0], CONFIGURATION)) == []


def test_a_median_seed_is_in_the_middle_of_those_with_a_value(tmp_path):
    """Of four values the second, of equal ones the lower seed; a seed without a value does not count."""
    figure3(Plan(tmp_path, seeds=5), targets=("u1",), kls={"planar": {8: 0.03}})
    frame = StoredResults(tmp_path).frame.sort_values("seed").assign(kl=[0.3, 0.1, 0.2, 0.2, math.nan])
    assert median_seeds(frame)["seed"].tolist() == [2]
    assert median_seeds(frame.assign(kl=math.nan, free_energy=[5.0, 4.0, 3.0, 2.0, 1.0]))["seed"].tolist() == [2]
    assert median_seeds(frame.assign(status="failed")).empty
