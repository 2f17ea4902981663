"""Pictures of models of images: each is there exactly when its data are, and draws the numbers it is given."""

from dataclasses import replace

import numpy as np
import pytest
from support.pictures import SMALL, heights
from support.recorded import with_arrays
from support.synthetic import Plan, digits
from support.synthetic_images import TABLE2, TABLE3, of_images

from nfbench.analysis.blocks import Block
from nfbench.analysis.data_points import DataPoints, read_data_points
from nfbench.present.plots import data_points, depth, importance_curve, model_samples, training
from nfbench.present.plots.catalogue import saved
from nfbench.present.plots.looks import looks
from nfbench.present.plots.model_samples import tiled
from nfbench.present.plots.style import DPI
from nfbench.present.report.build import report
from nfbench.present.results import results as read
from nfbench.present.tables.latex import escape
from nfbench.records import store

ALL = {"depth", "training", "draws", "spread", "samples", "reconstructions"}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    of_images(Plan(root, seeds=3), SMALL)
    of_images(Plan(root, seeds=1), TABLE3)
    return root


@pytest.fixture(scope="module")
def results(root):
    return read(root)


@pytest.fixture(scope="module")
def frame(results):
    return results.frame


@pytest.fixture(scope="module")
def table2(frame):
    return frame[frame["experiment"] == "table2"]


@pytest.fixture(scope="module")
def table3(frame):
    return frame[frame["experiment"] == "table3"]


@pytest.fixture(scope="module")
def stored(results, table2):
    return read_data_points(results, table2)


@pytest.fixture
def names(monkeypatch, tmp_path):
    """The names of all pictures of an experiment, drawn but not written."""
    monkeypatch.setattr("nfbench.present.plots.catalogue.save", lambda *_: [])

    def drawn(root, experiment):
        found = saved(read(root), experiment, tmp_path / "out")
        return {picture.name.removeprefix(f"{experiment}-") for _, picture, _ in found}

    return drawn


def rewrite(root, change):
    """Change the arrays of every record: a function from a dictionary of arrays to another."""
    for file in root.rglob("*.npz"):
        with_arrays(file.with_suffix(".json"), change)


def lines(axis, label):
    return [line for line in axis.lines if line.get_label() == label]


@pytest.mark.parametrize(
    ("lacking", "gone"),
    [
        ((), set()),
        (("curve_",), {"draws"}),
        (("example_khat",), set()),
        (("example_",), {"spread"}),
        (("samples",), {"samples"}),
        (("originals", "reconstructions"), {"reconstructions"}),
        (("picture_", "samples", "originals", "reconstructions"), {"samples", "reconstructions"}),
        (("",), {"draws", "spread", "samples", "reconstructions"}),
    ],
)
def test_a_picture_is_there_exactly_when_its_data_are(names, tmp_path, lacking, gone):
    """Without the arrays of a picture it is not drawn, in silence, and all others are."""
    two = replace(SMALL, values={key: value for key, value in SMALL.values.items() if key[0] == "planar"})
    of_images(Plan(tmp_path, seeds=1), two)
    rewrite(
        tmp_path, lambda found: {key: value for key, value in found.items() if not key.startswith(lacking or ("-",))}
    )
    assert names(tmp_path, "table2") == ALL - gone


def test_records_without_arrays_keep_their_two_pictures(names, tmp_path):
    """Where nothing is kept of data points, as of these digits, there are bounds and training curves, no more."""
    digits(Plan(tmp_path, seeds=2))
    assert names(tmp_path, "digits") == {"depth", "training"}


def test_captions_say_how_the_records_were_made(results, tmp_path, monkeypatch):
    """Profile, updates, seeds and the data's protocol stand under every picture."""
    monkeypatch.setattr("nfbench.present.plots.catalogue.save", lambda *_: [])
    for _, picture, _ in saved(results, "table2", tmp_path):
        for part in ("profile quick", "4,000 updates", "3 seeds of each posterior", "binarized-mnist:static,50000"):
            assert part in picture.caption, picture.name


def test_draws_have_a_panel_a_family_and_the_mean_over_seeds(table2, frame, stored):
    """Each panel has its family's four depths, with three thin seeds each, and the Gaussian; all on one scale."""
    picture = next(importance_curve.pictures(Block.of(table2), stored, looks(frame["family"])))
    axes = picture.figure.axes
    assert [axis.get_title() for axis in axes] == ["Planar flow", "NICE (permutation)"]
    for axis in axes:
        assert [line.get_label() for line in axis.lines if not line.get_label().startswith("_")] == [
            "Diagonal Gaussian", "K = 10", "K = 20", "K = 40", "K = 80",
        ]  # fmt: skip
        assert len(lines(axis, "_seed")) == 3 * 5
        assert axis.get_xscale() == "log"
        assert axis.get_ylim() == axes[0].get_ylim()
    seeds = [stored[name].curve for name in table2[table2["posterior"] == "planar:K=40"]["id"]]
    line = lines(axes[0], "K = 40")[0]
    assert line.get_xdata().tolist() == seeds[0].draws.tolist()
    assert line.get_ydata() == pytest.approx(np.mean([seed.nll for seed in seeds], axis=0))
    assert len({line.get_color() for line in axes[0].lines}) == 5
    assert "over 50 test points" in picture.caption
    assert "at most 0.4 nats" in picture.caption


