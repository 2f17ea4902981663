"""Pictures: which ones the records ask for, how many panels they have, and that files are written."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from support.recorded import with_arrays
from support.synthetic import Plan, digits, figure1, figure3
from support.synthetic_images import TABLE2, TABLE3, of_images

from nfbench.analysis.blocks import Block
from nfbench.foundation.errors import InputError
from nfbench.present.plots import density, depth, likelihood, pushforward, training
from nfbench.present.plots.catalogue import plot
from nfbench.present.plots.looks import looks
from nfbench.present.plots.style import slug
from nfbench.present.report.build import report
from nfbench.present.results import results as read
from nfbench.published.catalogue import sources
from nfbench.records import store
from nfbench.specification.choices import DRAWINGS

LOST = {("u1", "radial:K=8", seed) for seed in range(3)}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    figure3(Plan(root, seeds=3, diverged=LOST), targets=("u1", "u2"))
    digits(Plan(root, seeds=3))
    figure1(Plan(root, seeds=2))
    return root


@pytest.fixture(scope="module")
def results(root):
    return read(root)


@pytest.fixture(scope="module")
def frame(results):
    return results.frame


def rows_of(frame, experiment):
    return frame[frame["experiment"] == experiment]


def block_of(frame, experiment):
    return Block.of(rows_of(frame, experiment))


def test_every_picture_is_written_in_every_format(results, tmp_path):
    """Each picture is a file of each kind that is asked for, not empty, and pyplot is left without a figure."""
    files = plot(results, "figure3", tmp_path / "figures", DRAWINGS)
    names = {file.stem.removesuffix("-own-quick") for file in files}
    densities = {"figure3-densities-u1", "figure3-densities-u2-walls-0.25"}
    assert names == densities | {
        f"figure3-{name}" for name in ("overview", "depth", "training", "profile", "ranks", "wins")
    }
    assert {file.suffix for file in files} == {".png", ".svg", ".pdf"}
    assert len(files) == 24
    assert all(file.read_bytes().startswith(b"%PDF") for file in files if file.suffix == ".pdf")
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files if file.suffix == ".png")
    assert all("<svg" in file.read_text() for file in files if file.suffix == ".svg")
    assert plt.get_fignums() == []


def test_same_records_same_bytes(results, tmp_path):
    """Drawing twice gives the same files, so that a committed picture changes only with its records."""
    first, second = (plot(results, "digits", tmp_path / name, DRAWINGS) for name in "ab")
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]


def test_density_picture_has_a_panel_for_each_configuration(results, frame):
    """The target and twelve posteriors on one colour scale; the one of which every seed diverged says so instead."""
    picture = next(density.pictures(results, block_of(frame, "figure3")))
    shown = [axis for axis in picture.figure.axes if axis.images]
    assert len(shown) == 1 + 11
    top = shown[0].images[0].get_array().max()
    assert {axis.images[0].get_clim() for axis in shown} == {(0.0, top)}
    assert {axis.get_aspect() for axis in shown} == {1.0}
    assert sum("no seed" in text.get_text() for axis in picture.figure.axes for text in axis.texts) == 1
    assert "median KL" in picture.caption


IMAGE = {"q": np.ones((3, 3)), "q_max": np.array(1.0), "half_width": np.array(4.0)}
DAMAGES = {
    "torn": None,
    "no keys": {"q": np.zeros((3, 3)), "q_max": np.array(1.0)},
    "no image": {"q": np.zeros(3), "q_max": np.array(1.0)},
    "no pixels": IMAGE | {"q": np.zeros((0, 3))},
    "not a number": IMAGE | {"q": np.full((3, 3), np.nan)},
    "endless maximum": IMAGE | {"q_max": np.array(np.inf)},
    "two maxima": IMAGE | {"q_max": np.ones(2)},
    "endless box": IMAGE | {"half_width": np.array(np.inf)},
    "no box": IMAGE | {"half_width": np.array(0.0)},
    "text": IMAGE | {"q": np.array([["a"]])},
    "complex": IMAGE | {"q": np.ones((3, 3), complex)},
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_image_is_named_and_the_rest_drawn(tmp_path, damage):
    """Of a done cell whose arrays are damaged the panel says `no image`, a warning names the file or the record."""
    figure3(Plan(tmp_path, seeds=1), targets=("u1",), kls={"planar": {2: 0.3, 8: 0.03}})
    frame = read(tmp_path).frame
    row = frame[frame["K"] == 8].iloc[0]
    file = store.path(tmp_path, "figure3", row["id"])
    if damage == "torn":
        file.with_suffix(".npz").write_bytes(file.with_suffix(".npz").read_bytes()[:100])
    else:
        with_arrays(file, lambda _: DAMAGES[damage])
    with pytest.warns(UserWarning, match=rf"{row['id']}.*is left out") as caught:
        picture = next(density.pictures(read(tmp_path), Block.of(frame)))
    assert len(caught) == 1
    assert [text.get_text() for axis in picture.figure.axes for text in axis.texts if text.get_text()] == ["no image"]
    assert sum(bool(axis.images) for axis in picture.figure.axes) == 2


def test_density_is_upright_and_to_scale(results, frame):
    """z2 grows upwards, and the image integrates to one over the box."""
    row = rows_of(frame, "figure3").query("target != 'u1'").iloc[0]
    stored = density.images(results, row)
    axis = next(axis for axis in next(density.pictures(results, block_of(frame, "figure3"))).figure.axes if axis.images)
    assert axis.images[0].origin == "lower"
    assert axis.images[0].get_extent() == [-4, 4, -4, 4]
    cell = (2 * stored.half_width / len(stored.p)) ** 2
    assert stored.p.sum() * cell == pytest.approx(1, abs=80**2 * 0.5 / 255 * stored.p.max() * cell)
    ridge = np.argmax(stored.p[:, 50]) * 0.1 - 3.95  # at z1 = 1.05 the ridge of U2 is at z2 = sin(pi / 2) = 1
    assert ridge == pytest.approx(1, abs=0.1)


def test_depth_picture_has_a_panel_a_target_and_the_papers_marks_on_u1_only(frame):
    """Four families a panel; on U1 the paper's four curves beside them, hollow; none on U2."""
    picture = next(depth.pictures(block_of(frame, "figure3"), looks(frame["family"]), sources("figure3")))
    first, second = picture.figure.axes
    hollow = [[c for c in axis.containers if c.lines[0].get_markerfacecolor() == "none"] for axis in (first, second)]
    assert [len(axis.containers) for axis in (first, second)] == [8, 4]
    assert [len(found) for found in hollow] == [4, 0]
    assert first.get_ylabel() == "KL (nats)"
    assert "only differences" in picture.caption
    labels = [text.get_text() for text in picture.figure.legends[0].get_texts()]
    assert "the paper's, less planar K=32" in labels


