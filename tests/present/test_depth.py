"""Metrics of models of images against K: our means and intervals, and the paper's values beside them."""

from dataclasses import replace

import numpy as np
import pytest
from support.pictures import SMALL, heights, hollow
from support.synthetic import Plan
from support.synthetic_images import TABLE3, of_images

from nfbench.analysis.blocks import Block
from nfbench.present.plots import depth
from nfbench.present.plots.catalogue import plot
from nfbench.present.plots.looks import looks
from nfbench.present.results import results as read
from nfbench.published.catalogue import sources


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    of_images(Plan(root, seeds=3), SMALL)
    of_images(Plan(root, seeds=1), TABLE3)
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


def test_figure4_has_three_panels_with_our_means_and_intervals(table2, frame):
    """F, gap and -ln p(x): each family's line goes through the seeds' means, its bars are their intervals."""
    picture = next(depth.pictures(Block.of(table2), looks(frame["family"]), []))
    metrics = ("free_energy", "gap", "nll")
    labels = ["free energy (nats)", "gap (nats)", "-ln p(x) (nats)"]
    assert [axis.get_ylabel() for axis in picture.figure.axes] == labels
    for axis, metric in zip(picture.figure.axes, metrics, strict=True):
        ours = next(box for box in axis.containers if box.get_label() == "Planar flow")
        values = table2[table2["family"] == "planar"].groupby("K")[metric]
        assert ours.lines[0].get_ydata() == pytest.approx(values.mean().to_numpy())
        errors = (
            table2[table2["family"] == "planar"].groupby("K")[f"{metric}_se"].apply(lambda se: (se**2).mean() ** 0.5)
        )
        half = np.maximum(4.302652729911275 * values.std(), 1.959963984540054 * errors) / np.sqrt(3)
        assert heights(ours) == pytest.approx(half.to_numpy())
        assert [text.get_text() for text in axis.get_xticklabels()] == ["0", "10", "20", "40", "80"]
        assert np.diff(np.log2(axis.get_xticks())) == pytest.approx(np.ones(4))


def test_figure4_has_the_papers_values_beside_ours(table2, frame):
    """Hollow marks at Figure 4's digitised values and bars, PAPER.md's, each at the place of its K."""
    picture = next(depth.pictures(Block.of(table2), looks(frame["family"]), sources("table2")))
    first, middle, last = picture.figure.axes
    planar = [next(box for box in hollow(axis) if len(box.lines[0].get_ydata()) == 4) for axis in (first, middle, last)]
    assert planar[0].lines[0].get_ydata().tolist() == [93.57, 91.96, 90.62, 89.58]
    assert planar[1].lines[0].get_ydata().tolist() == [6.04, 5.42, 4.86, 4.43]
    assert planar[2].lines[0].get_ydata().tolist() == [87.53, 86.53, 85.76, 85.15]
    assert heights(planar[0]) == pytest.approx([0.04, 0.04, 0.04, 0.06])
    ours = next(box for box in first.containers if box.get_label() == "Planar flow").lines[0]
    assert planar[0].lines[0].get_xdata().tolist() == ours.get_xdata().tolist()
    assert planar[0].lines[0].get_color() == ours.get_color()
    assert [len(hollow(axis)) for axis in (first, middle, last)] == [3, 3, 3]
    gaussian = next(box for box in hollow(last) if len(box.lines[0].get_ydata()) == 1)
    assert gaussian.lines[0].get_ydata().tolist() == [89.92]
    assert "Fig. 4, digitised, with its standard errors" in picture.caption
    assert "the paper's, digitised" in [text.get_text() for text in picture.figure.legends[0].get_texts()]


def test_table3_has_printed_values_without_bars(table3, frame):
    """Only -ln p(x) was published: its panel alone has hollow marks, without bars."""
    picture = next(depth.pictures(Block.of(table3), looks(frame["family"]), sources("table3")))
    assert [len(hollow(axis)) for axis in picture.figure.axes] == [0, 0, 2]
    planar = next(box for box in hollow(picture.figure.axes[2]) if len(box.lines[0].get_ydata()) == 3)
    assert planar.lines[0].get_ydata().tolist() == [-308.6, -317.9, -320.7]
    assert not planar.has_yerr
    assert "standard error" not in picture.caption


def test_what_is_not_comparable_is_not_drawn_and_the_caption_says_why(tmp_path):
    """Under another binarisation the paper's marks are left out, with the reason."""
    of_images(Plan(tmp_path, seeds=1), replace(SMALL, data="mnist:threshold,60000+0+10000@0123456789ab"))
    frame = read(tmp_path).frame
    picture = next(depth.pictures(Block.of(frame), looks(frame["family"]), sources("table2")))
    assert not any(hollow(axis) for axis in picture.figure.axes)
    assert "The paper is not drawn beside it: The paper's images are MNIST" in picture.caption


def test_the_papers_depths_show_where_ours_are_not_done(table2, frame):
    """K = 80 has a place with the paper's mark alone while our runs of it are missing."""
    picture = next(depth.pictures(Block.of(table2[table2["K"] < 80]), looks(frame["family"]), sources("table2")))
    axis = picture.figure.axes[0]
    assert [text.get_text() for text in axis.get_xticklabels()] == ["0", "10", "20", "40", "80"]
    ours = next(box for box in axis.containers if box.get_label() == "Planar flow")
    assert len(ours.lines[0].get_xdata()) == 3


def test_figure4_is_drawn_by_its_name(results, tmp_path):
    """The figure has no records of its own: it shows Table 2's, one picture for each block of them."""
    files = plot(results, "figure4", tmp_path)
    assert sorted(file.name for file in files) == ["figure4-depth-own-quick.png", "figure4-depth-own-quick.svg"]
