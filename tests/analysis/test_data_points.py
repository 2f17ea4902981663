"""What is kept of single data points: read as stored, reduced as by hand, and damage named, never guessed."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from support.recorded import with_arrays
from support.synthetic import Plan
from support.synthetic_images import TABLE2, of_images

from nfbench.analysis.blocks import median_seeds
from nfbench.analysis.data_points import QUANTILES, Curve, DataPoints, curves, mean_curve, read_data_points, spreads
from nfbench.present.results import results as read
from nfbench.records import store

FEW = replace(TABLE2, values={key: value for key, value in TABLE2.values.items() if key[1] in (None, 10)})


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    of_images(Plan(root, seeds=3), FEW)
    of_images(Plan(root / "reference", seeds=1, profile="standard"), FEW)
    return root


def stored(root, row):
    base = root / "reference" if row["source"] == "reference" else root
    return store.arrays(base, row["experiment"], row["id"])


def test_every_record_is_kept_as_stored(root):
    """The curve, k-hat and F - nll are the stored numbers, for own and for reference records."""
    frame = read(root).frame
    found = read_data_points(read(root), frame)
    assert set(found) == set(frame["id"])
    for _, row in frame.iterrows():
        arrays, one = stored(root, row), found[row["id"]]
        assert one.curve.draws.tolist() == arrays["curve_draws"].tolist()
        assert one.curve.nll == pytest.approx(arrays["curve_nll"], abs=0)
        assert one.curve.se == pytest.approx(arrays["curve_nll_se"], abs=0)
        assert one.curve.points == len(arrays["example_khat"])
        assert one.khat == pytest.approx(arrays["example_khat"], abs=0)
        gap = arrays["example_free_energy"].astype(float) - arrays["example_nll"].astype(float)
        assert one.gap == pytest.approx(gap, abs=0)


def test_pictures_are_kept_of_the_median_seed_only(root):
    """Of three seeds the one with the median -ln p(x) keeps its pictures, as height, width and colours of its bytes."""
    frame = read(root).frame
    found = read_data_points(read(root), frame)
    median = median_seeds(frame)
    assert {name for name, one in found.items() if one.images} == set(median["id"])
    row = median.iloc[0]
    samples = found[row["id"]].images.samples
    assert samples.shape == (36, 28, 28, 1)
    assert samples.ravel().tolist() == stored(root, row)["samples"].ravel().tolist()


def test_colours_are_the_last_axis(tmp_path):
    """Stored channel by channel, a pixel's three colours come out beside each other."""
    of_images(Plan(tmp_path, seeds=1), replace(FEW, shape=(3, 4, 5)))
    frame = read(tmp_path).frame
    row = frame.iloc[0]
    images = read_data_points(read(tmp_path), frame)[row["id"]].images
    flat = stored(tmp_path, row)["originals"][0]
    assert images.originals.shape == (16, 4, 5, 3)
    assert images.originals[0, 2, 3].tolist() == [flat[20 * colour + 2 * 5 + 3] for colour in range(3)]


