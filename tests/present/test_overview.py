"""The picture of posteriors and targets says what the analysis says: colours, sizes, boxes and crosses."""

import math

import numpy as np
import pytest
from support.comparable import compared_block

from nfbench.analysis.blocks import Block
from nfbench.analysis.overview import overviews
from nfbench.present.plots import overview
from nfbench.present.plots.looks import hue, looks

VALUES = {  # KL by posterior and target, of which the noise of seeds is made
    "gaussian": {"u1": 1.5, "u2": 0.02},
    "planar:K=8": {"u1": 0.02, "u2": 0.2},
    "nice:mixing=permutation,K=8": {"u1": 0.021, "u2": 5.0},
    "radial:K=8": {"u1": 0.2, "u2": 0.4},
}
NOISE = np.array([0.004, -0.003, 0.001, -0.002])


def block(lost=(), **columns):
    runs = {
        target: {
            name: [math.inf] * 4 if (name, target) in lost else list(of[target] + NOISE[::-1] * (1 if n % 2 else -1))
            for n, (name, of) in enumerate(VALUES.items())
        }
        for target in ("u1", "u2")
    }
    rows = compared_block(runs).rows
    return Block.of(rows.assign(**columns))


def draw(shown):
    (picture,) = overview.pictures(shown, looks(shown.rows["family"]))
    axis = picture.figure.axes[0]
    named = {part.get_gid(): part for part in (*axis.collections, *axis.lines) if part.get_gid()}
    labels = [label.get_text() for label in axis.get_yticklabels()]
    return picture, named, labels


def cells(patches):
    """Columns and rows of the boxes of a collection."""
    middle = [path.vertices[:4].mean(axis=0) for path in patches.get_paths()]
    return {(round(x), round(y)) for x, y in middle}


def test_boxes_are_around_the_best_and_what_is_tied_with_it():
    """On U1 planar is the best and NICE tied, on U2 the Gaussian is the best alone; no other has a box."""
    _, named, labels = draw(block())
    assert labels == ["Gaussian", "Planar, K=8", "Radial, K=8", "Nice, K=8"]  # by kind
    rows = {label.partition(",")[0]: row for row, label in enumerate(labels)}
    assert cells(named["best"]) == {(0, rows["Planar"]), (1, rows["Gaussian"])}
    assert cells(named["tied"]) == {(0, rows["Nice"])}
    assert named["best"].get_linewidths()[0] > named["tied"].get_linewidths()[0]


def test_boxes_follow_the_analysis_and_nothing_else():
    """Every box is a standing of the overview, and every standing has its box."""
    shown = block()
    (data,) = overviews(shown)
    _, named, labels = draw(shown)
    place = {
        "Gaussian": "gaussian",
        "Planar": "planar:K=8",
        "Radial": "radial:K=8",
        "Nice": "nice:mixing=permutation,K=8",
    }
    for word in ("best", "tied"):
        drawn = {(place[labels[y].partition(",")[0]], data.targets[x]) for x, y in cells(named[word])}
        assert drawn == {key for key, standing in data.standing.items() if standing == word}


def test_a_lower_error_is_brighter():
    """Sorted by quality, marks go from bright to dark; equal steps of the scale have equal colours."""
    _, named, _ = draw(block())
    marks = named["marks"]
    order = [1.5, 0.02, 0.02, 0.2, 0.2, 0.4, 0.021, 5.0]  # of the marks, row by row
    bright = dict(zip(order, marks.get_facecolors()[:, :3] @ [0.2126, 0.7152, 0.0722], strict=True))
    assert [bright[value] for value in sorted(bright)] == sorted(bright.values(), reverse=True)
    assert bright[0.02] == bright[0.021] > bright[0.2] > bright[0.4] > bright[1.5] > bright[5.0]


def test_a_longer_training_is_larger():
    """The area of a mark grows with the seconds, and a key says how many the least and the largest are."""
    shown = block()
    seconds = shown.rows.groupby(["posterior", "target"], sort=False).ngroup() + 1.0
    picture, named, _ = draw(Block.of(shown.rows.assign(seconds=seconds)))
    order = [1.0, 5.0, 2.0, 6.0, 4.0, 8.0, 3.0, 7.0]  # of the marks, row by row
    sizes = dict(zip(order, named["marks"].get_sizes(), strict=True))
    assert [sizes[value] for value in sorted(sizes)] == sorted(sizes.values())
    assert len(set(sizes.values())) == 8
    keys = [text.get_text() for text in picture.figure.legends[0].get_texts()]
    assert keys[:3] == ["1 s", "2.8 s", "8 s"]


def test_what_is_lost_or_wrong_has_no_mark():
    """A posterior without a seed on a target has a cross there; a KL below 0 an exclamation mark, and no star."""
    shown = block(lost={("radial:K=8", "u2")}, kl_se=0.001)
    rows = shown.rows.copy()
    rows.loc[(rows["posterior"] == "gaussian") & (rows["target"] == "u1"), "kl"] -= 9.0
    picture, named, _ = draw(Block.of(rows))
    assert len(named["marks"].get_offsets()) == 6
    assert named["$!$"].get_xydata().tolist() == [[0, 0]]
    assert (0, 0) not in cells(named["best"])
    crosses = [line for line in picture.figure.axes[0].lines if line.get_gid() == "x"]
    assert [point for line in crosses for point in line.get_xydata().tolist()] == [[1, 2]]
    assert "Exclamation mark" in picture.caption
    assert "Cross: seeds that are not done" in picture.caption


def test_the_caption_says_what_is_seen():
    """Who leads, what colour and size mean, how the tie was found: the text alternative of the picture."""
    picture, _, _ = draw(block())
    assert picture.caption.startswith(
        "4 posteriors on 2 targets. Best or tied with the best on the most targets: Gaussian on 1 of 2, "
        "Planar, K=8 on 1 of 2, Nice, K=8 on 1 of 2."
    )
    for said in ("Colour: KL, bright is good", "Size: seconds", "paired by seed", "Posteriors are grouped by kind"):
        assert said in picture.caption


def test_kinds_stand_beside_their_rows():
    """At the right each kind has a bar of its colour from its first to its last row."""
    picture, _, _ = draw(block())
    axis = picture.figure.axes[0]
    bars = {line.get_color(): list(line.get_ydata()) for line in axis.lines if line.get_linewidth() == 4}
    assert bars == {hue("gaussian"): [-0.4, 0.4], hue("residual"): [0.6, 2.4], hue("coupling"): [2.6, 3.4]}


@pytest.mark.parametrize(("posteriors", "targets", "drawn"), [(2, 4, 0), (3, 1, 0), (3, 2, 1), (16, 1, 1), (101, 2, 0)])
def test_only_what_a_table_does_not_say_is_drawn(posteriors, targets, drawn):
    """Few posteriors on one target have a table, and more than a hundred no room."""
    runs = {f"t{j}": {f"p{i}": [0.1 + i] for i in range(posteriors)} for j in range(targets)}
    shown = compared_block(runs)
    assert len(list(overview.pictures(shown, looks(shown.rows["family"])))) == drawn