def test_one_seed_is_drawn_without_interval_or_thin_lines(results, table3, frame):
    """A single seed has no spread over seeds: no bars, no second line."""
    found = read_data_points(results, table3)
    bars = next(depth.pictures(Block.of(table3), looks(frame["family"]), [])).figure.axes[0]
    assert {height for box in bars.containers for height in heights(box)} == {0.0}
    assert not bars.patches
    picture = next(importance_curve.pictures(Block.of(table3), found, looks(frame["family"])))
    assert not lines(picture.figure.axes[0], "_seed")
    assert "Thick" not in picture.caption
    assert {picture.name for picture in model_samples.pictures(Block.of(table3), found)} == {
        "samples",
        "reconstructions",
    }


def test_a_family_without_depth_alone(names, tmp_path):
    """The Gaussian by itself has no picture against K: its bounds are marks, and the rest is drawn."""
    of_images(Plan(tmp_path, seeds=2), replace(SMALL, values={("gaussian", None): (97.6, 90.6)}))
    assert names(tmp_path, "table2") == ALL - {"depth"} | {"likelihood"}
    frame = read(tmp_path).frame
    axis = next(
        importance_curve.pictures(Block.of(frame), read_data_points(read(tmp_path), frame), looks(frame["family"]))
    ).figure.axes[0]
    assert [line.get_label() for line in axis.lines if line.get_label() != "_seed"] == ["Diagonal Gaussian"]


def test_spread_draws_the_quantiles(table2, frame, stored):
    """The lines, bars and marks of a row are at the quantiles of all points of all seeds; dashed at 0.5 and 0.7."""
    picture = next(data_points.pictures(Block.of(table2), stored, looks(frame["family"])))
    khat, gap = picture.figure.axes
    assert [line.get_xdata()[0] for line in khat.lines if line.get_linestyle() == "--"] == [0.5, 0.7]
    assert [text.get_text() for text in khat.get_yticklabels()][:2] == ["Diagonal Gaussian", "Planar flow, K=10"]
    for axis, name in ((khat, "khat"), (gap, "gap")):
        cells = table2[table2["posterior"] == "planar:K=10"]["id"]
        values = np.sort(np.concatenate([getattr(stored[cell], name) for cell in cells]))
        low, lower, middle, upper, high = (
            values[int(np.ceil(part * len(values))) - 1] for part in (0.05, 0.25, 0.5, 0.75, 0.95)
        )
        drawn = [list(line.get_xdata()) for line in axis.lines if list(line.get_ydata()) in ([1, 1], [1])]
        assert drawn == [[low, high], [lower, upper], [middle]]


def test_an_infinite_khat_reaches_the_edge(table2, frame, stored):
    """Where the tail is beyond measure the line runs out of the panel, whose scale stays that of the finite ones."""
    endless = dict.fromkeys(table2[table2["posterior"] == "planar:K=10"]["id"], DataPoints(khat=np.full(5, np.inf)))
    axis = next(data_points.pictures(Block.of(table2), stored | endless, looks(frame["family"]))).figure.axes[0]
    line = next(line for line in axis.lines if list(line.get_ydata()) == [1, 1])
    assert np.isfinite(line.get_xdata()).all()
    assert min(line.get_xdata()) > axis.get_xlim()[1]
    assert axis.get_xlim()[1] < 2


def test_samples_show_the_shallowest_and_deepest_of_each_family(root, table2, stored):
    """Five grids, named, whose pixels are the stored bytes of the median seed, at whole dots."""
    picture = next(model_samples.pictures(Block.of(table2), stored))
    assert picture.name == "samples"
    axes = picture.figure.axes
    assert [axis.get_title().partition(":")[0] for axis in axes] == [
        "Diagonal Gaussian", "Planar flow, K=10", "Planar flow, K=80", "NICE (permutation), K=10",
        "NICE (permutation), K=80",
    ]  # fmt: skip
    row = table2[table2["posterior"] == "planar:K=80"].sort_values("nll").iloc[1]
    assert axes[2].get_title() == f"Planar flow, K=80: -ln p(x) {row['nll']:.2f}"
    bytes_ = store.arrays(root, "table2", row["id"])["samples"].reshape(-1, 28, 28)
    sheet = axes[2].images[0].get_array()
    assert sheet.shape == (6 * 29 - 1, 6 * 29 - 1)
    assert (sheet[29:57, 58:86] == bytes_[6 + 2]).all()
    size = axes[2].get_position().size * picture.figure.get_size_inches() * DPI
    assert size == pytest.approx(2 * np.array(sheet.shape[::-1]))
    assert axes[2].images[0].get_clim() == (0, 255)


