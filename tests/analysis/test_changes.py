"""What changed between two folders of results: noise is told from changes, and nothing is passed over in silence."""

import numpy as np
import pytest
from support.recorded import make

from nfbench.analysis.changes import BEYOND, as_data, compare
from nfbench.analysis.matching import fields
from nfbench.records.cells import Metric, Record
from nfbench.records.outcomes import Outcome, Outcomes, outcomes
from nfbench.records.store import path, write

SEEDS = range(5)


def record(seed, **metrics):
    """A record with values of metrics, each with its error."""
    return make(seed, metrics={name: Metric(value=value, se=se) for name, (value, se) in metrics.items()})


def folder(records):
    """The outcomes of records, as those of a folder."""
    return Outcomes({each.id: Outcome.of(each) for each in records}, [], set())


def moved(record, **changes):
    """The record of a cell with another configuration."""
    cell = record.cell.model_copy(update=changes)
    return Record(**dict(record) | {"cell": cell, "id": cell.id})


def compared(differences, errors=0.001):
    """The comparison of one configuration whose free energy differs by so much in each seed."""
    spread = np.linspace(0.0, 0.3, len(differences))
    left = [record(seed, free_energy=(spread[seed], errors)) for seed in range(len(differences))]
    right = [record(seed, free_energy=(spread[seed] + each, errors)) for seed, each in enumerate(differences)]
    return compare(folder(left), folder(right))


@pytest.mark.parametrize(
    ("differences", "errors", "verdict"),
    [
        ([0.1, 0.11, 0.09, 0.1, 0.12], 0.001, "worse"),
        ([-0.1, -0.11, -0.09, -0.1, -0.12], 0.001, "better"),
        ([0.1, -0.11, 0.09, -0.1, 0.02], 0.001, "within noise"),
        ([0.1, 0.11, 0.09, 0.1, 0.12], 1.0, "within noise"),
        ([1e-9] * 5, 1e-13, "within noise"),
        ([0.0, 0.0, 0.0, 0.0, 1e-4], 0.001, "within noise"),
        ([0.1], 0.001, "undecided"),
        ([0.1], 0.1, "within noise"),
        ([0.1, 0.3], 0.001, "undecided"),
    ],
)
def test_the_verdict(differences, errors, verdict):
    """Beyond noise where the paired test finds it; noise below the Monte-Carlo error, the spread and rounding."""
    comparison = compared(differences, errors)
    assert [change.verdict for change in comparison.changes] == [verdict]
    assert comparison.has_changed == (verdict in BEYOND)
    assert comparison.changes[0].difference.mean == pytest.approx(np.mean(differences))


def test_equal_numbers_are_no_change():
    """Whenever, where and by which version they were made; what differs in that is told."""
    left = [make(seed) for seed in SEEDS]
    libraries = {"libraries": {"torch": "2.14.0"}, "nfbench": "0.1.0"}
    right = [make(seed, seconds=7.0, provenance=libraries) for seed in SEEDS]
    comparison = compare(folder(left), folder(right))
    assert (comparison.equal, comparison.unequal, comparison.changes, comparison.has_changed) == (5, 0, [], False)
    assert comparison.provenance == ["torch: 2.13.0 -> 2.14.0"]


def test_other_curves_or_arrays_are_unequal():
    """A cell whose metrics are equal but not its curves, or not its arrays, is not equal bit by bit."""
    left = folder([make(0, arrays={"image": "1"}), make(1, arrays={"image": "1"}), make(2)])
    curves = {"step": [10.0, 20.0], "free_energy": [0.5, 0.25]}
    right = folder([make(0, arrays={"image": "2"}), make(1, curves=curves), make(2, arrays={"image": "1"})])
    comparison = compare(left, right)
    assert (comparison.equal, comparison.unequal, comparison.changes) == (1, 2, [])


def test_a_cell_that_ends_otherwise_is_a_change():
    """Done before and diverged after, or the reverse."""
    lost = {"metrics": {}, "curves": {}}
    left = folder([make(0), make(1, "diverged", **lost), make(2)])
    right = folder([make(0, "diverged", **lost), make(1), make(2)])
    comparison = compare(left, right)
    assert comparison.has_changed
    assert [line.split(": ")[1].split(" (")[0] for line in comparison.ended] == ["done -> diverged", "diverged -> done"]


def test_a_metric_that_one_side_lacks_is_told():
    """It is no change of a number, and is not passed over."""
    left = folder([record(seed, kl=(0.1, 0.01)) for seed in SEEDS])
    right = folder([record(seed, kl=(0.1, 0.01), ess=(5.0, 0.1)) for seed in SEEDS])
    comparison = compare(left, right)
    assert (comparison.unequal, comparison.changes, comparison.has_changed) == (5, [], False)
    assert comparison.lacking == ["ess: only after, in 5 cells"]
    assert compare(right, left).lacking == ["ess: only before, in 5 cells"]


