"""Pictures of timings: which there are, what stands where, and that nothing misleading is drawn."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from support.synthetic_timings import layers, steps, timing

from nfbench.analysis.timing_blocks import blocks
from nfbench.cli.app import main
from nfbench.foundation.errors import InputError
from nfbench.present.plots import timings as pictures_of
from nfbench.present.plots.catalogue import timings
from nfbench.present.plots.looks import looks
from nfbench.present.plots.style import theme
from nfbench.present.results import results as read

WRONG = {"error": 0.5, "tolerance": 1e-4}


def drawn(root):
    """Pictures by name, of all blocks."""
    frame = read(root).timings
    shared = looks(frame["family"])
    with theme():
        return {one.name: one for block in blocks(frame) for one in pictures_of.pictures(block, shared)}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    layers(root)
    steps(root)
    return root


@pytest.fixture(scope="module")
def pictures(root):
    return drawn(root)


def words(axis):
    return [text.get_text() for text in axis.texts]


def test_each_block_has_its_pictures(pictures):
    """Layers: time against K, ratios, roofline; steps, of one K each, have no time against K."""
    assert set(pictures) == {
        *("backward-time-K", "backward-ratios", "backward-roofline", "step-ratios", "step-roofline"),
    }


def test_files_are_png_and_svg_and_the_same_again(tmp_path):
    """Every picture is written in both kinds, drawing again gives the same bytes, and no figure stays open."""
    for depth in (2, 8):
        for contender in ("nfbench", "zuko"):
            timing(tmp_path, contender, depth, {"posterior": f"planar:K={depth}"})
    first, second = (
        [file for _, _, files in timings(read(tmp_path).timings, tmp_path / name) for file in files] for name in "ab"
    )
    names = ("time-K", "ratios", "roofline")
    assert [file.name for file in first] == [
        f"timing-backward-{name}-own-quick.{kind}" for name in names for kind in ("png", "svg")
    ]
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]
    assert plt.get_fignums() == []


def test_machines_do_not_share_a_file(tmp_path):
    """Blocks that differ in their machine or threads alone have pictures of their own."""
    timing(tmp_path)
    timing(tmp_path, case={"threads": 2})
    timing(tmp_path, case={"dim": 3}, machine="Other CPU")
    files = [file for _, _, files in timings(read(tmp_path).timings, tmp_path / "figures") for file in files]
    assert len(files) == len(set(files)) == 6


def test_time_against_depth_has_a_panel_for_each_size(pictures):
    """Three groups of sizes, named in the titles, log-log, with the depths as ticks."""
    axes = pictures["backward-time-K"].figure.axes
    assert [axis.get_title() for axis in axes] == [
        "S = 100, D = 2",
        "S = 10,000, D = 40",
        "S = 1, B = 1,000, D = 40, amortized",
    ]
    for axis in axes:
        assert (axis.get_xscale(), axis.get_yscale()) == ("log", "log")
        assert [text.get_text() for text in axis.get_xticklabels()] == ["2", "8", "32", "80"]


def test_curves_are_the_medians_in_ms(root, pictures):
    """The planar curve of nfbench is its medians, drawn through in the family's colour."""
    frame = read(root).timings.query(
        "contender == 'nfbench' and family == 'planar' and mode == 'backward' and dim == 2"
    )
    line = next(line for line in pictures["backward-time-K"].figure.axes[0].lines if line.get_linewidth() == 1.6)
    assert list(line.get_xdata()) == [2, 8, 32, 80]
    assert list(line.get_ydata()) == pytest.approx(list(1e3 * frame["median"]))
    assert to_hex(line.get_color()) == to_hex(looks(["planar", "radial"])["planar"].colour)


def test_contenders_differ_in_their_lines(pictures):
    """Each contender has one style in all panels; the legend names contenders and families."""
    entries = pictures["backward-time-K"].figure.legends[0].get_texts()
    names = ["nfbench", "textbook", "compile", "normflows", "pyro", "Planar flow", "Radial flow"]
    assert [text.get_text() for text in entries] == names
    handles = pictures["backward-time-K"].figure.legends[0].legend_handles[:5]
    assert len({str(handle._dash_pattern) for handle in handles}) == 5