DAMAGE = {
    "curve without S": ({"curve_draws": None}, "curve"),
    "curve without errors": ({"curve_nll_se": None}, "curve"),
    "curve of another length": ({"curve_draws": np.arange(1, 4)}, "curve"),
    "curve that goes back": ({"curve_draws": np.arange(12, 0, -1)}, "curve"),
    "curve that is no number": ({"curve_nll": np.full(12, np.nan)}, "curve"),
    "curve of endless S": ({"curve_draws": np.array([*range(1, 12), np.inf])}, "curve"),
    "curve without an error": ({"curve_nll_se": np.full(12, np.nan)}, "curve"),
    "curve with a negative error": ({"curve_nll_se": np.full(12, -1.0)}, "curve"),
    "pictures without end": ({"picture_shape": np.array([1, 28, np.inf])}, "images"),
    "pictures of nothing": ({"picture_shape": np.array([1, 28, np.nan])}, "images"),
    "large pictures": ({"picture_shape": np.array([1, 10**9, 10**9])}, "images"),
    "k-hat of two axes": ({"example_khat": np.zeros((2, 2))}, "khat"),
    "k-hat as text": ({"example_khat": np.array(["a"])}, "khat"),
    "bounds of another length": ({"example_nll": np.zeros(1)}, "gap"),
    "shape of two axes": ({"picture_shape": np.array([28, 28])}, "images"),
    "two colours": ({"picture_shape": np.array([2, 14, 28])}, "images"),
    "other pixels": ({"samples": np.zeros((4, 7), np.uint8)}, "images"),
    "fractions": ({"samples": np.zeros((4, 784))}, "images"),
    "fewer reconstructions": ({"reconstructions": np.zeros((1, 784), np.uint8)}, "images"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_part_is_named_and_left_out(tmp_path, damage):
    """One warning names the part and the record; the other parts stay."""
    of_images(Plan(tmp_path, seeds=1), replace(FEW, values=dict(list(FEW.values.items())[:1])))
    frame = read(tmp_path).frame
    row = frame.iloc[0]
    change, part = DAMAGE[damage]
    arrays = {name: value for name, value in (stored(tmp_path, row) | change).items() if value is not None}
    with_arrays(store.path(tmp_path, "table2", row["id"]), lambda _: arrays)
    with pytest.warns(UserWarning, match=rf"the {part} of record {row['id']} is left out") as caught:
        one = read_data_points(read(tmp_path), frame)[row["id"]]
    others = {"curve", "khat", "gap", "images"} - {part}
    if change.keys() == {"example_khat"}:  # a curve whose number of points cannot be told is still a curve
        assert one.curve.draws.tolist() == arrays["curve_draws"].tolist()
    assert len(caught) == 1
    assert getattr(one, part) is None
    assert all(getattr(one, name) is not None for name in others)


def test_a_torn_file_is_one_warning(tmp_path):
    """What cannot be opened is named once; the record is as one without arrays."""
    of_images(Plan(tmp_path, seeds=1), FEW)
    frame = read(tmp_path).frame
    lost = frame["id"].iloc[0]
    file = store.path(tmp_path, "table2", lost).with_suffix(".npz")
    file.write_bytes(file.read_bytes()[:500])
    with pytest.warns(UserWarning, match=f"{lost}.*is left out") as caught:
        found = read_data_points(read(tmp_path), frame)
    assert len(caught) == 1
    assert set(found) == set(frame["id"]) - {lost}


def test_records_without_arrays_are_silent(tmp_path):
    """A record that keeps nothing of single points is no damage, and is not there."""
    of_images(Plan(tmp_path, seeds=1), FEW)
    for file in tmp_path.rglob("*.json"):
        with_arrays(file, lambda _: {})
    assert not list(tmp_path.rglob("*.npz"))
    assert read_data_points(read(tmp_path), read(tmp_path).frame) == {}


def test_mean_curve_is_over_the_draws_that_all_seeds_have():
    """By hand: S = 1 and 5 are shared, and their means are over both seeds."""
    first = Curve(np.array([1, 2, 5]), np.array([10.0, 9.0, 8.0]), np.zeros(3), 4)
    second = Curve(np.array([1, 5, 9]), np.array([12.0, 9.0, 1.0]), np.zeros(3), 4)
    assert mean_curve([first, second]).to_dict("list") == {"draws": [1, 5], "nll": [11.0, 8.5]}


def test_spreads_pool_points_and_seeds():
    """By hand: an infinite k-hat is the largest, one that is not a number is none, both seeds count."""
    values = np.arange(1.0, 100.0)
    rows = pd.DataFrame({"posterior": "planar", "order": 0, "seed": [0, 1], "id": ["a", "b"]})
    seeds = {
        "a": DataPoints(khat=np.append(values[:50], math.nan)),
        "b": DataPoints(khat=np.append(values[50:], math.inf)),
    }
    found = spreads(rows, seeds, "khat")
    assert QUANTILES == (0.05, 0.25, 0.5, 0.75, 0.95)
    assert found["planar"].tolist() == [5.0, 25.0, 50.0, 75.0, 95.0]
    assert spreads(rows, seeds, "gap") == {}
    assert np.isposinf(spreads(rows, {"a": DataPoints(khat=np.full(3, math.inf))}, "khat")["planar"]).all()


def test_curves_follow_the_experiments_order(root):
    """The Gaussian first, each posterior with a curve a seed."""
    frame = read(root).frame.query("source == 'own'")
    found = curves(frame.sample(frac=1, random_state=0), read_data_points(read(root), frame))
    assert list(found)[:2] == ["gaussian", "planar:K=10"]
    assert {len(lines) for lines in found.values()} == {3}