def test_another_configuration_is_compared_and_named():
    """By target, posterior and seed, with the fields that differ; a cell with two partners has none."""
    left = [record(seed, free_energy=(0.1 * seed, 0.001)) for seed in SEEDS]
    training = left[0].cell.training.model_copy(update={"updates": 200})
    right = [
        moved(record(seed, free_energy=(0.1 * seed + 1, 0.001)), training=training, library="zuko 1") for seed in SEEDS
    ]
    comparison = compare(folder(left), folder(right))
    assert (comparison.moved, comparison.equal, comparison.unequal) == (5, 0, 0)
    (change,) = comparison.changes
    assert change.fields == ("training.updates: 100 -> 200", "library: none -> zuko 1")
    assert change.verdict == "worse"
    other = [moved(each, profile="paper") for each in right]
    assert compare(folder(left), folder([*right, *other])).moved == 5  # the profile decides
    renamed = [moved(each, profile="full") for each in left]
    ambiguous = compare(folder(renamed), folder([*right, *other]))
    assert (ambiguous.moved, len(ambiguous.only_left), len(ambiguous.only_right)) == (0, 5, 10)


def test_variations_are_not_compared_with_each_other():
    """Equal target, posterior and seed are not enough; the grid and a variation of it each have their own partner."""
    grid = [record(seed, free_energy=(0.1 * seed, 0.001)) for seed in SEEDS]
    varied = [moved(record(seed, free_energy=(9.0, 0.001)), variation="wide") for seed in SEEDS]
    later = [moved(each, profile="full") for each in (*grid, *varied)]
    comparison = compare(folder([*grid, *varied]), folder(later))
    assert (comparison.moved, comparison.changes) == (10, [])
    apart = compare(folder(grid), folder(later[5:]))
    assert (apart.moved, len(apart.only_left), len(apart.only_right)) == (0, 5, 5)


def test_what_is_on_one_side_only_is_listed():
    """It is no change, and neither is a larger folder."""
    comparison = compare(folder([make(0), make(1)]), folder([make(1), make(2)]))
    assert [cell.seed for cell in comparison.only_left] == [0]
    assert [cell.seed for cell in comparison.only_right] == [2]
    assert not comparison.has_changed


def test_holm_counts_all_changes_of_the_table():
    """One clear difference among many that are none keeps its verdict by a p-value adjusted for their number."""
    rng = np.random.default_rng(0)
    names = [f"metric{number}" for number in range(20)]
    left, right = [], []
    for seed in SEEDS:
        values = {name: (value, 0.0) for name, value in zip(names, rng.normal(size=20), strict=True)}
        others = {name: (value + rng.normal(), 0.0) for name, (value, _) in values.items()}
        left.append(record(seed, kl=(0.1, 0.001), **values))
        right.append(record(seed, kl=(0.2 + 0.001 * seed, 0.001), **others))
    changes = compare(folder(left), folder(right)).changes
    assert len(changes) == 21
    assert [change.metric for change in changes if change.verdict in BEYOND] == ["kl"]
    assert changes[0].p_holm == pytest.approx(21 * changes[0].p)


def test_noise_is_rarely_called_a_change():
    """Of 400 comparisons of equal distributions at most 5 % find any change, within three standard errors."""
    rng = np.random.default_rng(1)
    found = 0
    for _ in range(400):
        sides = [[record(seed, kl=(rng.normal(), 0.1), nll=(rng.normal(), 0.1)) for seed in SEEDS] for _ in range(2)]
        found += compare(folder(sides[0]), folder(sides[1])).has_changed
    assert found / 400 <= 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5


def test_damaged_records_are_named_and_not_taken_for_missing_ones(tmp_path):
    """A torn and an edited one: each in one line, and their cells are in no list."""
    for side in ("a", "b"):
        for seed in SEEDS:
            write(tmp_path / side, make(seed))
    torn, edited = (path(tmp_path / "b", "figure3", make(seed).id) for seed in (0, 1))
    torn.write_text("{")
    edited.write_text(edited.read_text().replace("-1.85", "-2.85"))
    comparison = compare(outcomes(tmp_path / "a"), outcomes(tmp_path / "b"))
    assert (comparison.equal, comparison.only_left, comparison.only_right) == (3, [], [])
    assert {
        word
        for word in ("is not a record", "was changed after it was stored")
        for line in comparison.faults
        if word in line
    } == {
        "is not a record",
        "was changed after it was stored",
    }
    assert comparison.has_changed


def test_fields_of_nested_configuration_have_dots():
    """A long value shows its beginning and its end."""
    left, right = make(0).cell, make(0).cell.model_copy(update={"data": "digits " + "0" * 64 + "f"})
    assert fields(left, left) == ()
    (text,) = fields(left, right)
    assert text.startswith("data: none -> digits 0")
    assert text.endswith("0f")
    assert "..." in text


def test_as_data_has_no_number_that_json_lacks():
    """A single seed has no p-value: null, not NaN."""
    data = as_data(compared([0.1]))
    assert data["changes"][0]["p"] is None
    assert data["changes"][0]["verdict"] == "undecided"