def test_what_disagrees_is_hollow(pictures):
    """Pyro's radial results disagree: their marks are white inside, and no other's are."""
    for axis in pictures["backward-time-K"].figure.axes[:2]:
        hollow = [line for line in axis.lines if line.get_markerfacecolor() == "white"]
        assert len(hollow) == 1
        assert len(hollow[0].get_xdata()) == 4
    assert "hollow" in pictures["backward-time-K"].caption


def test_sweeps_over_other_sizes_are_drawn_too(tmp_path):
    """Three values of D, or of B, make a picture against it; two do not."""
    for size in (2, 8, 32):
        timing(tmp_path, case={"dim": size})
        timing(tmp_path, case={"batch": size, "dim": 5})
    for size in (200, 300):
        timing(tmp_path, case={"draws": size, "dim": 5})
    found = drawn(tmp_path)
    assert {name for name in found if "time" in name} == {"backward-time-D", "backward-time-B"}
    assert found["backward-time-D"].figure.axes[0].get_title() == "K = 32, S = 100"


def marks(picture):
    """By contender where its marks stand: ratios and lines."""
    (axis,) = picture.figure.axes
    lines = {container.get_label(): container.lines[0] for container in axis.containers}
    return {name: [*zip(*line.get_data(), strict=True)] for name, line in lines.items()}


def test_ratios_have_a_mark_a_contender_and_a_line_a_case(pictures):
    """Four contenders beside nfbench, 24 cases, on a logarithmic axis with a line at 1; libraries are filled."""
    picture = pictures["backward-ratios"]
    (axis,) = picture.figure.axes
    assert list(marks(picture)) == ["textbook", "compile", "normflows", "pyro"]
    faces = {container.get_label(): container.lines[0].get_markerfacecolor() for container in axis.containers}
    assert [faces[name] == "white" for name in marks(picture)] == [True, True, False, False]
    assert len(axis.get_yticks()) == 24
    assert axis.get_xscale() == "log"
    assert any(np.allclose(line.get_xdata(), 1) for line in axis.lines)


def test_a_ratio_stands_where_it_is(tmp_path):
    """8 times with quartiles 7.2 and 8.8: the mark and the ends of its bar."""
    timing(tmp_path)
    timing(tmp_path, "zuko", 8.0)
    (axis,) = drawn(tmp_path)["backward-ratios"].figure.axes
    (container,) = axis.containers
    assert container.lines[0].get_xdata() == pytest.approx([8])
    assert container.lines[2][0].get_segments()[0][:, 0] == pytest.approx([7.2, 8.8])


def test_a_fault_is_said_and_what_is_lacking_is_empty(tmp_path):
    """Failed or without agreement: words at the end of the line, and no mark; a map that a library lacks is neither."""
    for depth in (2, 8, 32, 80):
        timing(tmp_path, case={"posterior": f"planar:K={depth}"})
        timing(tmp_path, "textbook", 3.0, {"posterior": f"planar:K={depth}"})
    timing(tmp_path, "zuko", 5.0, {"posterior": "planar:K=2", "dim": 7})
    timing(tmp_path, case={"posterior": "planar:K=2", "dim": 7})
    timing(tmp_path, "zuko", case={"posterior": "planar:K=2"}, status="lacking")
    timing(tmp_path, "zuko", case={"posterior": "planar:K=8"}, status="failed")
    timing(tmp_path, "zuko", case={"posterior": "planar:K=32"}, agreement=WRONG)
    picture = drawn(tmp_path)["backward-ratios"]
    (axis,) = picture.figure.axes
    assert words(axis) == ["zuko: failed", "zuko: no agreement"]
    assert len(marks(picture)["zuko"]) == 1


def test_cases_beside_the_reference_alone_are_left_out_and_counted(tmp_path):
    """A sweep that only plain PyTorch was timed in has no line; without any other contender it has."""
    for depth in (2, 8):
        timing(tmp_path / "alone", case={"posterior": f"planar:K={depth}"})
        timing(tmp_path / "alone", "reference", 2.0, {"posterior": f"planar:K={depth}"})
        timing(tmp_path / "both", case={"posterior": f"planar:K={depth}"})
        timing(tmp_path / "both", "reference", 2.0, {"posterior": f"planar:K={depth}"})
    timing(tmp_path / "both", "zuko", 8.0, {"posterior": "planar:K=8"})
    both, alone = (drawn(tmp_path / name)["backward-ratios"] for name in ("both", "alone"))
    assert [len(picture.figure.axes[0].get_yticks()) for picture in (both, alone)] == [1, 2]
    assert "Left out: 1 case that were timed beside the reference alone." in both.caption
    assert "Left out" not in alone.caption