def test_reconstructions_stand_under_the_originals(root, table2, stored):
    """The first row is the test data, once, and the others are each posterior's reconstructions of it."""
    *_, picture = model_samples.pictures(Block.of(table2), stored)
    axes = picture.figure.axes
    assert [axis.get_ylabel() for axis in axes][:3] == ["test data", "Diagonal Gaussian", "Planar flow, K=10"]
    assert len(axes) == 1 + 5
    tops = [axis.get_position().y1 for axis in axes]
    assert tops == sorted(tops, reverse=True)
    row = table2[table2["posterior"] == "gaussian"].sort_values("nll").iloc[1]
    arrays = store.arrays(root, "table2", row["id"])
    for axis, name in zip(axes, ("originals", "reconstructions"), strict=False):
        sheet = axis.images[0].get_array()
        assert (sheet[:, 29:57] == arrays[name][1].reshape(28, 28)).all()


def test_other_originals_are_drawn_again(tmp_path):
    """Where a record reconstructs other points, they stand above its row."""
    of_images(Plan(tmp_path, seeds=1), SMALL)
    frame = read(tmp_path).frame
    last = frame[frame["posterior"] == "nice:K=80,mixing=permutation"]["id"].iloc[0]
    turned = lambda arrays: arrays | {"originals": arrays["originals"][::-1]}  # noqa: E731
    with_arrays(store.path(tmp_path, "table2", last), turned)
    *_, picture = model_samples.pictures(Block.of(frame), read_data_points(read(tmp_path), frame))
    assert [axis.get_ylabel() for axis in picture.figure.axes].count("test data") == 2


def test_colour_pictures_are_drawn_in_colour(results, table3):
    """Three channels make a picture of three colours."""
    picture = next(model_samples.pictures(Block.of(table3), read_data_points(results, table3)))
    assert picture.figure.axes[0].images[0].get_array().shape == (6 * 9 - 1, 6 * 9 - 1, 3)


def test_tiles_have_white_lines_between_them():
    """Three one-pixel images in rows of two: the lines and the empty place are white."""
    sheet = tiled(np.array([1, 2, 3], np.uint8).reshape(3, 1, 1, 1), 2)[..., 0]
    assert sheet.tolist() == [[1, 255, 2], [255, 255, 255], [3, 255, 255]]


def test_a_torn_file_is_named_and_the_rest_drawn(names, tmp_path):
    """Of a record whose arrays are torn one warning says so; every picture is drawn from the others."""
    of_images(Plan(tmp_path, seeds=1), SMALL)
    frame = read(tmp_path).frame
    lost = frame[frame["posterior"] == "planar:K=10"]["id"].iloc[0]
    file = store.path(tmp_path, "table2", lost).with_suffix(".npz")
    file.write_bytes(file.read_bytes()[:200])
    with pytest.warns(UserWarning, match=f"{lost}.*is left out") as caught:
        assert names(tmp_path, "table2") == ALL
    assert len(caught) == 1
    with pytest.warns(UserWarning, match=lost):
        picture = next(model_samples.pictures(Block.of(frame), read_data_points(read(tmp_path), frame)))
    assert "Planar flow, K=20" in picture.figure.axes[1].get_title()


def test_training_shades_the_annealing_and_scales_to_what_follows(results, table2, frame):
    """The updates with beta < 1 are shaded; the axis holds the end of every line and cuts the hump at the start."""
    axis = next(training.pictures(results, Block.of(table2), looks(frame["family"]))).figure.axes[0]
    shade = axis.patches[0]
    assert shade.get_x() == 0
    assert shade.get_x() + shade.get_width() == 1560  # the last point of the curve with 0.01 + t / 1600 < 1
    low, high = axis.get_ylim()
    shown = [line for line in axis.lines if not line.get_label().startswith("_")]
    assert len(shown) == 3
    assert all(low < line.get_ydata()[-1] < high for line in shown)
    assert high < min(line.get_ydata().max() for line in shown)


def test_the_report_has_every_picture(tmp_path):
    """The page that opens offline holds each picture of Table 2 and its caption."""
    of_images(Plan(tmp_path / "results", seeds=1), replace(TABLE2, values=TABLE3.values))
    page = report(read(tmp_path / "results"), tmp_path / "report").read_text()
    chapter = page.split('<section id="table2">')[1].split("</section>")[0]
    assert chapter.count("<img") == len(ALL)
    assert chapter.count("data:image/webp;base64,") == len(ALL)
    for part in (
        "samples of the model",
        "test points, and below them",
        "Importance-sampled -ln p(x) against",
    ):
        assert part in chapter
    latex = (tmp_path / "report" / "report.tex").read_text()
    assert all(f"table2-{name}-own-quick.png" in latex for name in ALL)


def test_formulae_of_captions_survive_latex():
    """Bars and comparison signs are no letters of LaTeX's oldest fonts: they are spelled out."""
    assert escape("KL(q||p(z|x)), beta < 1") == (r"KL(q\textbar{}\textbar{}p(z\textbar{}x)), beta $<$ 1")