def test_depth_picture_shows_the_interval(frame):
    """The error bars are the intervals of the statistics."""
    rows = rows_of(frame, "figure3").query("target == 'u1'")
    axis = next(depth.pictures(Block.of(rows), looks(frame["family"]), [])).figure.axes[0]
    segment = axis.containers[0].lines[2][0].get_segments()[0][:, 1]
    values = rows[rows["posterior"] == "planar:K=2"]["kl"]
    assert segment.mean() == pytest.approx(values.mean(), rel=1e-9)
    assert np.ptp(segment) == pytest.approx(2 * 4.302652729911275 * values.std() / np.sqrt(3), rel=1e-9)


def test_one_depth_makes_no_depth_picture(frame):
    """Where K does not vary there is nothing to draw against it."""
    rows = rows_of(frame, "figure3").query("K == 32")
    assert list(depth.pictures(Block.of(rows), looks(frame["family"]), [])) == []


def test_family_without_depth_is_a_line_across(frame):
    """The diagonal Gaussian has no K: its value is drawn across, with its band, and as a mark at K=0."""
    axes = next(depth.pictures(block_of(frame, "digits"), looks(frame["family"]), [])).figure.axes
    for axis, metric in zip(axes, ("free_energy", "gap", "nll"), strict=True):
        level = rows_of(frame, "digits").query("family == 'gaussian'")[metric].mean()
        across = [line for line in axis.lines if len(line.get_xdata()) == 2 and np.allclose(line.get_ydata(), level)]
        assert len(across) == 1
        assert len(axis.patches) == 1
        assert [text.get_text() for text in axis.get_xticklabels()] == ["0", "2", "8"]
        mark = next(container for container in axis.containers if container.get_label() == "Diagonal Gaussian").lines[0]
        assert (mark.get_xdata()[0], mark.get_ydata()[0]) == pytest.approx((axis.get_xticks()[0], level))


def test_depth_zero_has_a_place_of_its_own(tmp_path):
    """K=0 has no logarithm: it stands left of the others, under its own label, and its mark is drawn."""
    figure3(Plan(tmp_path), targets=("u1",), kls={"planar": {0: 1.0, 2: 0.3, 8: 0.03}})
    axis = next(depth.pictures(Block.of(read(tmp_path).frame), looks(["planar"]), [])).figure.axes[0]
    assert [text.get_text() for text in axis.get_xticklabels()] == ["0", "2", "8"]
    places = axis.containers[0].lines[0].get_xdata()
    assert 0 < places[0] < places[1] < places[2]


def test_training_picture_shows_the_deepest_of_each_family(results, frame):
    """A panel a target, a line a family at its largest K, with ln Z added."""
    picture = next(training.pictures(results, block_of(frame, "figure3"), looks(frame["family"])))
    assert len(picture.figure.axes) == 2
    axis = picture.figure.axes[0]
    labels = [line.get_label() for line in axis.lines if not line.get_label().startswith("_")]
    assert labels == [
        f"{name}, K=32" for name in ("Planar flow", "Radial flow", "NICE (permutation)", "NICE (orthogonal)")
    ]
    assert -0.1 < axis.lines[0].get_ydata()[-1] < 0.1