def test_bare_products_are_not_drawn(tmp_path):
    """They train nothing: no ratios are theirs."""
    for name in ("nfbench", "textbook", "bare"):
        timing(tmp_path, name, 3.0, {"mode": "step", "target": "u1"})
    assert list(marks(drawn(tmp_path)["step-ratios"])) == ["textbook"]


def test_a_contender_without_any_ratio_is_named_in_the_caption(tmp_path):
    """It has no mark; that it lacks the map, or was timed on another day, is said below."""
    timing(tmp_path)
    timing(tmp_path, "textbook", 3.0)
    timing(tmp_path, "zuko", run="another day")
    timing(tmp_path, "pyro", status="lacking")
    picture = drawn(tmp_path)["backward-ratios"]
    assert list(marks(picture)) == ["textbook"]
    assert "In no case a ratio: pyro (lacking), zuko (another run)." in picture.caption


def test_roofline_has_the_measured_ceilings(tmp_path):
    """10 GB/s and 100 Gflop/s meet at 10 flops a byte; 1e8 flops on 1e7 bytes in 2 ms are 50 Gflop/s at 10."""
    floor = {"bytes": 1e7, "flops": 1e8, "bandwidth": 1e10, "rate": 1e11}
    timing(tmp_path, factor=2.0, floor=floor)
    picture = drawn(tmp_path)["backward-roofline"]
    (axis,) = picture.figure.axes
    roof, mark = axis.lines
    x, y = roof.get_xdata(), roof.get_ydata()
    assert max(y) == pytest.approx(100)
    assert y[x < 9.9] == pytest.approx(10 * x[x < 9.9])
    assert [mark.get_xdata()[0], mark.get_ydata()[0]] == pytest.approx([10, 50])
    assert words(axis) == ["matrix product, 100 Gflop/s", "copy, 10 GB/s"]


def test_roofline_leaves_out_what_disagrees_or_has_no_floor(tmp_path):
    """Of three contenders one is drawn; with none there is no picture."""
    timing(tmp_path, "textbook", agreement=WRONG)
    timing(tmp_path, "zuko", floor=None)
    assert "backward-roofline" not in drawn(tmp_path)
    timing(tmp_path)
    assert sum(len(line.get_xdata()) for line in drawn(tmp_path)["backward-roofline"].figure.axes[0].lines[1:]) == 1


def test_captions_say_where(pictures):
    """Machine, threads, device, precision and records stand under every picture."""
    for picture in pictures.values():
        assert "Test CPU, 2 cores, 1 thread, cpu, float32; own records, profile quick." in picture.caption


def test_nothing_done_draws_nothing(tmp_path):
    """Where every contender lacks the map there is no picture, and no error."""
    timing(tmp_path, status="lacking")
    timing(tmp_path, "zuko", status="failed")
    assert drawn(tmp_path) == {}


def test_labels_do_not_overlap(pictures):
    """The names of the cases beside the ratios, and the words of the legends, are clear of each other."""
    for name in ("backward-ratios", "backward-time-K"):
        figure = pictures[name].figure
        figure.draw_without_rendering()
        labels = [
            text for axis in figure.axes for text in axis.get_yticklabels() if axis.get_subplotspec().is_first_col()
        ]
        labels += [text for one in figure.legends for text in one.get_texts()]
        boxes = [label.get_window_extent() for label in labels if label.get_text()]
        assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[i + 1 :])


def test_folder_that_cannot_be_written_is_named(root, tmp_path):
    """A file in the place of the folder is one clear line."""
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write figures"):
        list(timings(read(root).timings, tmp_path / "file"))


def test_command_names_its_files(tmp_path, capsys):
    """`nfbench plot timing` prints the files that it wrote."""
    timing(tmp_path)
    timing(tmp_path, "zuko", 4.0)
    with pytest.raises(SystemExit) as caught:
        main(["plot", "timing", "--results", str(tmp_path), "--out", str(tmp_path / "figures")])
    assert caught.value.code == 0
    assert sorted(capsys.readouterr().out.split()) == sorted(str(file) for file in (tmp_path / "figures").iterdir())