def test_likelihood_picture_has_a_panel_a_metric(frame):
    """Free energy, likelihood and gap of every posterior, with units."""
    picture = next(likelihood.pictures(block_of(frame, "digits"), looks(frame["family"])))
    assert picture.name == "likelihood"
    assert [axis.get_xlabel() for axis in picture.figure.axes] == [
        "free energy (nats)",
        "-ln p(x) (nats)",
        "gap (nats)",
    ]
    assert all(len(axis.containers) == 5 for axis in picture.figure.axes)


def test_pushforward_picture_has_base_and_depths(results, frame):
    """Two bases and two families make four rows; the base and three depths four columns."""
    picture = next(pushforward.pictures(results, block_of(frame, "figure1")))
    assert sum(bool(axis.images) for axis in picture.figure.axes) == 16
    assert [axis.get_title() for axis in picture.figure.axes[:4]] == ["base", "K = 1", "K = 2", "K = 10"]


def test_two_recipes_get_two_files(tmp_path):
    """Blocks of one profile with different training do not overwrite each other's pictures."""
    for rate in (0.01, 0.02):
        digits(Plan(tmp_path / "results", seeds=2, learning_rate=rate))
    files = plot(read(tmp_path / "results"), "digits", tmp_path)
    assert len(set(files)) == 2 * 2 * 2  # recipes, pictures, forms


def test_nothing_done_draws_nothing(tmp_path):
    """Where every cell diverged there is no picture, and no error."""
    lost = {("u1", "planar:K=2", 0)}
    figure3(Plan(tmp_path, seeds=1, diverged=lost), targets=("u1",), kls={"planar": {2: 0.3}})
    assert plot(read(tmp_path), "figure3", tmp_path) == []


def test_bad_input_is_named(results, tmp_path):
    """No records, or a folder that is a file, is one clear line."""
    with pytest.raises(InputError, match=r"'figure9'.*digits"):
        plot(results, "figure9", tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write figures"):
        plot(results, "digits", tmp_path / "file")


def test_slug_is_safe_in_a_file_name():
    """No separator or bracket of a spec or profile reaches a path."""
    assert slug("../quick[training.updates=100]") == "..-quick-training.updates-100"


def test_two_seeds_are_two_dots(tmp_path):
    """A mean over two seeds has no interval: both values are drawn, and the caption says so."""
    digits(Plan(tmp_path, seeds=2))
    block = Block.of(read(tmp_path).frame)
    for drawn in (
        depth.pictures(block, looks(block.rows["family"]), []),
        likelihood.pictures(block, looks(block.rows["family"])),
    ):
        picture = next(iter(drawn))
        dots = [line for axis in picture.figure.axes for line in axis.lines if line.get_marker() == "."]
        assert sum(len(line.get_xdata()) == 2 for line in dots) >= 15
        assert "of two seeds with both values (dots)" in picture.caption
        bars = [box for axis in picture.figure.axes for box in axis.containers]
        assert all(
            np.ptp(np.array(path)[:, :], axis=0).max() == 0 for box in bars for path in box.lines[2][0].get_segments()
        )


def test_a_users_matplotlibrc_does_not_matter(results, tmp_path):
    """Figures have the same bytes where a user's settings ask for LaTeX, another font, format, size and colours."""
    plain = plot(results, "digits", tmp_path / "plain")
    wild = {
        "text.usetex": True,
        "font.family": "serif",
        "savefig.format": "pdf",
        "savefig.bbox": "tight",
        "savefig.transparent": True,
        "svg.fonttype": "none",
        "axes.facecolor": "red",
        "axes.formatter.use_locale": True,
        "figure.dpi": 300,
    }
    with mpl.rc_context(wild):
        again = plot(results, "digits", tmp_path / "wild")
    assert plain
    assert [file.read_bytes() for file in plain] == [file.read_bytes() for file in again]


@pytest.mark.parametrize("status", ["diverged", "failed"])
@pytest.mark.parametrize("name", ["figure1", "figure3", "digits", "table2", "table3", "figure4"])
def test_an_experiment_without_a_single_result_has_its_tables_and_report(tmp_path, name, status):
    """Where all cells diverged or failed, plot, table in every format and report say so and end well."""

    class Every(set):
        def __contains__(self, _):
            return True

    plan = Plan(tmp_path, seeds=2, **{status: Every()})
    makers = {"figure1": figure1, "figure3": figure3, "digits": digits}
    images = {"table2": TABLE2, "table3": TABLE3, "figure4": TABLE2}
    makers[name](plan) if name in makers else of_images(plan, images[name])
    stored = read(tmp_path)
    assert set(stored.frame["status"]) == {status}
    assert stored.plot(name, tmp_path / "out") == []
    assert all(stored.table(name, fmt) for fmt in ("md", "latex", "csv", "json"))
    assert f"{len(stored)} {status}" in report(stored, tmp_path / "report").read_text().replace("</b>", "")
